"""A load that several load hosts shared: one report from what all brought back.

A log is merged by putting the rows of all in order of their start: the hosts' clocks have to agree as
well as the times are to be read. A report keeps the plan of each host and adds up its counts; it is
finished when the last is. Percentiles are left out: they cannot be added up, and the log has them.
"""

import re
from collections.abc import Sequence

from bench.h2load import finished
from bench.measured import wrong_output

_PLAN = re.compile(r"^spawning thread #.*total requests$", re.MULTILINE)
_REQUESTS = re.compile(r"^requests: .* timeout$", re.MULTILINE)
_STATUS = re.compile(r"^status codes: .* 5xx$", re.MULTILINE)


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
    """Return the seconds and the two lines with counts of a report, None if it is not whole."""
    seconds, requests, status = finished(stdout), _REQUESTS.search(stdout), _STATUS.search(stdout)
    if seconds is None or not requests or not status:
        return None
    return seconds, requests[0], status[0]


def _summed(reports: Sequence[tuple[float, str, str]]) -> list[str]:
    seconds = max(report[0] for report in reports)
    requests = _added([counts for _, counts, _ in reports])
    status = _added([told for _, _, told in reports])
    done = re.search(r"(\d+) done", requests)
    rate = int(done[1]) / seconds if done and seconds else 0
    return [f"finished in {seconds:.6f}s, {rate:.2f} req/s", requests, status]


def _added(lines: Sequence[str]) -> str:
    """Return the first line with each of its numbers the sum of all lines'; 2xx is no number."""
    number = re.compile(r"\b\d+\b")
    sums = [sum(map(int, column)) for column in zip(*map(number.findall, lines), strict=True)]
    return number.sub(lambda _: str(sums.pop(0)), lines[0])
