"""What the page shows, section by section: every log's requests pooled once, every figure taken once."""

from typing import Any

from bench.experiment import FIGURES, Experiment, Load, Run
from bench.hosts import versions
from bench.report import charts, panels, tables
from bench.report.pool import Pool, completions, pool
from bench.report.svg import nice
from bench.stats import LEAST_DIFFERENCE, LEAST_PAIRS, threshold
from bench.store import ABOUT, LOG, REFUSED
from bench.verdict import Verdict, judge
from bench.words import in_words, times

COLOURS = 10
TITLES = {"rate": "Throughput", "cpu": "CPU a request"}
_STEPS = 60  # of a run, at most, in the picture of its completions

Pools = dict[str, Pool]  # by cell


def context(experiment: Experiment) -> dict[str, Any]:
    """Return the values that the page's template takes."""
    loads = sorted(experiment.loads, key=lambda load: load is not experiment.decides)
    verdicts = {load.name: judge(experiment, load) for load in loads}
    pools = {load.name: _pools(experiment, load) for load in loads}
    decides = experiment.decides
    verdict = verdicts[decides.name] if decides else judge(experiment)
    colours = _colours(experiment, verdict.ranked)
    # A search has no requests of its own to show: each rate it tries is another load.
    shown = next((load for load in loads if pools[load.name]), None)
    found = [tables.table(experiment, ld, verdicts[ld.name], pools[ld.name]) for ld in loads]
    return {
        "experiment": experiment,
        "plan": dict.fromkeys(("name", "seed", "rounds", "least_rounds", "tight"))
        | experiment.plan,
        "session": dict.fromkeys(("started", "command", "before", "fingerprint"))
        | (experiment.session or {}),
        "versions": versions(experiment),
        "title": experiment.plan.get("title") or f"Load test {experiment.name}",
        "verdict": verdict,
        "words": in_words(experiment, verdict),
        "tables": found,
        "best": next((row for table in found[:1] for row in table.rows if row.rank == 1), None),
        "published": tables.published(experiment),
        "forests": _forests(experiment, verdict, colours),
        "rates": _rates(experiment, loads, pools, colours),
        "tails": [
            {
                "load": load,
                "svg": charts.tail(
                    _with_tail(pools[load.name]), colours, load.name, verdict.recommended
                ),
                "cells": _slowest_first(pools[load.name]),
            }
            for load in loads
            if _slowest_first(pools[load.name])
        ],
        "shown": shown,
        "latencies": _latencies(shown, pools, colours),
        "progress": _progress(experiment, shown, colours),
        "matrices": _matrices(verdict),
        "colours": colours,
        "titles": TITLES,
        "commands": _commands(experiment),
        "files": _files(experiment),
        "limits": {"least": LEAST_PAIRS, "difference": 100 * LEAST_DIFFERENCE}
        | {"bands": {f: 100 * threshold(floor) for f, floor in verdict.floors.items()}},
    }


def _colours(experiment: Experiment, ranked: list[str]) -> dict[str, str]:
    """Return a class for each cell, in the order of the table.

    A duplicate looks like the cell it is a duplicate of, but dashed.
    """
    own = list(dict.fromkeys([*ranked, *(c.name for c in experiment.cells if not c.duplicate_of)]))
    colours = {
        name: f"c{place % COLOURS}{' lap' if place >= COLOURS else ''}"
        for place, name in enumerate(own)
    }
    for cell in experiment.cells:
        if cell.duplicate_of:
            colours[cell.name] = f"{colours.get(cell.duplicate_of, 'c9')} twin"
    return colours


def _pools(experiment: Experiment, load: Load) -> Pools:
    found = {cell.name: pool(experiment, cell.name, load) for cell in experiment.cells}
    return {name: kept for name, kept in found.items() if kept}


def _forests(
    experiment: Experiment, verdict: Verdict, colours: dict[str, str]
) -> list[dict[str, Any]]:
    """Return a forest plot for each figure: the ranked cells beside the first, then the duplicates."""
    if len(verdict.ranked) < 2:
        return []
    first, *others = verdict.ranked
    twins = [(again, cell) for again, cell in verdict.experiment.twins if cell in colours]
    plots = []
    for figure in FIGURES:
        rows = [
            charts.Row(name, colours[name], found.ratio, found.shown)
            for name in others
            if (found := verdict.compare(name, first, figure)).ratio
        ]
        twin_rows = [
            charts.Row(f"{again} to {cell}", colours[again], ratio, False, True)
            for again, cell in twins
            if (ratio := verdict.noise(again, cell, figure))
        ]
        if rows:
            svg = charts.forest(TITLES[figure], first, [*rows, *twin_rows], verdict.floors[figure])
            plots.append({"figure": figure, "svg": svg})
    return plots


