"""An experiment: a session's results as cells, loads and rounds, with or without its session.json.

Read from the files alone. Each log is read once and checked three times: it is the one recorded, it
is a whole log, and its figures are those of the result. Where they are not, the log's are taken.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from bench.errors import BadInput
from bench.pace import Pace, agreed, pace_of
from bench.raw import Raw, checked_raw
from bench.shape import check_session, read_json
from bench.store import ABOUT, DAMAGE, is_result, read_files
from bench.table import server_of

Doc = dict[str, Any]
AGAIN = "-again"  # ends the name of a duplicate


@dataclass(frozen=True)
class Cell:
    """What is measured: a mode under its switches, or the duplicate of such a cell."""

    name: str
    server: str = ""
    switches: Mapping[str, Any] = field(default_factory=dict)
    published: float | None = None  # the figure somebody has published, requests per second
    duplicate_of: str | None = None
    loads: Collection[str] | None = None  # the workloads it is measured with, None: all

    def meets(self, load: "Load") -> bool:
        """Return whether it is to be measured with this load."""
        return self.loads is None or load.workload in self.loads


@dataclass(frozen=True)
class Load:
    """What cells are measured with; `facts` holds the plan's or the first result's description."""

    name: str
    workload: str
    engine: str
    kind: str = "closed"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def delay(self) -> float:
        """Return the seconds that the upstream waits for each request; 0 if it does not."""
        return self.facts.get("delay") or 0.0

    @property
    def whole(self) -> str:
        """Return what percentages of it are of."""
        return "rate that came" if self.kind == "open" else "limit"


@dataclass(frozen=True)
class Run:
    """One result: a cell under a load in a round."""

    name: str
    doc: Doc
    raw: Raw | None = None


@dataclass
class Experiment:
    """A session, in order: cells and loads as planned, what is in no plan after them.

    With `as_measured`, its figures of CPU are not free of what the processor was slower at.
    """

    name: str
    session: Doc | None
    cells: list[Cell]
    loads: list[Load]
    decides: Load | None
    refused: dict[str, str]
    damaged: list[str]
    runs: dict[tuple[str, str], dict[int, Run]]
    as_measured: bool = False
    unmeasured: frozenset[str] = frozenset()  # of those refused, which could be deployed

    @cached_property
    def pace(self) -> Pace:
        """Return how fast the application's processors were."""
        if self.as_measured:
            return Pace()
        pace = pace_of([run.doc for run in runs.values()] for runs in self.runs.values())
        return agreed(pace, self._twice())

    @property
    def twins(self) -> list[tuple[str, str]]:
        """Return the duplicates, each with the cell it is a duplicate of."""
        return [(cell.name, cell.duplicate_of) for cell in self.cells if cell.duplicate_of]

    def _twice(self) -> Iterator[tuple[Doc, Doc]]:
        """Yield the two results of each cell that was measured twice in a round."""
        for (again, cell), load in product(self.twins, self.loads):
            first, second = self.of(cell, load), self.of(again, load)
            yield from ((second[n].doc, first[n].doc) for n in second if n in first)

    @property
    def plan(self) -> Doc:
        """Return the plan, empty without one."""
        return (self.session or {}).get("plan") or {}

    @property
    def lost(self) -> bool:
        """Return whether it had a plan, of which its results alone tell now."""
        runs = (run for rounds in self.runs.values() for run in rounds.values())
        return not self.plan.get("cells") and any(run.doc["cell"].get("name") for run in runs)

    @property
    def rounds(self) -> list[int]:
        """Return the numbers of the rounds that have a result."""
        return sorted({number for runs in self.runs.values() for number in runs})

    def of(self, cell: str, load: Load | None) -> dict[int, Run]:
        """Return a cell's runs under a load, by round."""
        return self.runs.get((cell, load.name), {}) if load else {}

    def figure(self, figure: str, cell: str, load: Load | None) -> dict[int, float]:
        """Return a figure, "rate" or "cpu", of a cell under a load, by round, where it is known."""
        value = FIGURES[figure]
        known = {n: value(run.doc, self.pace) for n, run in self.of(cell, load).items()}
        return {n: value for n, value in known.items() if value is not None}

    def complete_rounds(self) -> list[int]:
        """Return the rounds that have every result of every cell that was not refused."""
        wanted = [
            (cell.name, load)
            for cell in self.cells
            for load in self.loads
            if cell.name not in self.refused and cell.meets(load)
        ]
        return [n for n in self.rounds if all(n in self.of(cell, load) for cell, load in wanted)]


def rate(doc: Doc, _pace: Pace) -> float | None:
    """Return the requests per second; of a search, the highest rate that held."""
    searched = doc["cell"].get("kind") == "search"
    found: float | None = doc.get("best_rate") if searched else doc["requests_per_second"]
    return found


