"""Samples of a unit, each kind as often as it may cost, and what they come to."""

import socket
import time
from pathlib import Path

from kernel import contents, cpu_seconds, held, memory, pids_of, processes, switches

# What is sampled, how often at most (seconds), and which share of a core it may cost, below 1 % together: what is
# dear, as the memory of large processes and the switches of many threads are, is sampled less often.
PACES = {
    "network": (0.1, 0.0015),
    "processes": (0.25, 0.0008),
    "connections": (0.5, 0.0006),
    "memory": (1.0, 0.0025),
    "switches": (2.0, 0.0008),
    "speed": (0.05, 0.003),
}
PEAKS = ("memory", "rss", "threads", "listen", "time_wait", "connections")
PIECE = 3000  # turns of a loop: a fifth of a millisecond, more or less


def versions(pid):
    """Return the version of each distribution that the process's environment has; none if it has none."""
    python = contents(f"/proc/{pid}/cmdline").split(b"\0")[0].decode(errors="replace")
    # A server may have written a title there: then it is the environment of the release it runs in.
    places = Path(python).parent.parent, Path(f"/proc/{pid}/cwd/.venv")
    files = [
        each for place in places for each in place.glob("lib/python3*/site-packages/*.dist-info")
    ]
    return dict(file.stem.rsplit("-", 1) for file in files if "-" in file.stem)


class Watch:
    """Samples a unit; all it knows is of the time since `begin`, except `before`."""

    def __init__(self, group, main, network, port=None):
        self.group, self.main, self.network, self.port = group, main, network, port
        self.overflows, self.threads = None, {}
        self.due = dict.fromkeys(PACES, 0.0)
        self.begin()
        self.take("memory")
        self.before = {what: self.peaks[what] for what in ("memory", "rss", "threads")}

    def begin(self):
        """Forget what was: the load begins. Memory is read when its time comes, as it is dear."""
        self.own, self.began = time.process_time(), time.monotonic()  # it starts no other processes
        self.peaks = dict.fromkeys(PEAKS)
        self.cpu, self.cpu_last = 0.0, cpu_seconds(self.group)
        self.master, self.master_before = 0.0, processes([self.main]).get(self.main, (0, 0.0))[1]
        self.paced, self.pieces, self.paced_last = 0.0, 0.0, self.cpu_last
        self.take("switches")
        self.threads = {thread: (last, last) for thread, (_, last) in self.threads.items()}
        self.scanned, self.sockets = set(), set()
        self.take("processes")
        self.take("network")
        self.overflows_before = self.overflows

    def take(self, what):
        """Take one kind of sample, and set the time of its next."""
        began = time.process_time()
        getattr(self, "see_" + what)()
        least, share = PACES[what]
        self.due[what] = time.monotonic() + max(least, (time.process_time() - began) / share)

    def peak(self, what, value):
        """Remember a value if it is the largest so far."""
        self.peaks[what] = max(self.peaks[what] or 0, value)

    def see_network(self):
        """Look at the accept queues and the connections in TIME_WAIT."""
        if self.network:
            self.overflows, waiting = self.network.counted()
            self.peak("time_wait", waiting)
        if self.sockets:
            queues = self.network.queues()
            self.peak("listen", max(queues.get(inode, 0) for inode in self.sockets))

    def see_processes(self):
        """Count the threads and the CPU, and look for sockets of processes that are new."""
        seen = processes(pids_of(self.group))
        self.peak("threads", sum(threads for threads, _ in seen.values()))
        last, self.cpu_last = self.cpu_last, cpu_seconds(self.group)
        # A unit that was restarted has a new cgroup, which counts from 0.
        self.cpu += self.cpu_last - (last if last <= self.cpu_last else 0)
        if self.main in seen:
            self.master = seen[self.main][1] - self.master_before
        new = set(seen) - self.scanned
        if new and self.network:
            self.sockets |= held(new, self.network.queues())
            self.scanned |= new

    def see_connections(self):
        """Count the connections to the port."""
        if self.network and self.port:
            self.peak("connections", self.network.connections(self.port))

    def see_memory(self):
        """Read the memory of all processes."""
        for what, value in zip(("memory", "rss"), memory(pids_of(self.group))):
            self.peak(what, value)

    def see_switches(self):
        """Read the switches of all threads."""
        for thread, now in switches(pids_of(self.group)).items():
            self.threads[thread] = self.threads.get(thread, [(0, 0)])[0], now

    def see_speed(self):
        """Do a piece of work: what slows it down, as others on the same cores do, slows the unit down too.

        What counts is how many pieces the CPU was worth that the unit has used since the last one: the processor
        is slower while it is busy, and the unit uses it in bursts.
        """
        began = time.thread_time()
        total = 0
        for number in range(PIECE):
            total += number * number % 7
        took = time.thread_time() - began
        last, self.paced_last = self.paced_last, cpu_seconds(self.group)
        used = self.paced_last - (last if last <= self.paced_last else 0)
        self.paced += used
        self.pieces += used / max(took, 1e-6)

    def used(self):
        """Take the last samples; return what the unit has used since `begin`."""
        own = time.process_time() - self.own
        for what in PACES:
            self.take(what)
        switched = [(b[0] - a[0], b[1] - a[1]) for a, b in self.threads.values()]
        return {
            "host": socket.gethostname(),
            "cpu_seconds": self.cpu,
            "groups": {"master": self.master, "workers": max(0.0, self.cpu - self.master)},
            **{f"{what}_before": value for what, value in self.before.items()},
            **{f"{what}_peak": value for what, value in self.peaks.items()},
            "voluntary_switches": sum(voluntary for voluntary, _ in switched),
            "involuntary_switches": sum(involuntary for _, involuntary in switched),
            "listen_overflows": self.network and self.overflows - self.overflows_before,
            "yardstick_seconds": self.paced / self.pieces if self.pieces else None,
            "versions": versions(self.main),
            "watch_cpu_seconds": own,
            "watch_seconds": time.monotonic() - self.began,
        }
