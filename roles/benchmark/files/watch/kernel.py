"""What the kernel tells of processes, of their cgroup and of their network."""

import contextlib
import os
import re
import socket
import struct

TICK = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError)
NETLINK_SOCK_DIAG, ASKED = 4, 20  # the message SOCK_DIAG_BY_FAMILY
ESTABLISHED, LISTEN = 1 << 1, 1 << 10  # states, as sock_diag's masks
MEMORY = re.compile(rb"^(Rss|Pss): +(\d+) kB", re.M)
SWITCHES = re.compile(rb"ctxt_switches:\t(\d+)")


def contents(path):
    """Return what is in a small file of the kernel's; nothing if its process has gone."""
    # Not through Path: it is called thousands of times.
    with contextlib.suppress(*GONE), open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()
    return b""


def cpu_seconds(group):
    """Return the seconds of CPU the cgroup's processes have used since it was made."""
    found = re.search(rb"usage_usec (\d+)", contents(group / "cpu.stat"))
    return int(found[1]) / 1e6 if found else 0.0


def pids_of(group):
    """Return the cgroup's processes."""
    return [int(pid) for pid in contents(group / "cgroup.procs").split()]


def memory(pids):
    """Return the bytes of PSS and of RSS of the processes."""
    sums = {b"Pss": 0, b"Rss": 0}
    for pid in pids:
        for kind, kibibytes in MEMORY.findall(contents(f"/proc/{pid}/smaps_rollup")):
            sums[kind] += int(kibibytes) * 1024
    return sums[b"Pss"], sums[b"Rss"]


def processes(pids):
    """Return the number of threads and the CPU seconds of each process that is still there."""
    found = {}
    for pid in pids:
        fields = contents(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if fields:
            found[pid] = int(fields[17]), (int(fields[11]) + int(fields[12])) / TICK
    return found


def entries(directory):
    """Return the names in a directory of a process; none if it has gone."""
    with contextlib.suppress(*GONE):
        return os.listdir(directory)  # noqa: PTH208
    return []


def switches(pids):
    """Return the voluntary and involuntary context switches of each thread of the processes."""
    found = {}
    for task in (f"/proc/{pid}/task" for pid in pids):
        for thread in entries(task):
            told = SWITCHES.findall(contents(f"{task}/{thread}/status"))
            found.update({thread: tuple(map(int, told))} if told else {})
    return found


def held(pids, inodes):
    """Return which of the sockets the processes hold."""
    links = set()
    for pid in pids:
        for fd in entries(f"/proc/{pid}/fd"):
            with contextlib.suppress(*GONE):
                links.add(os.readlink(f"/proc/{pid}/fd/{fd}"))  # noqa: PTH115
    return {inode for inode in inodes if f"socket:[{inode}]" in links}


def tcp(family, states, port=0):
    """Return the question for TCP sockets in these states, connected to this port."""
    kind = (family, socket.IPPROTO_TCP, 0, 0, states)
    return struct.pack("=4BI2x2s44x", *kind, port.to_bytes(2, "big"))


# For listening sockets, and where the answers have queue and inode. UNIX: UDIAG_SHOW_RQLEN, no cookie.
LISTENERS = [
    (tcp(socket.AF_INET, LISTEN), 56, 68),
    (tcp(socket.AF_INET6, LISTEN), 56, 68),
    (struct.pack("=2BH5I", socket.AF_UNIX, 0, 0, LISTEN, 0, 0x10, 2**32 - 1, 2**32 - 1), 20, 4),
]


class Network:
    """The network namespace of a process; sockets are asked for as ss does, in 30 us instead of 25 ms."""

    def __init__(self, pid):
        # These stay with the namespace, even when the process has gone.
        self.netstat = os.open(f"/proc/{pid}/net/netstat", os.O_RDONLY)
        self.sockstat = os.open(f"/proc/{pid}/net/sockstat", os.O_RDONLY)
        self.diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)

    def answers(self, question):
        """Yield what sock_diag answers to a question, a message a socket."""
        self.diag.send(struct.pack("=I2H2I", 16 + len(question), ASKED, 0x301, 0, 0) + question)
        kind = None
        while kind not in (2, 3):  # NLMSG_ERROR: a kernel without such sockets; NLMSG_DONE
            data, at = self.diag.recv(1 << 16), 0
            while at < len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == ASKED:
                    yield data[at + 16 : at + length]
                at += (length + 3) & ~3

    def queues(self):
        """Return the length of the accept queue of each listening socket, by inode."""
        return {
            struct.unpack_from("=I", answer, inode)[0]: struct.unpack_from("=I", answer, queue)[0]
            for question, queue, inode in LISTENERS
            for answer in self.answers(question)
        }

    def connections(self, port):
        """Return the number of connections to a port."""
        families = (socket.AF_INET, socket.AF_INET6)
        return sum(1 for at in families for _ in self.answers(tcp(at, ESTABLISHED, port)))

    def counted(self):
        """Return the connections that a full accept queue dropped, and those in TIME_WAIT."""
        lines = os.pread(self.netstat, 1 << 16, 0).splitlines()
        names, numbers = (line.split() for line in lines if line.startswith(b"TcpExt:"))
        waiting = re.search(rb"\btw (\d+)", os.pread(self.sockstat, 1 << 16, 0))[1]
        return int(numbers[names.index(b"ListenOverflows")]), int(waiting)
