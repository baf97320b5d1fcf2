"""The application under its server: as whom it runs, what it may do and read, and that it answers."""

from __future__ import annotations

from http.client import HTTPConnection

import pytest
from testinfra.host import Host

testinfra_hosts = ["app1"]
UNIT = "demo-blue.service"


def test_runs_now_and_after_a_reboot(host: Host) -> None:
    """The unit is active and enabled, and has not crashed since it was started."""
    unit = host.service(UNIT).systemd_properties
    found = {key: unit[key] for key in ("ActiveState", "UnitFileState", "NRestarts")}
    assert found == {"ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "0"}


def test_answers_who_asks_on_its_address(host: Host, address: str) -> None:
    """And nobody on another one."""
    connection = HTTPConnection(address, 8000, timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    listening = host.check_output("ss -Hltn 'sport = :8000' | awk '{print $4}'")
    assert listening == f"{address}:8000"


def test_is_the_server_mode_it_was_told(host: Host) -> None:
    """uWSGI: a master, and a worker for each processor, all of the application's user."""
    processes = host.process.filter(user="demo")
    assert {process.comm for process in processes} == {"uwsgi"}
    assert len(processes) == int(host.check_output("nproc")) + 1


def test_is_told_its_environment_to_the_letter(host: Host) -> None:
    """Whatever characters it has; and nobody else on the host may read it."""
    main = host.service(UNIT).systemd_properties["MainPID"]
    told = host.check_output(f"tr '\\0' '\\n' < /proc/{main}/environ").splitlines()
    assert 'SECRET=it\'s "100 %" $HOME' in told
    kept = host.check_output(f"systemctl cat {UNIT} | sed -n 's/^EnvironmentFile=//p'")
    for path in (kept, f"/proc/{main}/environ"):
        assert "SECRET" in host.file(path).content_string
        assert host.run(f"runuser -u nobody -- cat {path}").failed, path


def test_cannot_change_its_own_code(host: Host) -> None:
    """It is root's; what releases share is the application's."""
    release = host.check_output("echo /srv/demo/releases/*")
    assert host.file(f"{release}/wsgi.py").is_file
    for path in (f"{release}/wsgi.py", f"{release}/new.py", "/srv/demo/new"):
        assert host.run(f"runuser -u demo -- sh -c 'echo >> {path}'").failed, path
    host.check_output(f"runuser -u demo -- touch {release}/uploads/photo {release}/var/cache/page")
    assert host.file("/srv/demo/shared/uploads/photo").user == "demo"
    shared = [host.file(f"/srv/demo/shared/{path}") for path in ("uploads", "var", "var/cache")]
    assert [(path.user, path.mode) for path in shared] == [("demo", 0o700)] * 3
    # Where it could name something, a link would lead root elsewhere as the next release comes.
    assert host.run("runuser -u demo -- ln -s /etc /srv/demo/shared/more").failed
    assert (host.file("/srv/demo/shared").user, host.file("/srv/demo/shared").mode) == (
        "root",
        0o750,
    )


def test_is_shut_in(host: Host) -> None:
    """As systemd itself rates it: 2.0 at most."""
    said = host.check_output(f"systemd-analyze security --no-pager {UNIT} | tail -1")
    assert float(said.partition(": ")[2].split()[0]) <= 2.0, said


@pytest.mark.parametrize("wheel", ["flask", "gevent"])
def test_has_an_environment_of_its_own(host: Host, wheel: str) -> None:
    """Of what its lock file and its server mode name, and nothing of Debian's."""
    python = host.check_output("ls -d /srv/demo/releases/*/.venv/bin/python | head -1")
    shown = f"import importlib.metadata as m; print(m.distribution({wheel!r}).locate_file(''))"
    assert host.check_output(f'{python} -c "{shown}"').startswith("/srv/demo/")
