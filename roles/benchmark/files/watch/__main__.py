"""watch UNIT [PORT]: samples what a systemd unit uses until it gets TERM, then prints it as JSON.

It runs as the unit's own user, and needs CAP_SYS_PTRACE besides: the unit's processes are in a namespace of users of
their own. So it is run by python3 -I, which takes nothing from where that user may write.

USR1 says that the load begins: counts are from there to TERM, peaks from there on. memory_before, rss_before
and threads_before are of the start, before anything was asked. What the kernel does not tell is null.

    host                        name of the host
    cpu_seconds                 of the unit's processes, those that have ended too (the cgroup's own count)
    groups                      the same: "master" is the unit's main process, "workers" all others
    memory_before, _peak        bytes of PSS: what is shared is divided among those that share it
    rss_before, _peak           bytes of RSS, of which each process counts all it shares
    threads_before, _peak       threads of all processes, the lines of top -H
    voluntary_, involuntary_switches  of all threads; of one that ended, up to when it was last looked at
    listen_peak                 largest accept queue seen of the unit's listening sockets, TCP and UNIX
    listen_overflows, time_wait_peak, connections_peak  in the unit's network namespace: connections dropped as
                                an accept queue was full, those in TIME_WAIT, and those to PORT (the database's)
    yardstick_seconds           CPU a fixed piece of Python took here while the unit used CPU: how slow a processor was
    versions                    of the distributions in the environment of the unit's Python
    watch_cpu_seconds, watch_seconds  what watching took, and how long that is, from USR1 to TERM
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from kernel import Network
from samples import Watch

SIGNALS = {signal.SIGUSR1, signal.SIGTERM}


def unit_of(name):
    """Return the directory of the unit's cgroup, and its main process."""
    command = ["systemctl", "show", "--property=ControlGroup,MainPID", name]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    told = dict(line.split("=", 1) for line in shown.splitlines())
    if not told["ControlGroup"]:
        sys.exit(f"error: {name} does not run here\n  type:  systemctl status {name}")
    beside = Path("/sys/fs/cgroup/unified")  # where v1 is used too
    root = beside if beside.exists() else beside.parent
    return root / told["ControlGroup"].lstrip("/"), int(told["MainPID"])


def main(unit, port=0):
    """Sample until TERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they wait until they are asked for
    group, main_pid = unit_of(unit)
    try:
        network = Network(main_pid)
    except OSError:
        network = None
    watch = Watch(group, main_pid, network, int(port))
    while True:
        pause = min(watch.due.values()) - time.monotonic()
        told = signal.sigtimedwait(SIGNALS, max(0.0, pause))
        if told and told.si_signo == signal.SIGTERM:
            break
        if told:
            watch.begin()
        for what, due in list(watch.due.items()):
            if due <= time.monotonic():
                watch.take(what)
    print(json.dumps(watch.used()))


if __name__ == "__main__":
    main(*sys.argv[1:])
