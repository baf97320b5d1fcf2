"""Everything on one host: changes that go live while clients ask, and changes that must not, over unix sockets."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from bench.clients import Clients


@pytest.fixture(scope="module", autouse=True)
def _deployed(single):
    run = single.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output


def test_everything_is_on_one_host(single):
    assert single.comes_back() is None
    socket = single.host("box1").file(f"/run/{single.instance()}/app.sock")
    found = (socket.is_socket, socket.user, socket.group, socket.mode)
    assert found == (True, "demo", "demo", 0o660)
    listening = single.run("box1", "ss -Hltn | awk '{print $4}'").split()
    outside = {address for address in listening if not address.startswith("127.")}
    assert outside == {"0.0.0.0:80", "[::]:80", "0.0.0.0:22", "[::]:22"}
    again = single.play("site.yml")
    assert (again.code, again.changed) == (0, {"box1": 0}), again.output


@pytest.fixture
def clients(single):
    """Clients that ask all the time; none of their requests may fail."""
    with Clients(f"{single.prefix}.11", "/?delay=0.2") as asking:
        yield asking
    assert asking.failures == []
    assert asking.sent > 100


def _release_of(lab):
    """Return the release that serves."""
    main = f"$(systemctl show --value --property=MainPID {lab.instance()})"
    shown = lab.run("box1", f"tr '\\0' '\\n' < /proc/{main}/environ | grep GREENRACK_RELEASE")
    return shown.partition("=")[2]


CHANGES = [
    ["site.yml", "-e", "server=gunicorn_sync"],
    ["site.yml", "-e", "server=uwsgi_gevent"],
    ["playbooks/release.yml", "-e", "app_memory_max=70%"],
]


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_change_loses_nothing(single, clients, change):
    before = single.instance()
    run = single.play(*change)
    assert run.code == 0, run.output
    assert single.instance() != before
    assert f"{single.instance()} is to become live, with release " in run.output, run.output


def test_nothing_new_changes_nothing(single):
    before = single.instance()
    run = single.play("playbooks/release.yml", "-e", "app_memory_max=70%")
    assert (run.code, run.changed) == (0, {"box1": 0}), run.output
    assert single.instance() == before
    assert f"{before} is live, and nothing is new: release {_release_of(single)}" in run.output


def test_release_that_nobody_would_reach_is_refused(single):
    """Of an application that was never deployed: it would have been made live without a site of nginx's."""
    run = single.play("playbooks/release.yml", "-e", "app_name=never")
    assert (run.code != 0, run.changed["box1"]) == (True, 0), run.output
    said = " ".join(run.output.split())
    assert "nginx there has no site for never, and this run brings none" in said, run.output
    assert "Type first: " in said, run.output


def test_there_is_nothing_to_go_back_to(single):
    run = single.play("playbooks/rollback.yml")
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert "no release before the one that is live to go back to. Valid are: none." in said


def test_release_and_the_way_back(single, clients, app_copy):
    first = _release_of(single)
    (app_copy / "version").write_text("2")
    run = single.play("playbooks/release.yml", "-e", f"app_source={app_copy}")
    assert run.code == 0, run.output
    second = _release_of(single)
    assert second != first
    run = single.play("playbooks/rollback.yml")
    assert run.code == 0, run.output
    assert _release_of(single) == first
    refused = single.play("playbooks/rollback.yml", "-e", "release=nonsense")
    assert refused.code != 0, refused.output
    said = " ".join(refused.output.split())
    came = r"\(\d{4}-\d\d-\d\d \d\d:\d\d\)"
    listed = f"Not every host has a release nonsense. Valid are: {second} {came}. Live is {first}"
    assert re.search(listed, said), said
    run = single.play("playbooks/rollback.yml", "-e", f"release={second}")
    assert run.code == 0, run.output
    assert _release_of(single) == second


