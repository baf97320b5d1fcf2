"""load OUTDIR: puts one load on a site with h2load or ab, and tells what that took.

Standard input is an object of JSON; other keys than these are left alone:

    kind         "closed": clients that ask again when they are answered; "open": requests that come at a rate,
                 whatever becomes of them; "search": open loads, for the highest rate that is served well
    engine       "h2load", or "ab" for a closed load
    url          what is asked for
    requests, concurrency   of a closed load; ramp: connections h2load opens a second, a multiple of 100, 0: at once
    rate, seconds           requests a second of an open load; how long it lasts, or each try of a search
    objective, from, to     of a search: seconds the p99 since a request was due may be; rates, multiples of 10
    at, limit    when to begin (epoch; null: now); seconds after which the engine is ended (null: never)
    agent, host  the User-Agent and the Host the requests carry; "": the engine's own

OUTDIR gets `stdout`, what the engine printed; `log`, a row a request, of open loads of which all requests have one with
late=MICROSECONDS behind it, how much later than due it was started; and, last of all, `used.json`:

    host, command, began (epoch), seconds, cpu_seconds (the engine's), busy (share of the host's CPU, 0 to 1)
    run_delay_seconds   that the engine's threads were ready to run and others ran; null where the kernel does not say,
                 or of a run that was too short to be looked at
    ended, syn_resent   null, or that the limit was reached; connections asked for again after a second unanswered
    lag          of open loads of which all requests have a row: seconds they were started late: p50, p99, max
    rates        of a search: each try in order: rate, failed, held, lag, share (of a core), waited (share of
                 the time, for a core), syn_resent, and p99
                 since due: null if some failed, of fewer than 1,000 requests the slowest
    best_rate    the highest rate that held; null: none did. All else is of that try, or of the last if none held

Exit code 0: the engine has run, whatever came of it; 2: it could not be run; else a signal ended it: no used.json.
"""

import contextlib
import http.client
import json
import os
import resource
import select
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from lateness import judged, mark, told
from spec import Wrong, checked, command, rates_of

TRIES, NEVER = 12, float("inf")
ENDING = (signal.SIGTERM, signal.SIGINT)


