"""h2load's report (standard output) and log (--log-file), turned into a Measured.

The log has a row per request that got an answer: start in microseconds since the epoch, HTTP
status (-1: failed stream), duration in microseconds; more columns may follow. A refused, reset,
cut or never sent request has no row. A 503 has one. h2load counts 3xx as succeeded; we do not.
A start is when the connection stands. Behind the rows of an open load, the script `load` writes how
much later that was than due.
"""

import re
from collections import Counter
from typing import Any

from bench.errors import BadInput
from bench.measured import Measured, wrong_output
from bench.percentiles import summarise
from bench.steady import steady_rate

_COUNTS = re.compile(
    r"^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, "
    r"(\d+) failed, (\d+) errored, (\d+) timeout",
    re.MULTILINE,
)
_FINISHED = re.compile(r"^finished in ([\d.]+)(us|ms|s),", re.MULTILINE)
_PLAN = re.compile(
    r"(\d+) total client\(s\)\. (?:Up to \d+ client\(s\) will be created every \S+ )?(\d+) total requests"
)
_UNIT = {"us": 1e-6, "ms": 1e-3, "s": 1.0}

LATE = "late="
SINCE_CONNECTED = "latencies are since the connection stood: the wait for it is not in them"
Row = tuple[int, int, int]  # start (us since epoch), status, duration (us)


def parse_log(text: str) -> list[Row]:
    """Return the log's rows; raise BadInput naming the line that is no row.

    Where all of them say how late they were, a row starts when it was due, and lasts from then.
    """
    rows = []
    due = since_due(text)
    for number, line in enumerate(text.splitlines(), 1):
        try:
            columns = line.split("\t")
            start, status, duration = (int(column) for column in columns[:3])
            late = int(columns[-1].removeprefix(LATE)) if due else 0
        except ValueError as why:
            raise BadInput(
                f"--log: line {number} is no row of an h2load log: {line[:80]!r}",
                "start in us, status, duration in us, separated by tabs",
                "h2load ... --log-file=F   then: --log F (copied after h2load ended)",
            ) from why
        rows.append((start - late, status, duration + late))
    return rows


def finished(stdout: str) -> float | None:
    """Return the seconds that a report says the run took, None where it is not whole."""
    found = _FINISHED.search(stdout)
    return float(found[1]) * _UNIT[found[2]] if found else None


def since_due(text: str) -> bool:
    """Return whether every row of a log says how late it was: not where a load host could not tell."""
    lines = text.splitlines()
    return bool(lines) and all(line.rpartition("\t")[2].startswith(LATE) for line in lines)


def doubts(cell: dict[str, Any], latency: dict[str, Any], log: str) -> list[str]:
    """Return what is to be said of the latencies of a load at a rate whose log does not tell how late it was."""
    counted = latency.get("samples") != 0
    return [SINCE_CONNECTED] if cell.get("rate") and counted and not since_due(log) else []


def measure(
    stdout: str, log: str | None, requests: int, concurrency: int, delay: float
) -> Measured:
    """Return what the run came to. `delay` is not needed here: h2load's log tells all.

    Raises BadInput for another program's output, another cell's output, or a missing log.
    """
    plan = _PLAN.findall(stdout)
    if not plan:
        raise wrong_output("h2load", "this is not the output of an h2load run")
    clients, total = (sum(int(part[i]) for part in plan) for i in (0, 1))
    if (clients, total) != (concurrency, requests):
        raise wrong_output(
            "h2load", f"h2load ran -c {clients} -n {total}, the cell says {concurrency}, {requests}"
        )
    counts, engine_seconds = _COUNTS.search(stdout), finished(stdout)
    if counts and log is None:
        raise BadInput("no --log for an h2load run", "the file h2load wrote", "--log FILE")
    rows = parse_log(log or "")
    answered = [row for row in rows if row[1] > 0]
    good = [row for row in answered if 200 <= row[1] <= 299]
    statuses = sorted(Counter(row[1] for row in rows).items())
    detail: dict[str, Any] = {"status": {str(status): n for status, n in statuses}}
    flags = []
    if counts and engine_seconds is not None:
        _, started, done, succeeded, _, errored, timeout = map(int, counts.groups())
        # A broken connection is not reopened: what it had left to send is never sent.
        detail |= {"errored": errored, "timeout": timeout, "not_started": requests - started}
    else:
        done, succeeded, engine_seconds = min(len(answered), requests), requests, None
        flags.append("h2load printed no report (killed?): counts are the log's")
    if len(answered) != done:
        # Rows missing, or rows of an earlier run (the log is appended to): no times from them.
        flags.append(f"the log has {len(answered)} answers, h2load counted {done}: log not used")
        seconds, durations, steady = engine_seconds, [], None
    else:
        span, durations = _span(answered), [duration / 1e6 for _, _, duration in good]
        ends = [((start + took) / 1e6, 200 <= status <= 299) for start, status, took in answered]
        steady = steady_rate(ends, concurrency)
        # What got no answer was waited for as well, and only h2load's own time has that in it.
        seconds = span if done == requests else engine_seconds
        if engine_seconds and span and engine_seconds > 1.1 * span + 0.1:
            flags.append(
                f"h2load ran {engine_seconds:.2f} s, its answers span {span:.2f} s: "
                "something unanswered was waited for"
            )
        if engine_seconds and span and span > 1.1 * engine_seconds + 0.1:
            flags.append(
                f"the answers span {span:.2f} s, h2load ran {engine_seconds:.2f} s: "
                "several load hosts did not begin together, or their clocks differ"
            )
    return Measured(
        succeeded=min(len(good), succeeded),
        detail=detail,
        seconds=seconds,
        engine_seconds=engine_seconds,
        latency=summarise(durations, "every 2xx answer in h2load's log"),
        flags=flags,
        steady=steady,
    )


def _span(rows: list[Row]) -> float | None:
    """Return the seconds from the first start to the last end, None without rows."""
    if not rows:
        return None
    return (max(start + took for start, _, took in rows) - min(row[0] for row in rows)) / 1e6