def _rates(
    experiment: Experiment, loads: list[Load], pools: dict[str, Pools], colours: dict[str, str]
) -> list[dict[str, Any]]:
    """Return p99 by rate: of each search with the open loads of its path, then of the other open loads."""
    opens = [load for load in loads if load.kind == "open" and load.facts.get("rate")]
    shown: list[tuple[Load | None, list[Load]]] = []
    for search in [load for load in loads if load.kind == "search"]:
        path = search.facts.get("path")
        shown.append((search, [load for load in opens if load.facts.get("path") == path]))
    beside = {load.name for _, found in shown for load in found}
    shown.append((None, [load for load in opens if load.name not in beside]))
    told = []
    for one, rings in shown:
        searched, opened = {}, {}
        for cell in experiment.cells:
            tried = [run.doc.get("rates") or [] for run in experiment.of(cell.name, one).values()]
            if any(tried):
                searched[cell.name] = tried
            points = [
                (float(load.facts["rate"]), found[0])
                for load in rings
                if (kept := pools[load.name].get(cell.name)) and (found := kept.percentile("p99"))
            ]
            if points:
                opened[cell.name] = points
        objective = one.facts.get("objective") if one else None
        if svgs := panels.rates(searched, opened, objective, colours):
            told.append({"panels": svgs, "search": one, "opened": opened, "objective": objective})
    return told


def _with_tail(pools: Pools) -> Pools:
    """Return those with enough requests to draw a line of."""
    return {name: kept for name, kept in pools.items() if len(kept.tail()) > 1}


def _slowest_first(pools: Pools) -> list[tuple[str, float]]:
    """Return the cells with the end of each one's line (seconds), in the order of the lines' ends."""
    ends = {name: kept.tail()[-1][1] for name, kept in _with_tail(pools).items()}
    return sorted(ends.items(), key=lambda item: -item[1])


def _latencies(
    shown: Load | None, pools: dict[str, Pools], colours: dict[str, str]
) -> panels.Panels:
    if not shown or shown.delay <= 0:
        return {}
    found = pools[shown.name]
    return panels.latencies({n: found[n] for n in colours if n in found}, shown.delay, colours)


def _progress(experiment: Experiment, shown: Load | None, colours: dict[str, str]) -> panels.Panels:
    """Return the completions a second, in steps that hold at least a whole delay."""
    if not shown:
        return {}
    runs: dict[str, list[Run]] = {
        name: list(experiment.of(name, shown).values()) for name in colours
    }
    ends = [run.raw.ends for found in runs.values() for run in found if run.raw and run.raw.ends]
    if not ends:
        return {}
    width = max(1.0, shown.delay, nice(max(max(end) for end in ends) / _STEPS))
    series = {name: completions(found, width) for name, found in runs.items()}
    limits = [run.doc["steady"].get("ceiling") for found in runs.values() for run in found]
    # A limit of its own for each cell (their slots differ) would make the pictures unlike.
    limit = limits[0] if len(set(limits)) == 1 else None
    return panels.progress({n: s for n, s in series.items() if s}, width, limit, colours)


def _matrices(verdict: Verdict) -> list[dict[str, Any]]:
    """Return for each figure the ratio of each ranked cell to each other one."""
    names = verdict.ranked
    matrices = []
    for figure in FIGURES if len(names) > 1 else ():
        more_is_better = figure == "rate"
        rows: list[dict[str, Any]] = []
        for one in names:
            cells = []
            for other in names:
                found = verdict.compare(one, other, figure) if one != other else None
                ratio = found.ratio if found else None
                better = ratio is not None and (ratio.estimate > 1) == more_is_better
                look = ("better" if better else "worse") if found and found.shown else "same"
                cells.append(
                    {"ratio": ratio, "look": look, "told": times(ratio), "self": one == other}
                )
            rows.append({"name": one, "cells": cells})
        if any(cell["ratio"] for row in rows for cell in row["cells"]):
            matrices.append({"figure": figure, "names": names, "rows": rows})
    return matrices


def _commands(experiment: Experiment) -> list[tuple[Load, str]]:
    """Return the engine's command line of the first run of each load."""
    told = []
    for load in experiment.loads:
        runs = [run for cell in experiment.cells for run in experiment.of(cell.name, load).values()]
        command = next((run.doc["cell"].get("command") for run in runs), None)
        if isinstance(command, str):
            told.append((load, command))
    return told


def _files(experiment: Experiment) -> dict[str, Any]:
    """Return the names of the files behind the report: (cell, load, [(round, JSON, log or None)])."""
    rows = []
    for cell in experiment.cells:
        for load in experiment.loads:
            runs = experiment.of(cell.name, load)
            found = [
                (number, f"{run.name}.json", f"{run.name}{LOG}" if run.doc.get("raw") else None)
                for number, run in sorted(runs.items())
            ]
            if found:
                rows.append((cell.name, load.name, found))
    return {
        "about": ABOUT if experiment.session else None,
        "refused": [f"{name}{REFUSED}" for name in experiment.refused],
        "rows": rows,
    }
