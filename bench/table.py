"""A session as a text table: a line a result, its notes below it."""

from typing import Any

_HEAD = "round server workload engine requests failed seconds req/s ceiling %ceiling %steady p50 p95 p99 max cpu memory"
_LEFT = 4  # columns of text, the rest are numbers and stand to the right
LEGEND = (
    "%steady: of the ceiling while every client was at work; "
    "latencies in seconds (and as multiples of the delay); cpu: the application's ms a 2xx answer; "
    "memory: its KB a request in flight; - : not known, or too few requests"
)


def session_table(results: list[tuple[str, dict[str, Any]]]) -> str:
    """Return the table of `results`, pairs of a name and a result."""
    notes = [doc["flags"] for _, doc in results]
    lines = aligned([_HEAD.split(), *(_row(name, doc) for name, doc in results)], _LEFT)
    told = [lines[0]]
    for line, flags in zip(lines[1:], notes, strict=True):
        told += [line, *(f"     note: {flag}" for flag in flags)]
    return "\n".join([*told, LEGEND])


def aligned(rows: list[list[str]], left: int) -> list[str]:
    """Return each row as a line, columns in step, the first `left` flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(name: str, doc: dict[str, Any]) -> list[str]:
    cell, counts, limit, latency = (doc[key] for key in ("cell", "counts", "ceiling", "latency"))
    return [
        name.split(".")[0],
        server_of(doc),
        cell["workload"],
        cell["engine"],
        str(counts["requests"]),
        str(counts["failed"]),
        _number(doc["seconds"], 2),
        _number(doc["requests_per_second"], 1),
        _number(limit["requests_per_second"], 1),
        _number(limit["percent"], 1),
        _number(doc["steady"]["percent"], 1),
        *(_latency(latency[key], cell["delay"]) for key in ("p50", "p95", "p99", "max")),
        _number(cpu_ms(doc), 2),
        _number(memory_kb(doc), 0),
    ]


def server_of(doc: dict[str, Any]) -> str:
    """Return the name of the plan's cell; without a plan the server mode and, behind a slash, its variant if any."""
    name: str | None = doc["cell"].get("name")
    return name or "/".join(filter(None, (doc["cell"]["server"], doc["cell"].get("variant"))))


def cpu_ms(doc: dict[str, Any]) -> float | None:
    """Return the application's CPU milliseconds a 2xx answer, None without one, or if not watched.

    Nor of a search: what all its tries took is known, and not what the best one did.
    """
    hosts, answered = doc["cell"].get("app"), doc["counts"]["succeeded"]
    if not hosts or not answered or doc["cell"].get("kind") == "search":
        return None
    each: float = 1000 * sum(host["cpu_seconds"] for host in hosts) / answered
    return each


def memory_kb(doc: dict[str, Any]) -> float | None:
    """Return the growth of the application's memory in KB a request in flight, None as above.

    How many are in flight is known of a closed loop only.
    """
    hosts, at_once = doc["cell"].get("app"), doc["cell"].get("concurrency")
    if not hosts or not at_once or (doc["cell"].get("kind") or "closed") != "closed":
        return None
    known = [(host.get("memory_before"), host.get("memory_peak")) for host in hosts]
    if any(size is None for pair in known for size in pair):
        return None
    each: float = sum(peak - before for before, peak in known) / at_once / 1000
    return each


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _latency(value: float | None, delay: float) -> str:
    if value is None or not delay:
        return _number(value, 3)
    return f"{value:.3f} ({value / delay:.2f}x)"