def _cpu(doc: Doc, pace: Pace) -> float | None:
    return pace.cpu_ms(doc)


FIGURES: dict[str, Callable[[Doc, Pace], float | None]] = {"rate": rate, "cpu": _cpu}


def releases(experiment: Experiment) -> list[str]:
    """Return the releases of the application that were measured."""
    docs = [run.doc for runs in experiment.runs.values() for run in runs.values()]
    facts = [doc["cell"].get("facts") or {} for doc in docs]
    return sorted({str(fact["release"]) for fact in facts if fact.get("release")})


def read_experiment(session: Path, raw: bool = True) -> Experiment:
    """Return the experiment stored in the directory `session`; `damaged` names what cannot be read.

    With `raw` false, the logs stay closed: enough to decide whether to stop, and fast.
    """
    about: list[Doc] = []
    refused: dict[str, str] = {}
    unmeasured: set[str] = set()
    runs: list[Run] = []

    def take(path: Path, doc: Any) -> None:
        if is_result(path, doc):
            runs.append(Run(path.stem, *checked_raw(session, doc) if raw else (doc,)))
        elif path.name == ABOUT:
            about.append(check_session(doc))
        else:
            refused[doc["cell"]] = doc["why"]
            unmeasured.update([doc["cell"]] if doc.get("deployed") else [])

    damaged = read_files(session, take)
    described = about[0] if about else None
    found = arrange(session.resolve().name, described, runs, refused, damaged)
    return replace(found, unmeasured=frozenset(unmeasured))


def plan_name(session: Path) -> str:
    """Return the name of a session's plan, empty without one or where it cannot be read."""
    try:
        about = check_session(read_json((session / ABOUT).read_text(encoding="utf-8")))
    except (BadInput, *DAMAGE):
        return ""
    return about["plan"].get("name") or ""


def arrange(
    name: str,
    session: Doc | None,
    found: list[Run],
    refused: dict[str, str],
    damaged: list[str],
) -> Experiment:
    """Return the experiment that these runs are; two of the same cell, load and round are damage."""
    plan = (session or {}).get("plan") or {}
    loads = _loads(plan, found)
    by_key = {(load.workload, load.engine): load for load in loads}
    cells = {
        cell["name"]: Cell(
            cell["name"],
            cell.get("server") or "",
            cell.get("switches") or {},
            cell.get("published"),
            cell.get("duplicate_of"),
            cell.get("loads"),
        )
        for cell in plan.get("cells", [])
    }
    runs: dict[tuple[str, str], dict[int, Run]] = {}
    damaged = list(damaged)
    for run in found:
        described = run.doc["cell"]
        cell = described.get("name") or server_of(run.doc)
        cells.setdefault(cell, Cell(cell, described["server"]))
        load = by_key[described["workload"], described["engine"]]
        rounds = runs.setdefault((cell, load.name), {})
        first = rounds.setdefault(described.get("round") or 1, run)
        if first is not run:
            damaged.append(f"{run.name}: the same cell, load and round as {first.name}")
    for cell in refused:
        cells.setdefault(cell, Cell(cell))
    if not plan.get("cells"):
        cells = {cell: _unplanned(cells, cell) for cell in cells}
    decides = _decides(plan, loads, runs)
    return Experiment(name, session, list(cells.values()), loads, decides, refused, damaged, runs)


def _unplanned(cells: Mapping[str, Cell], name: str) -> Cell:
    """Return a cell that no plan tells of: the duplicate of one of the same mode, where its name says so."""
    cell, original = cells[name], cells.get(name.removesuffix(AGAIN))
    if original is None or original is cell or original.server != cell.server:
        return cell
    return replace(cell, duplicate_of=original.name)


def _loads(plan: Doc, found: list[Run]) -> list[Load]:
    """Return the loads: a workload and an engine each, called by both where one is not enough."""
    described: dict[tuple[str, str], Doc] = {
        (load["name"], load["engine"]): load for load in plan.get("loads", [])
    }
    for run in found:
        cell = run.doc["cell"]
        described.setdefault((cell["workload"], cell["engine"]), cell)
    engines = Counter(workload for workload, _ in described)
    return [
        Load(
            workload if engines[workload] == 1 else f"{workload} ({engine})",
            workload,
            engine,
            facts.get("kind") or "closed",
            facts,
        )
        for (workload, engine), facts in described.items()
    ]


def _decides(
    plan: Doc, loads: list[Load], runs: Mapping[tuple[str, str], Mapping[int, Run]]
) -> Load | None:
    """Return the load the verdict is about: the plan's, or else the one that most cells have."""

    def weight(load: Load) -> tuple[bool, int, int, bool]:
        having = [len(rounds) for (_, name), rounds in runs.items() if name == load.name]
        planned = load.workload == plan.get("decides")
        return planned, len(having), sum(having), load.engine == "h2load"

    return max(loads, key=weight, default=None)
