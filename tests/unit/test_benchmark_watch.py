"""The benchmark's watcher, on real processes: what it reads is the kernel's own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_hosts import FILES, script

kernel, samples = script("watch/kernel.py"), script("watch/samples.py")

# A unit's process: it does what it is told, a line at a time, and says so. Of the CPU it burns, half is the kernel's.
OBEY = """
import os, socket, sys, threading, time

def burn(seconds):
    for work in (lambda: sum(range(50_000)), lambda: os.urandom(100_000)):
        began = time.process_time()
        while time.process_time() < began + seconds / 2:
            work()

print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Unit:
    """A process, told what to do, and a cgroup's directory with it in."""

    def __init__(self, group: Path, command: tuple[str, ...] = ()):
        self.group = group
        self.process = subprocess.Popen(
            [*command, sys.executable, "-c", OBEY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "ready\n"

    def does(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def says(self, name: str) -> str:
        """Return what an expression is in the process."""
        self.does(
            f"sys.stderr = open('{self.group}.said', 'w'); print({name}, file=sys.stderr, flush=True)"
        )
        return Path(f"{self.group}.said").read_text().strip()

    def watched(self, port: int = 0):
        return samples.Watch(self.group, self.pid, kernel.Network(self.pid), port)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Unit]:
    """One whose cgroup is written by hand: which processes are in it, and their CPU."""
    group = tmp_path / "group"
    group.mkdir()
    (group / "cpu.stat").write_text("usage_usec 0\n")
    unit = Unit(group)
    (group / "cgroup.procs").write_text(f"{unit.pid}\n")
    yield unit
    unit.end()


@pytest.fixture
def grouped() -> Iterator[Unit]:
    """One in a cgroup of its own."""
    root = Path("/sys/fs/cgroup/unified")
    group = (root if root.exists() else root.parent) / f"greenrack-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as why:
        pytest.skip(f"no cgroup can be made here (it takes root and cgroup v2): {why}")
    enter = ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "enter")
    unit = Unit(group, enter)
    yield unit
    unit.end()
    while group.exists():
        try:
            group.rmdir()
        except OSError:  # its last process is about to go
            time.sleep(0.01)


def test_memory_is_that_of_all_processes_and_a_dead_one_has_none(unit):
    pids = [os.getpid(), unit.pid, 2**22 + 1]
    before = kernel.memory(pids)
    held = os.urandom(30_000_000)
    after = kernel.memory(pids)
    for kind in (0, 1):
        assert after[kind] - before[kind] == pytest.approx(len(held), rel=0.3)
    assert after > kernel.memory([os.getpid()])


def test_peaks_are_those_of_the_load_and_before_is_of_the_start(unit):
    watch = unit.watched()
    unit.does("held = os.urandom(40_000_000)")  # warms up
    watch.take("memory")
    unit.does("del held")
    watch.begin()
    unit.does("held = os.urandom(20_000_000)")
    watch.take("memory")
    unit.does("del held")
    used = watch.used()
    for kind in ("memory", "rss"):
        grown = used[f"{kind}_peak"] - used[f"{kind}_before"]
        assert grown == pytest.approx(20_000_000, rel=0.3)


def test_threads_are_counted_of_all_processes(unit):
    watch = unit.watched()
    before = watch.used()["threads_before"]
    (unit.group / "cgroup.procs").write_text(f"{unit.pid}\n{os.getpid()}\n")
    watch.begin()
    unit.does("stay = threading.Event()")
    unit.does("for _ in range(30): threading.Thread(target=stay.wait, daemon=True).start()")
    watch.take("processes")
    unit.does("stay.set()")
    ours = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    assert (before, watch.used()["threads_peak"]) == (1, 31 + ours)


def test_switches_are_of_all_threads_from_the_beginning_on(unit):
    watch = unit.watched()
    nap = "[time.sleep(0.0001) for _ in range({})]"
    unit.does(nap.format(500))
    watch.begin()
    unit.does(f"one = threading.Thread(target=lambda: {nap.format(200)})")
    unit.does("one.start(); one.join()")  # it has ended before anybody looked
    unit.does(f"stay = threading.Event(); two = lambda: ({nap.format(100)}, stay.wait())")
    unit.does("one = threading.Thread(target=two, daemon=True); one.start()")
    unit.does(nap.format(50))
    unit.does("time.sleep(0.1)")
    watch.take("switches")
    unit.does("stay.set(); one.join()")  # it has ended after
    used = watch.used()
    assert 150 <= used["voluntary_switches"] < 350
    assert used["involuntary_switches"] >= 0


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX"])
def test_the_longest_accept_queue_is_that_of_the_units_own_sockets(unit, family):
    address = {"AF_INET": ("127.0.0.1", 0), "AF_INET6": ("::1", 0), "AF_UNIX": f"{unit.group}/s"}
    unit.does(
        f"own = socket.socket(socket.{family}); own.bind({address[family]!r}); own.listen(50)"
    )
    where = unit.says("own.getsockname()")
    kind = getattr(socket, family)
    with socket.create_server(("127.0.0.1", 0), backlog=50) as other:
        connections = [socket.create_connection(other.getsockname()) for _ in range(20)]
        watch = unit.watched()
        for _ in range(7):
            connections.append(socket.socket(kind))
            connections[-1].connect(eval(where) if kind != socket.AF_UNIX else where)  # noqa: S307
        watch.take("network")
        unit.does("[own.accept() for _ in range(7)]")
        used = watch.used()
        for connection in connections:
            connection.close()
    assert used["listen_peak"] == 7


def test_a_unit_without_listening_sockets_has_no_queue(unit):
    assert unit.watched().used()["listen_peak"] is None


def test_what_a_full_queue_dropped_is_counted(unit):
    watch = unit.watched()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        asking = [socket.socket() for _ in range(5)]
        for one in asking:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        used = watch.used()
        for one in asking:
            one.close()
    assert used["listen_overflows"] >= 1


def test_connections_to_the_port_and_those_in_time_wait_are_counted(unit):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        watch = unit.watched(port)
        asking = [socket.create_connection(("127.0.0.1", port)) for _ in range(6)]
        watch.take("connections")
        for one in asking:
            one.close()  # and waits, as it closed first
            server.accept()[0].close()
        used = watch.used()
    assert used["connections_peak"] == 6
    assert used["time_wait_peak"] >= 6
    assert unit.watched().used()["connections_peak"] is None


def test_cpu_is_that_of_the_load_and_of_processes_that_have_ended_too(grouped):
    watch = grouped.watched()
    grouped.does("burn(0.3)")  # warms up
    watch.begin()
    grouped.does("burn(0.2)")
    grouped.does("pid = os.fork() or (burn(0.2), os._exit(0))")
    grouped.does("os.waitpid(pid, 0)")
    used = watch.used()
    assert used["cpu_seconds"] == pytest.approx(0.4, rel=0.2)
    assert used["groups"]["master"] == pytest.approx(0.2, rel=0.2)
    assert used["groups"]["workers"] == pytest.approx(0.2, rel=0.2)


def test_a_unit_that_was_restarted_loses_no_cpu_that_was_seen(unit):
    cpu = unit.group / "cpu.stat"
    cpu.write_text("usage_usec 2000000\n")
    watch = unit.watched()
    cpu.write_text("usage_usec 5000000\n")
    watch.take("processes")
    cpu.unlink()  # with its cgroup
    watch.take("processes")
    cpu.write_text("usage_usec 1000000\n")
    assert watch.used()["cpu_seconds"] == pytest.approx(4)


def test_what_is_dear_is_sampled_less_often(unit, monkeypatch):
    watch = unit.watched()
    least, share = samples.PACES["memory"]

    def dear() -> None:
        began = time.process_time()
        while time.process_time() < began + 0.02:
            pass

    for see, pause in ((lambda: None, least), (dear, 0.02 / share)):
        monkeypatch.setattr(watch, "see_memory", see)
        watch.take("memory")
        assert watch.due["memory"] - time.monotonic() == pytest.approx(pause, rel=0.2)
    assert sum(share for _, share in samples.PACES.values()) < 0.01


def test_it_watches_a_unit_from_one_signal_to_the_other(grouped, tmp_path):
    """As systemd runs it: a unit it is told of, USR1 when the load begins, TERM when it is over."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        f"#!/bin/sh\necho ControlGroup=/{grouped.group.name}\necho MainPID={grouped.pid}\n"
    )
    systemctl.chmod(0o755)
    command = [sys.executable, "-I", str(FILES / "watch"), "demo.service"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    waits(process.pid)
    grouped.does("burn(0.3)")
    ran = Path(f"/proc/{grouped.pid}/schedstat")  # nanoseconds first
    spent = -int(ran.read_text().split()[0])
    process.send_signal(signal.SIGUSR1)
    while pending(process.pid):
        time.sleep(0.01)
    waits(process.pid)
    grouped.does("held = b'x' * 20_000_000; burn(0.1)")  # at times, one costs as much as the other
    spent += int(ran.read_text().split()[0])
    process.terminate()
    used = json.loads(process.communicate()[0])
    assert process.returncode == 0
    assert used["cpu_seconds"] == pytest.approx(spent / 1e9, rel=0.1, abs=0.01)
    assert used["host"] == socket.gethostname()
    assert used["memory_peak"] - used["memory_before"] == pytest.approx(20e6, rel=0.3)
    assert used["watch_cpu_seconds"] > 0
    assert used["versions"]["pytest"] == pytest.__version__


def status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))


def pending(pid: int) -> bool:
    return int(status(pid, "ShdPnd"), 16) != 0


def waits(pid: int) -> None:
    """Wait until it waits for signals, which it does with those blocked that it waits for."""
    for _ in range(1000):
        if "sigtimedwait" in Path(f"/proc/{pid}/wchan").read_text():
            return
        time.sleep(0.01)
    pytest.fail("it does not wait for signals, or the kernel does not tell")