# What is put in front of the application's entry and after it, and what the run says of it.
# What the check that imports the application cannot notice, for it is no service.
SERVED = "import os, threading\nif 'GREENRACK_MODE' in os.environ:\n    "
BAD = {
    "import error": ("import module_nobody_has\n", "", "No module named 'module_nobody_has'"),
    "import error that tells a password": (
        "import os\nraise RuntimeError(os.environ['DATABASE_URL'])\n",
        "",
        "RuntimeError: postgresql://demo:********@",
    ),
    "hang on import": ("import time\ntime.sleep(1000)\n", "", "It took longer than 5 s"),
    "crash after five seconds": (
        f"{SERVED}threading.Timer(5, os._exit, [1]).start()\n",
        "",
        "uwsgi_gevent is not what runs",
    ),
    "end under systemd": (
        f"{SERVED}raise SystemExit('not under systemd: ' + os.environ['DATABASE_URL'])\n",
        "",
        "did not answer GET /healthz with 2xx",
    ),
    "health check answering 500": (
        "",
        "app.before_request(lambda: ('the disk is full', 500))\n",
        "Last answer: HTTP/1.1 500",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_release_takes_no_traffic(single, clients, app_copy, fault):
    before, after, says = BAD[fault]
    entry = app_copy / "wsgi_gevent.py"
    entry.write_text(before + entry.read_text() + after)
    served = single.instance(), _release_of(single)
    waits = {"hang on import": 5, "end under systemd": 30, "health check answering 500": 30}
    soon = ["-e", f"app_release_import_timeout={waits[fault]}"] if fault in waits else []
    run = single.play("playbooks/release.yml", "-e", f"app_source={app_copy}", *soon)
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert says in said, run.output
    if fault == "end under systemd":
        assert "not under systemd: postgresql://demo:********@" in said, "the journal is not shown"
        assert f"{served[0]}.service serves as before" in said, said
    assert (single.instance(), _release_of(single)) == served


# Each leaves something running, and says so if it is not in the sandbox, where there is no process 1.
LEFT = {"import": "sleep 987", "migration": "sleep 986"}
TRIED = f"""
import os, subprocess
if 'GREENRACK_MODE' not in os.environ:
    assert not os.path.exists('/proc/1'), 'not in the sandbox'
    subprocess.Popen({LEFT["import"].split()}, start_new_session=True)
"""
MIGRATE = f"""
test ! -e /proc/1 || exit 4
setsid {LEFT["migration"]} &
echo there is no such column: $DATABASE_URL >&2
exit 3
"""


def test_failing_migration_takes_no_traffic_and_leaves_nothing(single, clients, app_copy):
    entry = app_copy / "wsgi_gevent.py"
    entry.write_text(TRIED + entry.read_text())
    served = single.instance(), _release_of(single)
    migrate = json.dumps({"app_migrate": MIGRATE})
    run = single.play("playbooks/release.yml", "-e", f"app_source={app_copy}", "-e", migrate)
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert "ended with 3 and said: there is no such column: postgresql://demo" in said, run.output
    assert (single.instance(), _release_of(single)) == served
    (failed,) = set(re.findall(r"The migration of release (\w+) failed", said))
    assert failed not in single.run("box1", "ls /srv/demo/releases").split(), (
        "one could go back to it"
    )
    for command in LEFT.values():
        assert single.host("box1").run(f"pgrep --full --exact '{command}'").stdout == "", command


def _begun(lab, *change):
    """Begin a change, in a session of its own; return when the new instance has been started."""
    before = lab.instance()
    other = {"demo-blue": "demo-green", "demo-green": "demo-blue"}[before]
    begun = lab.begin(
        "playbooks/release.yml", *change, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        end = time.monotonic() + 120
        while lab.host("box1").run(f"systemctl is-active {other}").rc != 0:
            assert begun.poll() is None, "the change ended before its instance was started"
            assert time.monotonic() < end
    except BaseException:
        os.killpg(begun.pid, signal.SIGKILL)
        raise
    return begun


def _interrupted(lab, *change):
    """Begin a change, and kill the controller when the new instance has been started."""
    with _begun(lab, *change) as begun:
        os.killpg(begun.pid, signal.SIGKILL)


def test_killed_in_the_middle_serves_and_goes_on(single, clients, app_copy):
    (app_copy / "version").write_text("interrupted")
    served = _release_of(single)
    _interrupted(single, "-e", f"app_source={app_copy}")
    run = single.play("playbooks/release.yml", "-e", f"app_source={app_copy}")
    assert run.code == 0, run.output
    assert "0 failed, the slowest answer took" in run.output, run.output
    assert _release_of(single) != served


def test_another_run_is_told_whose_run_changes_what_is_live(single, clients, app_copy):
    (app_copy / "version").write_text("of the first of two runs")
    with _begun(single, "-e", f"app_source={app_copy}") as begun:
        os.killpg(begun.pid, signal.SIGSTOP)
        try:
            (app_copy / "version").write_text("interrupted")  # as it is live since the test before
            nothing = single.play("playbooks/release.yml", "-e", f"app_source={app_copy}")
            other = single.play("site.yml", "-e", "server=gunicorn_sync")
        finally:
            os.killpg(begun.pid, signal.SIGCONT)
        said = begun.communicate()[0]
    assert begun.returncode == 0, said
    assert "is live, and nothing is new" in nothing.output, nothing.output
    for run in (nothing, other):  # what the first has begun to run, nobody stops either
        assert run.code != 0, run.output
        assert f"(process {begun.pid}) changes demo now, since " in " ".join(run.output.split())
    assert '"held": false' in single.run("box1", "cat /run/greenrack/demo.run")


def test_cut_off_in_the_middle_serves_and_goes_on(single, clients, app_copy):
    (app_copy / "version").write_text("cut off")
    served = _release_of(single)
    with _begun(single, "-e", f"app_source={app_copy}") as begun:
        while begun.poll() is None:  # between two tasks, a cut does no harm
            single.cut_off("box1")
            time.sleep(0.5)
        said = begun.communicate()[0]
    assert begun.returncode != 0
    assert "UNREACHABLE" in said, said  # and both instances run
    run = single.play("playbooks/release.yml", "-e", f"app_source={app_copy}")
    assert run.code == 0, run.output
    assert _release_of(single) != served


def test_reboot_in_the_middle_serves_what_was_live_and_goes_on(single, app_copy):
    (app_copy / "version").write_text("interrupted by a reboot")
    _interrupted(single, "-e", f"app_source={app_copy}")
    single.reboot("box1")
    assert single.comes_back() is None
    run = single.play("playbooks/release.yml", "-e", f"app_source={app_copy}")
    assert run.code == 0, run.output
    assert single.get("/readyz")[0] == 200
    single.instance()  # one alone runs


def test_next_good_release_needs_no_cleaning(single, clients):
    run = single.play("playbooks/release.yml")
    assert run.code == 0, run.output


def test_release_leaves_alone_what_stands_in_front(single):
    served = single.instance()
    run = single.play("playbooks/release.yml", "-e", "socket=tcp")
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert "deployed with socket=unix" in said, said
    assert "Type what it was deployed with: -e socket=unix" in said, said
    assert single.instance() == served


def test_uwsgi_is_spoken_to_by_its_own_protocol(single):
    paths = ["/?delay=0.1", "/db?delay=0.1", "/healthz", "/stats"]
    for protocol, passes in (("uwsgi", "uwsgi_pass demo-"), ("http", "proxy_pass http://demo-")):
        run = single.play("site.yml", "-e", "server=uwsgi_gevent", "-e", f"protocol={protocol}")
        assert run.code == 0, run.output
        assert passes in single.run("box1", "cat /etc/nginx/demo.ways")
        assert [single.get(path)[0] for path in paths] == [200] * len(paths)


@pytest.mark.parametrize("limits", [{"nginx_rate_limit": 5, "nginx_connection_limit": 2}, {}])
def test_change_is_asked_for_no_faster_than_nginx_answers_one_client(single, limits):
    server = "waitress" if limits else "uwsgi_gevent"
    run = single.play("site.yml", "-e", json.dumps({"server": server, **limits}))
    assert run.code == 0, run.output
    said = " ".join(run.output.split())
    assert re.search(r"was asked [1-9]\d* times from the controller: 0 failed", said), said
