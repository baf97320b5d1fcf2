"""ab's report (standard output) and per-request file (-g), turned into a Measured.

ab's "Failed requests" is no count of failed requests: it adds up events, and a reset or refused
request is several (20 refused requests: 30 failures); it counts a body whose length differs from
the first answer's, a dropped connection as the same "Length", and no 5xx at all. So:

- with the -g file and a delay, a request without a first byte (column `wait` 0) had no answer:
  failed = no answer + non-2xx, and lengths alone are no failure, only a flag;
- without it, failed = ab's count + non-2xx, at most the requests: an upper bound, and flagged.

The -g file is written after the run and costs it nothing; its times are whole milliseconds.
"""

import re
from typing import Any

from bench.errors import BadInput
from bench.measured import Measured, wrong_output
from bench.percentiles import PERCENTILES, summarise

_HEADER = "starttime\tseconds\tctime\tdtime\tttime\twait"
_KINDS = re.compile(r"\(Connect: (\d+), Receive: (\d+), Length: (\d+), Exceptions: (\d+)\)")
_TABLE = re.compile(r"^ +(\d+)% +(\d+)", re.MULTILINE)
_SURE_WAIT = 0.01  # seconds of delay from which a wait of 0 ms can be no answer of the application


def _number(stdout: str, label: str) -> float | None:
    found = re.search(rf"^{label}:\s+([\d.]+)", stdout, re.MULTILINE)
    return float(found[1]) if found else None


def parse_log(text: str) -> list[tuple[int, int]]:
    """Return (total, wait) in milliseconds of each request; raise BadInput for another file."""
    lines = text.splitlines()
    try:
        if lines[:1] != [_HEADER]:
            raise ValueError("no header")
        rows = [line.split("\t") for line in lines[1:]]
        return [(int(row[4]), int(row[5])) for row in rows]
    except (ValueError, IndexError) as why:
        raise BadInput(
            f"--log: not a whole file as ab -g writes it ({why})",
            "a header line and one line a request, tab-separated",
            "ab -g F ...   then: --log F (copied after ab ended)",
        ) from why


def measure(
    stdout: str, log: str | None, requests: int, concurrency: int, delay: float
) -> Measured:
    """Return what the run came to; `delay` in seconds. Raises BadInput for a wrong file."""
    if "This is ApacheBench" not in stdout:
        raise wrong_output("ab", "this is not the output of an ab run")
    complete, seconds = (
        _number(stdout, label) for label in ("Complete requests", "Time taken for tests")
    )
    if complete is None or seconds is None:
        return _aborted(stdout, requests)
    level = _number(stdout, "Concurrency Level")
    if (complete, level) != (requests, concurrency):
        raise wrong_output(
            "ab",
            f"ab ran -n {complete:.0f} -c {level:.0f}, the cell says {requests}, {concurrency}",
        )
    kinds = _KINDS.search(stdout)
    numbers = [int(number) for number in kinds.groups()] if kinds else [0, 0, 0, 0]
    events = zip(("connect", "receive", "length", "exceptions"), numbers, strict=True)
    detail: dict[str, Any] = dict(events)
    detail["non_2xx"] = non_2xx = int(_number(stdout, "Non-2xx responses") or 0)
    table = {int(percent): int(ms) for percent, ms in _TABLE.findall(stdout)}
    flags = []
    rows = parse_log(log) if log is not None else None
    if rows is not None and not _match(rows, requests, table.get(100)):
        flags.append("the -g file does not match ab's report (another run's?): not used")
        rows = None
    if rows is None:
        latency = _from_table(table, requests)
    else:
        sure = delay >= _SURE_WAIT
        kept = [total / 1e3 for total, wait in rows if wait > 0 or not sure]
        latency = summarise(kept, "every answer in ab's -g file, whole milliseconds")
        detail["no_answer"] = len(rows) - len(kept) if sure else None
    no_answer = detail.get("no_answer")
    if no_answer is None:
        failed = min(requests, sum(numbers) + non_2xx)
        if failed:
            flags.append("ab's failures are events: the number of failed requests is at most this")
    else:
        failed = min(requests, no_answer + non_2xx)
        if detail["length"] > failed:
            flags.append(
                f"ab counted {detail['length']} other lengths than the first body's: "
                "not counted as failed, but a cut body looks the same as a changed one"
            )
    return Measured(requests - failed, detail, seconds, seconds, latency, flags)


def _match(rows: list[tuple[int, int]], requests: int, longest: int | None) -> bool:
    """Return whether the -g rows fit the report; it has no longest (ms) for a single request."""
    return len(rows) == requests and longest in (None, max(rows)[0])


def _from_table(table: dict[int, int], requests: int) -> dict[str, Any]:
    """Return a latency summary from ab's own percentiles, all it has when there is no -g file."""
    latency = dict.fromkeys(summarise([], ""))
    latency |= {"samples": requests, "source": "ab's own table, failed requests included"}
    for name, percent in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
        if percent in table and requests >= PERCENTILES.get(name, (0, 0))[1]:
            latency[name] = table[percent] / 1e3
    return latency


def _aborted(stdout: str, requests: int) -> Measured:
    """Return the outcome of a run that ab gave up: one timeout, and it prints no report."""
    found = re.search(r"Total of (\d+) requests completed", stdout)
    done = int(found[1]) if found else 0
    flag = (
        f"ab gave up after {done} of {requests} requests and printed no report: all count as failed"
    )
    return Measured(0, {"completed": done}, None, None, summarise([], "none"), [flag])