def counters():
    """Return the children's CPU seconds, the host's busy ticks and all, and connections asked for again."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    lines = Path("/proc/net/netstat").read_text().splitlines()
    names, numbers = (line.split() for line in lines if line.startswith("TcpExt:"))
    resent = int(numbers[names.index("TCPSynRetrans")])
    return used.ru_utime + used.ru_stime, sum(ticks) - ticks[3] - ticks[4], sum(ticks), resent


def run_delays(pid):
    """Return the seconds that each thread of a process was ready to run and not let, as far as the kernel says."""
    found = {}
    with contextlib.suppress(OSError):  # it ends
        for task in Path(f"/proc/{pid}/task").iterdir():
            found[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found


def run(line, folder, spec, deadline):
    """Run the engine in a folder; return what that took."""
    delays = {}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log").write_bytes(b"")  # h2load appends to it
    began, clock, before, ended = time.time(), time.monotonic(), counters(), []
    with (folder / "stdout").open("wb") as out:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until it can be ended
        engine = subprocess.Popen(
            line,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
        )

        def end(*_):
            ended.append(f"the engine was ended after {spec['limit']} s")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(engine.pid, signal.SIGKILL)

        try:
            signal.signal(signal.SIGALRM, end)
            if deadline < NEVER:
                signal.setitimer(signal.ITIMER_REAL, max(0.001, deadline - time.monotonic()))
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            exited = os.pidfd_open(engine.pid)
            while not select.select([exited], [], [], 0.1)[0]:
                delays.update(run_delays(engine.pid))
            os.close(exited)
            engine.wait()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if engine.returncode is None:
                os.killpg(engine.pid, signal.SIGKILL)
                engine.wait()
    seconds = time.monotonic() - clock
    cpu, busy, ticks, resent = (b - a for a, b in zip(before, counters()))
    return {
        "command": " ".join(map(shlex.quote, line)),
        "began": began,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "run_delay_seconds": sum(delays.values()) if delays else None,
        "busy": busy / ticks if ticks else None,
        "syn_resent": resent,
        "ended": ended[0] if ended else None,
    }


def settle(spec, fastest, deadline):
    """Wait until the site answers a single request as fast as it did, 30 s at most."""
    unverified = ssl._create_unverified_context()  # noqa: S323 - h2load does not look at certificates either
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified)
    opener = urllib.request.build_opener(*handlers)
    host = {"Host": spec["host"]} if spec.get("host") else {}
    request = urllib.request.Request(spec["url"], None, {"User-Agent": "greenrack-idle", **host})  # noqa: S310
    until = min(deadline, time.monotonic() + (30 if fastest < NEVER else 0.5))
    while time.monotonic() < until:
        time.sleep(0.5)
        began = time.monotonic()
        wrong = contextlib.suppress(OSError, http.client.HTTPException)
        with wrong, opener.open(request, timeout=10) as answer:
            answer.read()
            if time.monotonic() - began <= 1.5 * fastest + 0.05:
                return


def search(spec, outdir, deadline):
    """Find the highest rate that holds, its output in OUTDIR; return what its run took."""
    rates, at, tried, best, fastest, took = rates_of(spec), outdir / "try", [], None, NEVER, {}
    low, high = -1, len(rates)
    while high - low > 1 and len(tried) < TRIES and not took.get("ended"):
        rate = rates[(low + high) // 2]
        if tried:
            settle(spec, fastest, deadline)
        took = run(command(spec, rate), at, spec, deadline)
        rows, began = told(at)
        failed, p99, lag, lates = judged(rows, began, spec, rate, took["syn_resent"])
        held = p99 is not None and p99 <= spec["objective"]
        tried.append({"rate": rate, "p99": p99, "failed": failed, "held": held, "lag": lag})
        tried[-1].update(
            share=took["cpu_seconds"] / took["seconds"],
            waited=(took["run_delay_seconds"] or 0) / took["seconds"],
            syn_resent=took["syn_resent"],
        )
        fastest = min([fastest, *(row[2] for row in rows if 200 <= row[1] <= 299)])
        if held or best is None:
            kept, best = {**took, "lag": lag}, rate if held else None
            if lates:
                mark(at / "log", rows, lates)
            for name in ("stdout", "log"):
                (at / name).replace(outdir / name)
        low, high = (rates.index(rate), high) if held else (low, rates.index(rate))
    shutil.rmtree(at)
    return {**kept, "ended": took["ended"], "rates": tried, "best_rate": best}


def main(outdir):
    """Run the load."""
    for number in ENDING:
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    spec, outdir = checked(json.load(sys.stdin)), Path(outdir).resolve()
    outdir.mkdir(parents=True, exist_ok=True)
    for name in {"stdout", "log", "used.json"}.intersection(os.listdir(outdir)):  # noqa: PTH208
        (outdir / name).unlink()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    time.sleep(max(0, (spec.get("at") or 0) - time.time()))
    deadline = time.monotonic() + (spec.get("limit") or NEVER)
    used = {"host": socket.gethostname(), "lag": None, "rates": None, "best_rate": None}
    if spec["kind"] == "search":
        used.update(search(spec, outdir, deadline))
    else:
        rate = spec["rate"] if spec["kind"] == "open" else None
        used.update(run(command(spec, rate), outdir, spec, deadline))
        if rate:
            rows, began = told(outdir)
            *_, used["lag"], lates = judged(rows, began, spec, rate, used["syn_resent"])
            if lates:
                mark(outdir / "log", rows, lates)
    (outdir / "used.json").write_text(json.dumps(used))


if __name__ == "__main__":
    try:
        if len(sys.argv) != 2:
            raise ValueError(__doc__)
        main(sys.argv[1])
    except (Wrong, OSError, ValueError) as why:
        print(why, file=sys.stderr)
        sys.exit(2)
