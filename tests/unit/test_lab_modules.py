"""The lab's hosts as this machine has them: their processes, cgroups and disks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest

lab = greenrack_modules.load("greenrack_lab")
start = greenrack_modules.load("greenrack_lab_start")
body = greenrack_modules.load("greenrack_lab_body")
machines = greenrack_modules.load("lab_machines")

NAME = f"test{os.getpid()}"


def test_a_command_is_given_its_input_and_returns_what_it_prints() -> None:
    assert lab.run("cat", stdin="some rules") == "some rules"


def test_a_command_that_fails_says_which_and_why() -> None:
    with pytest.raises(
        lab.LabError, match="'sh -c echo why >&2; exit 3' failed with status 3: why"
    ):
        lab.run("sh", "-c", "echo why >&2; exit 3")


def test_waiting_ends_when_it_has_happened_or_the_time_is_over() -> None:
    answers = iter([False, False, True])
    assert lab.wait_until(lambda: next(answers), 60) is True
    assert list(answers) == []
    assert lab.wait_until(lambda: False, 0.1) is False


def test_a_mount_point_is_known_by_its_whole_path(tmp_path: Path) -> None:
    assert lab.is_mounted("/proc")
    assert not lab.is_mounted("/pro")
    assert not lab.is_mounted(tmp_path)


@pytest.fixture
def cgroup() -> Iterator[Any]:
    """A cgroup's name of our own; what is left of it goes in the end."""
    if os.geteuid() != 0:
        pytest.skip("only root can make cgroups")
    try:
        root = lab.cgroup2_root()
    except lab.LabError as error:
        pytest.skip(str(error))
    if not os.access(root, os.W_OK) or not (root / "cgroup.procs").exists():
        pytest.skip(f"no cgroup can be made below {root}")
    made = lab.Cgroup(NAME, "host1")
    yield made
    made.kill()
    made.remove()


@pytest.fixture
def sleeper() -> Iterator[Callable[[Path], subprocess.Popen[bytes]]]:
    """Start processes in a cgroup."""
    started = []

    def begin(path: Path) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "600"]))
        (path / "cgroup.procs").write_text(str(started[-1].pid))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_a_cgroup_knows_whether_it_has_processes(cgroup: Any, sleeper: Any) -> None:
    assert not cgroup.exists()
    assert not cgroup.populated()
    cgroup.create()
    cgroup.create()
    assert cgroup.exists()
    assert not cgroup.populated()
    sleeper(cgroup.path)
    assert cgroup.populated()


def test_killing_a_cgroup_ends_what_is_below_it_too(cgroup: Any, sleeper: Any) -> None:
    (cgroup.path / "payload" / "init.scope").mkdir(parents=True)
    processes = [sleeper(cgroup.path / "payload" / "init.scope"), sleeper(cgroup.path)]
    cgroup.kill()
    assert not cgroup.populated()
    assert [process.wait() for process in processes] == [-signal.SIGKILL] * 2


def everywhere(*names: str) -> list[Path]:
    """Return what goes by a name in any of the machine's hierarchies of cgroups, v1 and v2."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [Path(mount[1]) for mount in mounts if mount[2] in ("cgroup", "cgroup2")]
    return [path for root in roots if (path := root.joinpath("greenrack", *names)).exists()]


def test_removing_a_cgroup_spares_others(cgroup: Any) -> None:
    other = lab.Cgroup(NAME, "host2")
    cgroup.create()
    for path in everywhere(NAME, "host1"):
        (path / "payload" / "system.slice" / "a.service").mkdir(parents=True)
    other.create()
    cgroup.remove()
    assert everywhere(NAME, "host1") == []
    assert other.exists()
    other.remove()
    assert everywhere(NAME) == []
    assert lab.cgroup2_root().exists()


def test_a_hybrid_system_has_it_twice(cgroup: Any, monkeypatch: Any, tmp_path: Path) -> None:
    """What systemd-nspawn makes in systemd's own hierarchy is known by name, and goes too."""
    monkeypatch.setattr(lab, "cgroup_roots", lambda: [lab.cgroup2_root(), tmp_path])
    twice = lab.Cgroup(NAME, "host1")
    (tmp_path / "greenrack" / NAME / "host1" / "payload").mkdir(parents=True)
    assert start.names_started("cgroup", NAME) == {"host1"}
    twice.create()
    twice.remove()
    assert list(tmp_path.iterdir()) == []
    assert start.names_started("cgroup", NAME) == set()


def test_hosts_may_come_and_go_at_once(cgroup: Any) -> None:
    def come_and_go(number: int) -> None:
        host = lab.Cgroup(NAME, f"host{number}")
        for _ in range(50):
            host.create()
            host.remove()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(8)))
    assert not cgroup.path.parent.exists()


def test_killing_and_removing_what_is_not_there_is_no_error(cgroup: Any) -> None:
    cgroup.kill()
    cgroup.remove()
    assert not cgroup.exists()


def test_the_names_of_started_hosts(cgroup: Any) -> None:
    assert start.names_started("cgroup", NAME) == set()
    cgroup.create()
    assert start.names_started("cgroup", NAME) == {"host1"}
    assert start.starter_for("cgroup", NAME, "host1").running() is False


def test_who_starts_hosts_is_systemd_only_where_it_is_pid_1() -> None:
    systemd = Path("/run/systemd/system").is_dir()
    assert start._starter("auto") is start.STARTERS["systemd" if systemd else "cgroup"]


