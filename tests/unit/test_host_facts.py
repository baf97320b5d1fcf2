"""host_facts looks at the machine that runs the tests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import greenrack_modules
import pytest

facts = greenrack_modules.load("host_facts")
lab = greenrack_modules.load("greenrack_lab")


@pytest.fixture
def port() -> Iterator[int]:
    """A port this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def unit() -> Iterator[str]:
    """The name of a unit this process is in, as far as anybody can see."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a cgroup that looks like a unit's")
    try:
        root = lab.cgroup2_root()
    except lab.LabError as error:
        pytest.skip(str(error))
    own = Path("/proc/self/cgroup").read_text().splitlines()
    (before,) = [line.split("::")[1] for line in own if line.startswith("0::")]
    cgroup = root / f"greenrack-test-{os.getpid()}.service"
    try:
        cgroup.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    yield cgroup.name
    (root / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
    cgroup.rmdir()


def test_a_port_is_found_with_the_unit_that_holds_it(port: int, unit: str) -> None:
    assert facts.listeners()[str(port)] == unit


def test_a_busy_process_is_not_lost(port: int, unit: str) -> None:
    over = threading.Event()

    def open_and_close() -> None:
        while not over.is_set():
            with Path("/dev/null").open():
                pass

    busy = threading.Thread(target=open_and_close)
    busy.start()
    found = [facts.listeners()[str(port)] for _ in range(20)]
    over.set()
    busy.join()
    assert found == [unit] * 20


def test_a_port_of_a_process_without_unit_is_found(port: int) -> None:
    holder = facts.listeners()[str(port)]
    assert holder == facts.unit_of(Path("/proc/self"))


def test_a_port_of_ipv6_is_found() -> None:
    if not facts.ipv6():
        pytest.skip("no IPv6 here")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        assert str(listener.getsockname()[1]) in facts.listeners()


def test_all_who_hold_a_port_are_named(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by IPv4, and another one by IPv6."""
    if not facts.ipv6():
        pytest.skip("no IPv6 here")
    script = (
        f"import socket, sys; s = socket.create_server(('::1', {port}), family=socket.AF_INET6)"
    )
    script += "; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1) as other:
        other.stdout.readline()
        monkeypatch.setattr(facts, "unit_of", lambda process: f"{process.name}.service")
        held = facts.listeners()[str(port)]
        other.communicate()
    assert held.split(" ") == sorted(f"{pid}.service" for pid in (other.pid, os.getpid()))


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("127.0.0.1", False),
        ("127.1.2.3", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", True),  # noqa: S104 - closed at once
        ("::", True),
    ],
)
def test_what_listens_for_the_host_alone_is_not_exposed(address: str, exposed: bool) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server(
        (address, 0), family=family, dualstack_ipv6="::ffff" in address
    ) as listener:
        port = listener.getsockname()[1]
        assert [told for _, number, told in facts.sockets(*facts.LISTENING) if number == port] == [
            exposed
        ]


@pytest.mark.parametrize(("address", "exposed"), [("127.0.0.1", False), ("", True)])
def test_a_udp_port_that_other_hosts_reach_is_exposed(address: str, exposed: bool) -> None:
    """One that a program was lent is not: a resolver's, for one."""
    with (
        socket.socket(type=socket.SOCK_DGRAM) as named,
        socket.socket(type=socket.SOCK_DGRAM) as lent,
    ):
        lent.bind((address, 0))
        for port in range(20000, 20100):
            with contextlib.suppress(OSError):
                named.bind((address, port))
                break
        found = facts.exposed_udp()
        assert (named.getsockname()[1] in found) is exposed
        assert lent.getsockname()[1] not in found


def test_a_udp_port_of_the_kernels_is_exposed_wherever_it_is() -> None:
    """A tunnel's, which SSH may come through; no process holds it."""
    tunnel = "ip link add tunnel type vxlan id 7 dstport 47890 && ip link set tunnel up"
    code = "import greenrack_modules as g; print(g.load('host_facts').exposed_udp())"
    command = ["unshare", "--net", "sh", "-c", f'{tunnel} && exec {sys.executable} -c "{code}"']
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    if "ot permitted" in done.stderr or "not supported" in done.stderr:
        pytest.skip(f"no tunnel can be made here: {done.stderr.strip()}")
    assert done.stdout == "[47890]\n", done.stderr


def test_the_hosts_own_addresses_are_told() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as link:
        try:
            link.connect(("192.0.2.1", 9))
        except OSError as error:
            pytest.skip(f"no way to anywhere: {error}")
        own = link.getsockname()[0]
    assert own in facts.addresses()
    assert "127.0.0.1" not in facts.addresses()


