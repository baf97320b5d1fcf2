"""A load that several load hosts share: what each of them does, and one report from what all brought back.

A log is merged by putting the rows of all in order of their start: the hosts' clocks have to agree as
well as the times are to be read. A report keeps the plan of each host and adds up its counts; it is
finished when the last is. Percentiles are left out: they cannot be added up, and the log has them.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from bench.errors import BadInput
from bench.measured import wrong_output

_PLAN = re.compile(r"^spawning thread #.*total requests$", re.MULTILINE)
_FINISHED = re.compile(r"^finished in ([\d.]+)(us|ms|s),", re.MULTILINE)
_REQUESTS = re.compile(r"^requests: .*$", re.MULTILINE)
_STATUS = re.compile(r"^status codes: .*$", re.MULTILINE)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_STEPS = (10, 25, 125)  # requests a second: h2load keeps the multiples of each
_RAMP = 100  # connections a second, the same


def merged(parts: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return one standard output and one log from those of each load host.

    A single part stays as it is, whatever engine it is from. Raises BadInput for several that are
    not all h2load's. If one of them has no report, neither has the whole: its counts are the log's.
    """
    if len(parts) == 1:
        return parts[0]
    plans = [_PLAN.findall(stdout) for stdout, _ in parts]
    if not plans or not all(plans):
        raise wrong_output("h2load", f"of {len(parts)} load hosts {plans.count([])} ran no h2load")
    lines = [
        f"{len(parts)} load hosts shared this load:",
        *(line for plan in plans for line in plan),
    ]
    reports = [_report(stdout) for stdout, _ in parts]
    missing = reports.count(None)
    if missing:
        lines.append(f"{missing} of them printed no report")
    else:
        lines += _summed([report for report in reports if report])
    rows = [row for _, log in parts for row in log.splitlines() if row]
    rows.sort(key=_start)
    return "\n".join(lines) + "\n", "".join(f"{row}\n" for row in rows)


def _start(row: str) -> int:
    first = row.split("\t", 1)[0]
    return int(first) if first.isdecimal() else 0  # no row: parse_log says so


def _report(stdout: str) -> tuple[float, str, str] | None:
    """Return the seconds and the two lines with counts of a report, None if there is none."""
    finished, requests = _FINISHED.search(stdout), _REQUESTS.search(stdout)
    if not finished or not requests:
        return None
    status = _STATUS.search(stdout)
    return float(finished[1]) * _SECONDS[finished[2]], requests[0], status[0] if status else ""


def _summed(reports: Sequence[tuple[float, str, str]]) -> list[str]:
    seconds = max(report[0] for report in reports)
    requests, status = (_added([report[i] for report in reports]) for i in (1, 2))
    done = re.search(r"(\d+) done", requests)
    rate = int(done[1]) / seconds if done and seconds else 0
    return [f"finished in {seconds:.6f}s, {rate:.2f} req/s", requests, status]


def _added(lines: Sequence[str]) -> str:
    """Return the first line with each of its numbers the sum of all lines'; 2xx is no number."""
    number = re.compile(r"\b\d+\b")
    sums = [sum(map(int, column)) for column in zip(*map(number.findall, lines), strict=True)]
    return number.sub(lambda _: str(sums.pop(0)), lines[0])


def share(load: dict[str, Any], hosts: int, number: int) -> dict[str, Any]:
    """Return what load host `number`, from 0, of `hosts` does of a load.

    Each client, with all it asks for, is one host's; a rate is divided into rates h2load keeps. The
    shares of all hosts add up to the load. Raises BadInput for what cannot be divided so.
    """
    if not 0 <= number < hosts:
        raise BadInput(f"there is no load host {number} of {hosts}", f"0 to {hosts - 1}", "0")
    if hosts == 1:
        return dict(load)
    kind = load.get("kind", "closed")
    if kind == "search":
        raise _undivided(
            load, "a search judges each rate before it chooses the next", "1 load host"
        )
    if load.get("engine", "h2load") != "h2load":
        raise _undivided(load, "reports of ab cannot be added up", "h2load, or 1 load host")
    if kind == "open":
        return load | {"rate": _rates(load, hosts)[number]}
    clients, requests = load["concurrency"], load["requests"]
    if clients < hosts:
        raise _undivided(load, f"there are {clients} clients", f"{clients} load hosts at most")
    # As h2load does it: the first clients have one request more if it does not come out even.
    each, more = divmod(requests, clients)
    own = range(number, clients, hosts)
    part = {"concurrency": len(own), "requests": each * len(own) + sum(at < more for at in own)}
    if load.get("ramp"):
        steps = load["ramp"] // _RAMP
        if steps < hosts or load["ramp"] % _RAMP:
            valid = f"a multiple of {_RAMP}, at least {hosts * _RAMP}"
            raise _undivided(load, f"its ramp is {load['ramp']}", valid)
        part["ramp"] = _parts(steps, hosts)[number] * _RAMP
    return load | part


def _rates(load: dict[str, Any], hosts: int) -> list[int | float]:
    """Return the rate of each host: the same if h2load keeps that, else as even as it does."""
    rate, seconds = Fraction(str(load["rate"])), Fraction(str(load["seconds"]))
    even = rate / hosts
    if _kept(even) and (even * seconds).denominator == 1:
        return [int(even) if even.denominator == 1 else float(even)] * hosts
    for step in _STEPS:
        if rate % step == 0 and rate // step >= hosts and (step * seconds).denominator == 1:
            return [part * step for part in _parts(int(rate // step), hosts)]
    raise _undivided(load, f"its rate is {load['rate']}", f"a multiple of {10 * hosts}")


def _kept(rate: Fraction) -> bool:
    """Return whether h2load keeps a rate: a whole number of connections each 1 to 100 ms."""
    return any((rate * ms / 1000).denominator == 1 for ms in range(1, 101))


def _parts(whole: int, hosts: int) -> list[int]:
    return [len(range(number, whole, hosts)) for number in range(hosts)]


def _undivided(load: dict[str, Any], why: str, valid: str) -> BadInput:
    wrong = f"the load {load.get('name', '')} cannot be shared by several load hosts: {why}"
    return BadInput(wrong, valid, "--limit with one load host")