def params(**more: Any) -> dict[str, Any]:
    return {
        "lab": NAME,
        "machines": {"app1": "10.77.7.21", "db1": "10.77.7.41"},
        "names": {"deb.example.org": "192.0.2.80"},
        "provider": "cgroup",
        "state": "started",
        "bridge": "gr-a",
        "gateway": "10.77.7.1",
        "authorized_key": "ssh-ed25519 AAAA me",
        "user": "admin",
        **more,
    }


def test_hosts_of_one_name_in_two_labs_have_cables_of_their_own(tmp_path: Path) -> None:
    def container(name: str) -> Any:
        return body.Container(params(lab=name, directory=str(tmp_path)), "app1")

    assert "--network-bridge=gr-a" in container("a").boot()
    assert "--hostname=app1" in container("a").boot()
    (machine,) = set(container("a").boot()) - set(container("b").boot())
    assert machine == "--machine=a-app1"
    assert container("a").cable == "vb-a-app1"
    virtual = [
        body.VirtualMachine(params(lab=name, directory=str(tmp_path)), host).cable
        for name in ("a", "abcdefghij")
        for host in ("app1", "api1")
    ]
    assert len(set(virtual)) == 4
    assert max(map(len, virtual)) <= 15


def test_what_a_host_is_stays_what_it_was_made_as(tmp_path: Path) -> None:
    given = params(directory=str(tmp_path))
    assert isinstance(body.body_for(given, "app1"), body.Container)
    assert isinstance(body.body_for(given | {"provider": "qemu"}, "app1"), body.VirtualMachine)
    (tmp_path / "app1/upper").mkdir(parents=True)
    (tmp_path / "db1").mkdir()
    (tmp_path / "db1/disk.qcow2").touch()
    absent = given | {"state": "absent"}
    assert isinstance(body.body_for(absent | {"provider": "qemu"}, "app1"), body.Container)
    assert isinstance(body.body_for(absent, "db1"), body.VirtualMachine)
    with pytest.raises(lab.LabError, match=r"db1 of lab .* was made for qemu.*lab_down\.yml"):
        body.body_for(given, "db1")
    with pytest.raises(lab.LabError, match=r"app1 of lab .* was made for systemd-nspawn"):
        body.body_for(given | {"provider": "qemu"}, "app1")


def test_kvm_is_used_where_it_was_seen_to_run_something(tmp_path: Path, monkeypatch: Any) -> None:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("no qemu here: apt install qemu-system-x86")
    # The probe itself, by emulation, which works everywhere.
    done = subprocess.run(body.probe("tcg", _sector(tmp_path)), timeout=60, check=False)
    assert done.returncode == body.PROBED
    assert body.accelerator() in ("kvm", "tcg")
    monkeypatch.setattr(body, "probe", lambda *_: ["sleep", "60"])
    assert body.accelerator() == "tcg"
    monkeypatch.setattr(body, "probe", lambda *_: ["true"])
    assert body.accelerator() == "tcg"


def _sector(tmp_path: Path) -> str:
    (tmp_path / "sector").write_bytes(body.SECTOR)
    return str(tmp_path / "sector")


@pytest.mark.parametrize("provider", ["cgroup", "qemu"])
def test_a_disk_is_made_its_host_and_stays_it(tmp_path: Path, provider: str) -> None:
    if not shutil.which("ssh-keygen"):
        pytest.skip("no ssh-keygen here: apt install openssh-client")
    (tmp_path / "image/home/admin").mkdir(parents=True)
    given = {"directory": str(tmp_path / "hosts"), "image": str(tmp_path / "image")}
    try:
        machine = machines.Machine(params(provider=provider, **given), "app1")
    except lab.LabError as error:
        pytest.skip(str(error))
    machine._identify()
    key = machine.host_key()
    machine._identify()  # as when it is booted again
    assert machine.host_key() == key
    assert key.startswith("ssh-ed25519 AAAA")
    assert (machine.root / "etc/hostname").read_text() == "app1\n"
    assert (machine.root / "etc/hosts").read_text().splitlines() == [
        "127.0.0.1 localhost",
        "10.77.7.21 app1",
        "10.77.7.41 db1",
        "192.0.2.80 deb.example.org",
    ]
    wired = (machine.root / "etc/systemd/network/10-lab.network").read_text().splitlines()
    assert {"Address=10.77.7.21/24", "Gateway=10.77.7.1"} <= set(wired)
    authorized = machine.root / "home/admin/.ssh/authorized_keys"
    assert authorized.read_text() == "ssh-ed25519 AAAA me\n"
    assert authorized.stat().st_mode & 0o777 == 0o600
    assert authorized.parent.stat().st_mode & 0o777 == 0o700


def test_whatever_is_left_of_a_lab_goes(cgroup: Any, sleeper: Any, tmp_path: Path) -> None:
    cgroup.create()
    process = sleeper(cgroup.path)
    (tmp_path / "host2" / "upper" / "etc").mkdir(parents=True)
    (tmp_path / "host2" / "root").mkdir()
    given = {"lab": NAME, "directory": str(tmp_path), "provider": "cgroup", "state": "absent"}
    running = {"host1": False, "host2": False}  # a host without its disk does not run
    expected = {"changed": True, "running": running}
    assert expected.items() <= greenrack_modules.run(machines, check=True, **given).items()
    assert process.poll() is None
    assert expected.items() <= greenrack_modules.run(machines, **given).items()
    assert process.wait() == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
    assert greenrack_modules.run(machines, **given)["changed"] is False


def test_what_a_start_needs_is_asked_for(tmp_path: Path) -> None:
    result = greenrack_modules.run(machines, lab=NAME, directory=str(tmp_path))
    assert result["failed"]
    assert "machines, image, bridge, gateway, authorized_key" in result["msg"]