def test_a_port_that_is_only_connected_to_is_no_listener(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as link:
        found = facts.listeners()
        assert str(port) in found
        assert str(link.getsockname()[1]) not in found


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service"),
        (
            "0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
            "postgresql@15-main.service",
        ),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/my.scope\n", "my.scope"),
        ("1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service"),
        ("0::/\n", ""),
    ],
)
def test_the_unit_of_a_cgroup(cgroup: str, unit: str, tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    assert facts.unit_of(tmp_path) == unit


def test_free_space_of_what_is_not_there_yet(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free // 2**20
    path = str(tmp_path / "not" / "made" / "yet")
    (disk,) = facts.disks({path: 5})
    assert (disk["under"], disk["wanted_mb"]) == ([path], 5)
    # Others write to that disk at the same time.
    assert disk["free_mb"] == pytest.approx(free, abs=200)


def test_a_file_system_is_told_once_with_what_is_wanted_at_its_topmost_paths(
    tmp_path: Path,
) -> None:
    above, beside = str(tmp_path / "a"), str(tmp_path / "a-b")
    below = f"{above}/c/d"
    found = facts.disks({above: 5, beside: 7, below: 9, "/proc": 3})
    told = {tuple(disk["under"]): (disk["wanted_mb"], disk["wanted_inodes"]) for disk in found}
    assert told == {(above, beside): (7, 70), ("/proc",): (3, 0)}, "/proc counts no inodes"
    assert [disk["holds"] for disk in found] == [["/proc"], [above, beside, below]]


def test_free_inodes(tmp_path: Path) -> None:
    counted = subprocess.run(["df", "--output=iavail", tmp_path], capture_output=True, text=True)
    (disk,) = facts.disks({str(tmp_path): 5})
    # Others write to that disk at the same time.
    assert disk["free_inodes"] == pytest.approx(int(counted.stdout.split()[-1]), abs=5000)


def test_the_whole_answer(port: int) -> None:
    result = greenrack_modules.run(
        facts, disks={"/": 1, "/var/not/there": 2}, directories=["/usr", "/not/there"]
    )
    known = result["ansible_facts"]["greenrack"]
    assert result["changed"] is False
    assert known["machine"] == platform.machine()
    assert known["cpus"] == len(os.sched_getaffinity(0))
    assert known["systemd"] == Path("/run/systemd/system").is_dir()
    assert known["python_apt"] == ("python3-apt" in known["packages"])
    assert str(port) in known["listeners"]
    assert {"bin", "lib"} <= set(known["entries"]["/usr"])
    assert known["entries"]["/not/there"] == []
    assert known["believed"] == []
    assert known["somaxconn"] >= 128
    assert known["ipv6"] == ("tcp6" in os.listdir("/proc/net"))  # noqa: PTH208
    assert known["disks"][0]["under"][0] == "/"
    said = 'source /etc/os-release; echo "$ID|$VERSION_ID|$VERSION_CODENAME"'
    system = subprocess.run(["bash", "-c", said], capture_output=True, text=True).stdout.strip()
    assert f"{known['distribution']}|{known['release']}|{known['codename']}" == system


SHOWN = """\
Id=demo-blue.service
ActiveState=active
Environment=PYTHONUNBUFFERED=1 GREENRACK_MODE=uwsgi_gevent

Id=demo-green.service
ActiveState=inactive
"""


@pytest.mark.parametrize("there", [True, False])
def test_units_and_what_they_were_deployed_with(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shown").write_text(SHOWN if there else "")
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\n/bin/cat {tmp_path}/shown\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    variables = {"PYTHONUNBUFFERED": "1", "GREENRACK_MODE": "uwsgi_gevent"}
    units = {
        "demo-blue.service": {"active": True, "environment": variables},
        "demo-green.service": {"active": False, "environment": {}},
    }
    assert facts.units(list(units)) == (units if there else {})
    assert facts.units([]) == {}


def test_the_systems_python_is_asked_not_ours() -> None:
    system = Path("/usr/bin/python3")
    if not system.exists():
        pytest.skip("no /usr/bin/python3 here")
    said = subprocess.run([str(system), "--version"], capture_output=True, text=True).stdout
    assert said.startswith(f"Python {facts.system_python()}.")
    assert sys.executable != str(system)


def test_certificates_that_are_believed(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    one, two = (f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----" for text in "ab")
    file.write_text(f"{one}\n{two}\n")
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (one, two)]
    assert facts.believed(str(file)) == digests


def test_the_first_line_of_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "some").write_text("waits 40 s\nand more\n")
    (tmp_path / "empty").touch()
    found = facts.notes([f"{tmp_path}/{name}" for name in ("some", "empty", "none")])
    assert found == {f"{tmp_path}/some": "waits 40 s", f"{tmp_path}/empty": ""}
