"""A result's raw requests: read once, held against what was recorded, kept as plain numbers."""

import gzip
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import ab, h2load
from bench.percentiles import PERCENTILES, summarise
from bench.store import read_log

Doc = dict[str, Any]
_TABLE = "ab's own table"  # where a result says its latencies are from, if not from the file
_LATENCIES = ("min", *PERCENTILES, "max")


@dataclass(frozen=True)
class Raw:
    """The 2xx answers of a run.

    latencies  seconds, ascending
    ends       when each was complete, in seconds from the run's first request; empty if not known
    """

    latencies: "array[float]"
    ends: "array[float]"


def checked_raw(session: Path, doc: Doc) -> tuple[Doc, Raw | None]:
    """Return the result, with its log's figures where its own are others, and what the log holds.

    Raises ValueError, OSError or BadInput for a log that is damaged or not the one recorded. None
    stands for a log that was never kept, that was not used when it was recorded, or that holds a
    search, many rates in one.
    """
    raw = doc.get("raw")
    if raw is None:
        return doc, None
    text = gzip.decompress(read_log(session, raw)).decode(errors="replace")
    if doc["cell"]["engine"] == "ab":
        return _of_ab(doc, ab.parse_log(text))
    doubts = h2load.doubts(doc["cell"], doc["latency"], text)  # recorded by an older version
    doc = doc | {"flags": [*doc["flags"], *(told for told in doubts if told not in doc["flags"])]}
    return _of_h2load(doc, h2load.parse_log(text))


def _of_h2load(doc: Doc, rows: list[h2load.Row]) -> tuple[Doc, Raw | None]:
    if doc["cell"].get("kind") == "search" or not _was_used(doc, len(rows)):
        return doc, None
    first = min((row[0] for row in rows), default=0)
    good = [(start, took) for start, status, took in rows if 200 <= status <= 299]
    latencies = sorted(took / 1e6 for _, took in good)
    raw = Raw(array("d", latencies), array("d", [(at + took - first) / 1e6 for at, took in good]))
    doc = _with_latency(doc, latencies)
    answers = sum(status > 0 for _, status, _ in rows)
    if doc["cell"].get("kind") in (None, "closed") and answers == doc["counts"]["requests"]:
        last = max(start + took for start, status, took in rows if status > 0)
        doc = _with_rate(doc, len(good), (last - first) / 1e6)
    return doc, raw


def _of_ab(doc: Doc, rows: list[tuple[int, int]]) -> tuple[Doc, Raw | None]:
    if not _was_used(doc, len(rows)) or str(doc["latency"].get("source")).startswith(_TABLE):
        return doc, None
    # Where a wait of 0 ms is surely no answer, the result says how many had none.
    sure = doc["counts"]["detail"].get("no_answer") is not None
    latencies = sorted(total / 1e3 for total, wait in rows if wait > 0 or not sure)
    return _with_latency(doc, latencies), Raw(array("d", latencies), array("d"))


def _was_used(doc: Doc, rows: int) -> bool:
    """Return false for a log from which no latency was taken, since it did not fit the report."""
    return rows > 0 and doc["latency"].get("samples") != 0


def _with_latency(doc: Doc, latencies: Sequence[float]) -> Doc:
    found, told = summarise(latencies, ""), doc["latency"]
    wrong = [
        f"{name} is {_told(found[name])}, the result says {_told(told[name])}"
        for name in _LATENCIES
        if not _same(found[name], told[name])
    ]
    if found["samples"] != told.get("samples", found["samples"]):
        wrong.insert(0, f"{found['samples']} answers, the result says {told['samples']}")
    return _flagged(doc, wrong) | {"latency": told | found | {"source": told.get("source")}}


def _with_rate(doc: Doc, good: int, seconds: float) -> Doc:
    if doc["requests_per_second"] is None or seconds <= 0:
        return doc
    rate, limit = good / seconds, doc["ceiling"]["requests_per_second"]
    if _same(rate, doc["requests_per_second"]):
        return doc
    wrong = f"{rate:.2f} requests/s, the result says {doc['requests_per_second']:.2f}"
    ceiling = doc["ceiling"] | {"percent": 100 * rate / limit if limit else None}
    return _flagged(doc, [wrong]) | {"requests_per_second": rate, "ceiling": ceiling}


def _flagged(doc: Doc, wrong: list[str]) -> Doc:
    if not wrong:
        return dict(doc)
    return doc | {"flags": [*doc["flags"], f"recomputed from raw data: {'; '.join(wrong)}"]}


def _same(found: float | None, told: float | None) -> bool:
    if found is None or told is None:
        return found is told
    return math.isclose(found, told, rel_tol=1e-9, abs_tol=1e-12)


def _told(seconds: float | None) -> str:
    return "not known" if seconds is None else f"{seconds:.6g} s"
