"""Every server mode on the five hosts, and a gate that is not fooled."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
import yaml

from bench.clients import Clients
from tests.stack.hostile import HALF, HOSTILE, SMUGGLING, refused, told
from tests.stack.lab import ROOT, switch

MODES = yaml.safe_load((ROOT / "roles/server_mode/vars/main.yml").read_text())["server_mode_table"]
PATHS = ["/?delay=0.1", "/db?delay=0.1", "/healthz", "/readyz", "/stats"]


def _in_flight(lab):
    return int(lab.run("api1", "ss -Htn state established 'sport = :8081' | wc -l"))


def _lets_wait(lab):
    """Return whether who comes waits while the one instance there is, without nginx, is restarted."""
    shown = lab.run("app1", "systemctl show --property=NFileDescriptorStore,Environment demo-blue")
    mode = re.search(r"GREENRACK_MODE=(\w+)", shown)[1]
    if "proxy=false" not in shown or not MODES[mode]["graceful"]:
        return False
    assert "NFileDescriptorStore=1" in shown, f"systemd keeps nothing of {mode}"
    return True


SERVING = [(mode, front) for front in ("nginx", "nobody") for mode in MODES]


@pytest.mark.parametrize(("mode", "front"), SERVING)
def test_mode_serves_behind(deployed, mode, front):
    proxied = front == "nginx"
    # Of these, one takes a request at a time, and the other one is gone over to from it.
    rate = 2 if mode in ("devserver", "devserver_threaded") else 40
    address = None if proxied else f"{deployed.prefix}.21:8000"
    # What is restarted in place closes the connections that clients keep.
    asking = Clients(address or f"{deployed.prefix}.11", "/?delay=0.2", rate, keep=proxied)
    lossless = proxied or (MODES[mode]["graceful"] and _lets_wait(deployed))
    if proxied:
        assert deployed.comes_back() is None  # it was just restarted
    with asking if lossless else nullcontext() as clients:
        switch(deployed, f"server={mode}", *([] if proxied else ["proxy=false"]))
    assert clients is None or (clients.failures, clients.sent > 1) == ([], True)
    assert proxied or deployed.instance() == "demo-blue"  # the one whose port clients know
    assert [deployed.get(path, address)[0] for path in PATHS] == [200] * len(PATHS)
    assert deployed.host("proxy1").service("nginx").is_running == proxied
    runs = f"systemctl show --property=MainPID,NRestarts {deployed.instance()}"
    before = deployed.run("app1", runs)
    at = f"{deployed.prefix}.11:80" if proxied else address
    tried = HOSTILE if proxied else SMUGGLING  # alone, each takes more of the rest than nginx does
    answers = {what: told(*at.split(":"), HOSTILE[what]) for what in tried}
    assert {what: status for what, status in answers.items() if not refused(status)} == {}
    assert deployed.get("/?delay=0", address)[0] == 200
    assert deployed.run("app1", runs) == before, "a request ended it"
    main = f"/proc/$(systemctl show --value --property=MainPID {deployed.instance()})/cmdline"
    assert MODES[mode]["program"] in deployed.run("app1", f"tr '\\0' ' ' < {main}")
    if proxied:
        # An answer that comes before nginx has sent all is lost where the server then closes the connection.
        port = 8000 if deployed.instance() == "demo-blue" else 8001
        half = f"python3 -c '{HALF}' {deployed.address('app1')} {port}"
        assert deployed.run("proxy1", half) == "False 405"
    if proxied and MODES[mode]["graceful"]:
        with ThreadPoolExecutor(6) as pool:
            futures = [pool.submit(lambda: deployed.get("/?delay=3")[0]) for _ in range(6)]
            while _in_flight(deployed) < 6:
                time.sleep(0.1)
            deployed.run("app1", f"systemctl restart {deployed.instance()}")
        assert [future.result() for future in futures] == [200] * 6
        assert deployed.comes_back() is None
        with Clients(f"{deployed.prefix}.11", "/healthz", 40) as clients:
            time.sleep(0.5)
            deployed.run("app1", f"systemctl kill --signal=KILL {deployed.instance()}")
            assert deployed.comes_back() is None
            time.sleep(2)
        assert "NRestarts=1" in deployed.run("app1", runs)
        # What it was doing; what came then waited for the next one.
        assert len(clients.failures) <= 3, clients.failures


def test_what_cannot_be_imported_stops_nothing_in_place(deployed):
    switch(deployed, "server=waitress", "proxy=false")
    wrong = [
        "-e",
        "server=waitress",
        "-e",
        "proxy=false",
        "-e",
        '{"app_env": {"UPSTREAM_URL": "?"}}',
    ]
    with Clients(f"{deployed.prefix}.21:8000", "/healthz", keep=False) as clients:
        run = deployed.play("site.yml", *wrong)
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert "so it was not started there; what served before still does" in said, run.output
    assert clients.failures == []


def test_gunicorn_speaks_the_uwsgi_protocol(deployed):
    switch(deployed, "server=gunicorn_sync", "protocol=uwsgi")
    assert "uwsgi_pass demo-" in deployed.run("proxy1", "cat /etc/nginx/demo.ways")
    assert [deployed.get(path)[0] for path in PATHS] == [200] * len(PATHS)


def test_tutorials_profile_has_the_tutorials_workers(deployed):
    switch(deployed, "server=uwsgi_sync", "profile=tutorial", tags="all")
    lines = deployed.run("app1", f"cat /etc/{deployed.instance()}.uwsgi.ini").splitlines()
    assert {"processes = 4", "threads = 50"} <= set(lines)


ENTRY = (ROOT / "app/demo/wsgi_gevent.py").read_text()


def test_gate_finds_a_patch_that_came_late_and_one_that_never_came(deployed, app_copy):
    late = "import ssl, urllib3, requests\n" + ENTRY
    (app_copy / "wsgi_gevent.py").write_text(late)
    switch(deployed, "server=pywsgi_gevent", f"app_source={app_copy}")
    # The servers patch before the entry does; without that, the entry's patch is the first and too late.
    name = deployed.instance()
    deployed.run("app1", f"sed -i '/monkey/d' /etc/{name}.pywsgi.py && systemctl restart {name}")
    found = deployed.play("playbooks/verify.yml", "-e", f"app_source={app_copy}")
    assert found.code != 0, found.output
    assert "something imported ssl before" in found.output, found.output
    deployed.run("app1", f"sed -i 's/wsgi_gevent:app/wsgi:app/' /etc/systemd/system/{name}.service")
    deployed.run("app1", f"systemctl daemon-reload && systemctl restart {name}")
    found = deployed.play("playbooks/verify.yml", "-e", f"app_source={app_copy}")
    assert found.code != 0, found.output
    assert "gevent has patched nothing" in found.output, found.output


def test_gate_finds_what_overrules_the_configuration(deployed):
    switch(deployed, "server=gunicorn_gevent")
    name = deployed.instance()
    folder = f"/etc/systemd/system/{name}.service.d"
    fewer = "[Service]\\nEnvironment=GUNICORN_CMD_ARGS=--worker-connections=13\\n"
    deployed.run("app1", f"mkdir {folder} && printf '{fewer}' > {folder}/by-hand.conf")
    deployed.run("app1", f"systemctl daemon-reload && systemctl restart {name}")
    found = deployed.play("playbooks/verify.yml")
    deployed.run("app1", f"rm -r {folder} && systemctl daemon-reload")
    assert found.code != 0, found.output
    said = " ".join(found.output.split())
    assert (
        "takes 13 requests at once in greenlets, and 1000 requests at once in greenlets are declared"
        in said
    )
    assert f"systemctl cat {name}.service" in said


def test_gate_finds_one_thread_where_many_are_declared(deployed):
    # Few, for they will be served one after the other, yet too many rounds to be asked again; by one worker, for of
    # two, one may get most of them.
    few = ["app_workers=1", "app_concurrency=12"]
    switch(deployed, "server=gunicorn_sync", *few)
    verify = ["playbooks/verify.yml", *(word for variable in few for word in ("-e", variable))]
    name = deployed.instance()
    single = f"sed -i 's/^threads = .*/threads = 1/' /etc/{name}.gunicorn.conf.py"
    deployed.run("app1", f"{single} && systemctl restart {name}")
    found = deployed.play(*verify)
    assert "takes 1 requests at once in threads, and 12 requests at once" in " ".join(
        found.output.split()
    )
    # One that says it has them is measured, and found out.
    lie = f"sed -i 's/threads {{worker.cfg.threads}}/threads 12/' /etc/{name}.gunicorn.conf.py"
    deployed.run("app1", f"{lie} && systemctl restart {name}")
    found = deployed.play(*verify)
    assert found.code != 0, found.output
    assert "12 requests of 1 s at once took" in found.output, found.output
    assert "requests at once that are declared" in " ".join(found.output.split()), found.output
