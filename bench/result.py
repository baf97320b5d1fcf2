"""A result: the document stored for one run, built from its cell and what was measured."""

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from bench import ab, h2load
from bench.ceiling import ceiling, steady_ceiling
from bench.errors import BadInput
from bench.measured import Measured

SCHEMA = 3
READABLE = (2, 3)  # what came after 2 may be missing
# Beyond these the generator is the limit: its share of a processor, the share of the time it waited for one, seconds
# a request may be begun late where the delay says no more, the share of what it reached against a static answer.
BUSY, STARVED, LATE, CONTROL = 0.9, 0.25, 0.05, 0.8
# nginx's status of a request whose client was gone before the answer, and h2load's of one without an answer.
_UNANSWERED = {"499", "0", "-1"}
ENGINES = {"h2load": h2load.measure, "ab": ab.measure}


def build_result(
    cell: dict[str, Any],
    stdout: str,
    log: str | None,
    lag: dict[str, float] | None = None,
    tried: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the result; times in seconds, rates in requests per second, ready for JSON.

    `log` is the engine's per-request file, None if there is none. `lag` is how late an open load's
    requests were begun (p50, p99, max); `tried` what a search found, with rates and best_rate.
    Raises BadInput when the two texts are not those of a run of `cell`.
    """
    size = {key: cell[key] for key in ("requests", "concurrency", "delay")}
    measured = ENGINES[cell["engine"]](stdout, log, **size)
    failed = cell["requests"] - measured.succeeded
    # Answers with an error are not throughput: only 2xx count, over the time of all.
    rate = measured.succeeded / measured.seconds if measured.seconds else None
    if cell.get("rate"):  # no more can be answered than come, which in a search is what it found
        limit = steady_limit = None if tried else float(cell["rate"])
        measured.steady = rate
    else:
        limit = ceiling(cell["engine"], slots=cell.get("slots"), **size)
        steady_limit = steady_ceiling(cell["concurrency"], cell["delay"], cell.get("slots"))
    percent = _percent(rate, limit)
    flags = list(measured.flags)
    if measured.engine_seconds is None and cell.get("limit"):
        flags.append(
            f"the engine was ended, after {cell['limit']} s (benchmark_limit) at the latest"
        )
    if failed:
        flags.insert(0, f"{failed} of {cell['requests']} failed: {_told(measured.detail)}")
    # At a rate, h2load opens connections each 10 to 100 ms, so that all of them come in a bit less than the time.
    if percent is not None and percent > 101 and not cell.get("rate"):
        flags.append("faster than its ceiling: the cell's delay or slots are not the server's")
    limited = generator_limit(cell, rate, lag) or _search_limit(cell, tried)
    if limited:
        flags.append(f"not the server was the limit: {limited}")
    if tried and all_held(tried["rates"]) and not tried.get("ended"):
        flags.append(
            f"the highest rate of the search, {tried['best_rate']}/s, held: its limit is not known, raise `to`"
        )
    flags += h2load.doubts(cell, measured.latency, log or "")
    flags += _miscounted(cell, measured)
    return {
        "schema": SCHEMA,
        "recorded": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cell": cell,
        "counts": {
            "requests": cell["requests"],
            "succeeded": measured.succeeded,
            "failed": failed,
            "detail": measured.detail,
        },
        "seconds": measured.seconds,
        "engine_seconds": measured.engine_seconds,
        "requests_per_second": rate,
        "ceiling": {"requests_per_second": limit, "percent": percent},
        "steady": {
            "requests_per_second": measured.steady,
            "ceiling": steady_limit,
            "percent": _percent(measured.steady, steady_limit),
        },
        "latency": measured.latency,
        "lag": lag,
        "rates": (tried or {}).get("rates"),
        "best_rate": (tried or {}).get("best_rate"),
        "generator_limited": limited,
        "flags": flags,
        "stdout": stdout,
    }


def generator_limit(
    cell: dict[str, Any], rate: float | None, lag: dict[str, float] | None
) -> str | None:
    """Return why the generator, and not the server, was the limit of a run; None where it was not."""
    for used in cell.get("generators") or []:
        took, name = used["seconds"] or float("inf"), f"{cell['engine']} on {used.get('host')}"
        share, waited = used["cpu_seconds"] / took, (used.get("run_delay_seconds") or 0) / took
        if share > BUSY:  # an engine has one thread
            return f"{name} used {share:.0%} of a processor"
        if waited > STARVED:  # on a host that was busy all the time, 3 % were seen
            return f"{name} waited for a processor {waited:.0%} of the time"
    allowed = max(LATE, cell["delay"] / 10)
    # A request begins when its connection stands: of one that had to be asked for again, the server was late, and the
    # latencies have it. Fewer than 1 % of them do not move the 99th percentile.
    resent = sum(used.get("syn_resent") or 0 for used in cell.get("generators") or [])
    if lag and resent < cell["requests"] / 100 and lag["p99"] > allowed:
        return f"1 % of the requests were begun {lag['p99']:.2f} s late or more ({allowed:.2f} s allowed)"
    control = cell.get("control")
    if rate and control and rate > CONTROL * control:
        return f"a static answer came {control:.0f} times a second, hardly more often than this one"
    return None


def all_held(rates: list[dict[str, Any]] | None) -> bool:
    """Return whether every rate that a search tried held: it found no limit then, and each may take more."""
    return all(one.get("held") for one in rates) if rates else False


def unlimited(docs: Iterable[dict[str, Any]]) -> bool:
    """Return whether half of the searches, or more, found no limit, so that their median is none."""
    found = [all_held(doc.get("rates")) for doc in docs]
    return bool(found) and 2 * sum(found) >= len(found)


def _search_limit(cell: dict[str, Any], tried: dict[str, Any] | None) -> str | None:
    """Return why a search says nothing about the server, None where it does.

    The lowest rate that did not hold is what ended it: there, the generator must not have been the limit.
    """
    if not tried:
        return None
    if tried.get("ended"):
        return f"the search had not come to its end: {tried['ended']}"
    above = [one for one in tried["rates"] if not one["held"] and "share" in one]
    if not above:
        return None
    lowest = min(above, key=lambda one: one["rate"])
    used = {"host": "the load host", "seconds": 1.0}
    used |= {"cpu_seconds": lowest["share"], "run_delay_seconds": lowest.get("waited")}
    again = {
        "generators": [used | {"syn_resent": lowest["syn_resent"]}],
        "requests": lowest["rate"] * cell["seconds"],
    }
    why = generator_limit(cell | again, None, lowest["lag"])
    return f"at {lowest['rate']}/s, {why}" if why else None


def _miscounted(cell: dict[str, Any], measured: Measured) -> list[str]:
    """Return what the server's own count says otherwise than the engine's."""
    served = cell.get("served")
    if served is None:
        return []
    counted = measured.detail.get("status")
    if counted is None:  # ab says nothing of an error but that it was one
        counted = {"2xx": measured.succeeded}
        served = {"2xx": sum(n for status, n in served.items() if status[0] == "2")}
    told = [
        f"{status}: {served.get(status, 0)} and {counted.get(status, 0)}"
        for status in sorted({*served, *counted} - _UNANSWERED)
        if served.get(status, 0) != counted.get(status, 0)
    ]
    if not told:
        return []
    return [f"the server's count of answers and {cell['engine']}'s differ: {'; '.join(told)}"]


def _percent(rate: float | None, limit: float | None) -> float | None:
    return 100 * rate / limit if rate is not None and limit else None


def _told(detail: dict[str, Any]) -> str:
    """Return the breakdown in words: what is not zero and no success."""
    told = [f"{n} x {code}" for code, n in detail.get("status", {}).items() if code[0] != "2"]
    told += [f"{key} {n}" for key, n in detail.items() if isinstance(n, int) and n]
    return ", ".join(told) or "no breakdown"


_NUMBER = (int, float)
_MAYBE = (int, float, type(None))
_SHAPE: dict[str, dict[str, Any]] = {
    "cell": {"engine": str, "workload": str, "server": str, "delay": _NUMBER},
    "counts": {"requests": int, "succeeded": int, "failed": int, "detail": dict},
    "ceiling": {"requests_per_second": _MAYBE, "percent": _MAYBE},
    "steady": {"requests_per_second": _MAYBE, "percent": _MAYBE},
    "latency": dict.fromkeys(("min", "p50", "p95", "p99", "p99_9", "max"), _MAYBE),
}


def check_result(doc: Any) -> None:
    """Raise BadInput unless `doc`, read from a file, is a whole result of this schema."""
    found = doc.get("schema") if isinstance(doc, dict) else "none"
    if found not in READABLE:
        valid = " or ".join(map(str, READABLE))
        raise BadInput(f"schema {found}", f"schema {valid}", "git pull, if a newer bench wrote it")
    parts: list[tuple[Any, str, Any]] = [
        (doc, "seconds", _MAYBE),
        (doc, "requests_per_second", _MAYBE),
        (doc, "flags", list),
        *((doc, part, dict) for part in _SHAPE),
        *(
            (doc.get(part), key, kind)
            for part, keys in _SHAPE.items()
            for key, kind in keys.items()
        ),
    ]
    for owner, key, kind in parts:
        if not isinstance(owner, dict) or key not in owner or not isinstance(owner[key], kind):
            raise BadInput(f"{key} is missing or no {kind}", "a file as record wrote it", "record")
