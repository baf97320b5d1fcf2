"""The tables' rows, as numbers: what the page and the Markdown file show, each in its own way."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.experiment import Cell, Doc, Experiment, Load, Run
from bench.report.pool import Interval, Pool
from bench.result import unlimited
from bench.table import cpu_ms, memory_kb
from bench.verdict import Verdict, in_rounds
from bench.words import aside

_DIGITS = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Latency:
    """A percentile in seconds, its interval, and how many times the delay it is."""

    seconds: float
    interval: Interval
    multiple: float | None


@dataclass
class Row:
    """A cell's figures under a load: medians of its rounds, peaks, sums; None where not known."""

    cell: Cell
    rank: int | None
    why: str | None  # why it has no rank
    rounds: int
    failed: int
    asked: int
    percent: float | None = None
    rate: float | None = None
    within: float | None = None  # requests per second within the objective of a search
    within_least: bool = (
        False  # it may be more: in half of the rounds or more, every rate of the search held
    )
    p50: Latency | None = None
    p99: Latency | None = None
    cpu: float | None = None  # ms an answer
    cores: float | None = None  # that were busy
    memory: float | None = None  # MB at its peak
    memory_each: float | None = None  # KB a request in flight
    threads: float | None = None
    connections: float | None = None
    lag: float | None = None  # seconds, p99
    notes: list[int] = field(default_factory=list)


@dataclass
class Table:
    """What there is to show of a load, and the sentences that the rows' notes refer to."""

    load: Load
    rows: list[Row]
    notes: list[str]
    first: bool  # of the load that decides
    search: Load | None  # whose rates within the objective there are: itself, or else the first
    told: str  # what it comes to where it does not decide, empty where it does
    missing: list[str] = field(default_factory=list)  # cells that have no result yet

    @property
    def within(self) -> bool:
        """Return whether to show the rates within the objective: once, and beside the search itself."""
        return self.has("within") and (self.first or self.load.kind == "search")

    def has(self, column: str) -> bool:
        """Return whether any row knows the figure."""
        return any(getattr(row, column) is not None for row in self.rows)


def table(experiment: Experiment, load: Load, verdict: Verdict, pools: Mapping[str, Pool]) -> Table:
    """Return the table of a load: the ranked cells in order, then the others."""
    order = [*verdict.ranked, *(c.name for c in experiment.cells if c.name not in verdict.ranked)]
    cells = {cell.name: cell for cell in experiment.cells}
    first = next((found for found in experiment.loads if found.kind == "search"), None)
    search = load if load.kind == "search" else first
    decides = load is experiment.decides
    found = Table(load, [], [], decides, search, "" if decides else aside(verdict))
    for name in order:
        if not experiment.of(name, load):
            if not cells[name].meets(load):
                continue  # by the plan
            if name not in experiment.refused:
                found.missing.append(name)
                continue
        row = _row(experiment, cells[name], load, verdict, pools.get(name))
        searched = _docs(experiment, name, search)
        row.within = _middle(searched, lambda doc: doc.get("best_rate"))
        row.within_least = unlimited(searched)
        for note in notes(experiment.of(name, load)):
            found.notes.append(f"{name}: {note}")
            row.notes.append(len(found.notes))
        found.rows.append(row)
    return found


