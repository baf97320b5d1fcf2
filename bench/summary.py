"""A session's rounds, summed up: a line a cell, each figure as median (least to most) of its rounds."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from bench.table import aligned, cpu_ms, memory_kb, server_of

Doc = dict[str, Any]
Cell = tuple[str, str, str, str]  # server, variant, workload, engine

_FIGURES: dict[str, tuple[Callable[[Doc], float | None], int]] = {
    "%ceiling": (lambda doc: doc["ceiling"]["percent"], 1),
    "%steady": (lambda doc: doc["steady"]["percent"], 1),
    "cpu": (cpu_ms, 2),
    "memory": (memory_kb, 0),
}
LEGEND = (
    "median (least to most) of the rounds; cpu: the application's ms a 2xx answer, as measured; memory: its KB a "
    "request in flight; - : not known"
)


def summary_table(results: Iterable[tuple[str, Doc]], against: str | None = None) -> str:
    """Return the table of a session's results, as `read_session` gives them.

    With `against`, the name of a variant, a column more: the cell's CPU a request as a ratio to
    the same cell's of that variant, in the rounds both have. "" is the variant without a name.
    """
    cells: dict[Cell, dict[int, Doc]] = defaultdict(dict)
    for _, doc in results:
        cells[_cell(doc["cell"])][doc["cell"].get("round") or 1] = doc
    head = ["server", "workload", "engine", "rounds", "failed", *_FIGURES]
    if against is not None:
        head.append(f"cpu/{against or 'default'}")
    rows = [head]
    for cell, rounds in cells.items():
        docs = rounds.values()
        row = [
            server_of(next(iter(docs))),
            *cell[2:],
            str(len(rounds)),
            f"{sum(doc['counts']['failed'] for doc in docs)}",
            *(_spread(map(value, docs), digits) for value, digits in _FIGURES.values()),
        ]
        if against is not None:
            other = cells.get((cell[0], against, *cell[2:]), {})
            row.append(_spread(_ratios(rounds, other), 2))
        rows.append(row)
    return "\n".join([*aligned(rows, left=3), LEGEND])


def _cell(cell: Doc) -> Cell:
    if cell.get("name"):  # of a plan
        return cell["name"], "", cell["workload"], cell["engine"]
    return cell["server"], cell.get("variant") or "", cell["workload"], cell["engine"]


def _ratios(rounds: dict[int, Doc], other: dict[int, Doc]) -> list[float | None]:
    if rounds is other:
        return []
    pairs = [(cpu_ms(rounds[n]), cpu_ms(other[n])) for n in rounds.keys() & other.keys()]
    return [ours / theirs for ours, theirs in pairs if ours and theirs]


def _spread(values: Iterable[float | None], digits: int) -> str:
    """Return the median and, of several, the least and the most."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    middle = f"{median(known):.{digits}f}"
    if len(known) == 1:
        return middle
    return f"{middle} ({known[0]:.{digits}f} to {known[-1]:.{digits}f})"