def _row(
    experiment: Experiment, cell: Cell, load: Load, verdict: Verdict, pool: Pool | None
) -> Row:
    docs = _docs(experiment, cell.name, load)
    rank = verdict.ranked.index(cell.name) + 1 if cell.name in verdict.ranked else None
    app = [list(doc["cell"].get("app") or []) for doc in docs]
    each = _middle(docs, memory_kb)
    return Row(
        cell=cell,
        rank=rank,
        why=verdict.unranked.get(cell.name),
        rounds=len(docs),
        failed=sum(doc["counts"]["failed"] for doc in docs),
        asked=sum(doc["counts"]["requests"] for doc in docs),
        percent=_middle(docs, _percent),
        rate=_middle(docs, lambda doc: doc["requests_per_second"]),
        p50=latency("p50", docs, pool, load.delay),
        p99=latency("p99", docs, pool, load.delay),
        cpu=_middle(docs, experiment.pace.cpu_ms),
        cores=_middle(docs, _cores),
        memory=_median(_summed(uses, "memory_peak", 1e6) for uses in app),
        memory_each=each if each and each > 0 else None,
        threads=max(
            (n for uses in app if (n := _summed(uses, "threads_peak")) is not None), default=None
        ),
        connections=max(
            (n for doc in docs if (n := doc["cell"].get("database_connections")) is not None),
            default=None,
        ),
        lag=max(
            (doc["lag"]["p99"] for doc in docs if (doc.get("lag") or {}).get("p99") is not None),
            default=None,
        ),
    )


def _percent(doc: Doc) -> float | None:
    """Return the percent of the limit; a search has none, though an older version took what it found for one."""
    found: float | None = doc["ceiling"]["percent"]
    return None if doc["cell"].get("kind") == "search" else found


def _cores(doc: Doc) -> float | None:
    each, rate = cpu_ms(doc), doc["requests_per_second"]
    return each * rate / 1000 if each and rate else None


def latency(name: str, docs: list[Doc], pool: Pool | None, delay: float) -> Latency | None:
    """Return a percentile of the pooled requests; without a log, that of a single run as stored."""
    found = pool.percentile(name) if pool else None
    if not pool and len(docs) == 1 and docs[0]["latency"][name] is not None:
        found = docs[0]["latency"][name], (None, None)
    if found is None:
        return None
    seconds, interval = found
    return Latency(seconds, interval, seconds / delay if delay > 0 else None)


def notes(runs: Mapping[int, Run]) -> list[str]:
    """Return the flags of a cell's runs, those that differ only in their numbers told once."""
    alike: dict[str, list[tuple[int, str]]] = {}
    for number, run in runs.items():
        for flag in run.doc["flags"]:
            alike.setdefault(_DIGITS.sub("#", flag), []).append((number, flag))
    told = []
    for found in alike.values():
        where = in_rounds(sorted({number for number, _ in found}))
        same = len({flag for _, flag in found}) == 1
        like = "" if same else ", alike"
        told.append(f"{found[0][1]} ({where}{like})" if len(runs) > 1 else found[0][1])
    return told


@dataclass(frozen=True)
class Published:
    """The published figure of a cell, ours and the limit, in requests per second."""

    cell: Cell
    load: Load
    theirs: float
    ours: float | None
    limit: float | None


def published(experiment: Experiment) -> list[Published]:
    """Return the cells that somebody has published a figure of, duplicates left out."""
    found = []
    for cell in experiment.cells:
        load = _load_of(experiment, cell)
        if cell.published is not None and not cell.duplicate_of and load:
            docs = _docs(experiment, cell.name, load)
            ours = _middle(docs, lambda doc: doc["requests_per_second"])
            limit = _middle(docs, lambda doc: doc["ceiling"]["requests_per_second"])
            found.append(Published(cell, load, cell.published, ours, limit))
    return found


def _load_of(experiment: Experiment, cell: Cell) -> Load | None:
    """Return the load whose figure stands beside the published one: that of the same engine, ab."""
    having = [load for load in experiment.loads if experiment.of(cell.name, load)]
    having.sort(key=lambda load: (load.engine != "ab", load is not experiment.decides))
    return having[0] if having else None


def _docs(experiment: Experiment, cell: str, load: Load | None) -> list[dict[str, Any]]:
    return [run.doc for run in experiment.of(cell, load).values()]


def _middle(docs: Iterable[Doc], figure: Callable[[Doc], float | None]) -> float | None:
    return _median(figure(doc) for doc in docs)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _summed(uses: list[Doc], key: str, unit: float = 1) -> float | None:
    """Return the sum over the hosts; None unless each of them knows it."""
    if not uses or any(use.get(key) is None for use in uses):
        return None
    total: float = sum(use[key] for use in uses)
    return total / unit
