"""Two sessions side by side: what one came to, as a ratio to the other.

Rounds of two sessions share nothing, so they are not paired. On hosts that differ, a figure says as
much about the hosts as about what they serve; it is then held against the session's own control, what
the same generator reached against a static answer of nginx: its median, for one takes but a part of a second.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations, product
from statistics import median
from typing import Any

from bench.errors import BadInput
from bench.experiment import FIGURES, Doc, Experiment, Load, releases
from bench.hosts import MOST, alone, differences, fingerprint, moved, versions
from bench.stats import Ratio, differs, over, threshold, unpaired_ratio
from bench.table import aligned
from bench.verdict import Verdict, judge
from bench.words import listed, times

# What has to be the same for a load to be the same, by its kind.
_SAME = {
    "closed": ("requests", "concurrency", "delay", "path"),
    "open": ("rate", "seconds", "delay", "path"),
    "search": ("objective", "from", "to", "seconds", "delay", "path"),
}


def compare(first: Experiment, second: Experiment) -> str:
    """Return the table of the cells and loads both have: the second as a ratio to the first.

    Raises BadInput when they have none in common, or when nothing makes them comparable.
    """
    # What each session's CPU is free of says nothing of the other's, so that both are taken as measured.
    first, second = (replace(experiment, as_measured=True) for experiment in (first, second))
    pairs, left_out = _common(first, second)
    if not pairs:
        raise BadInput(
            f"{first.name} and {second.name} have no cell with a result of the same load: {'; '.join(left_out[:MOST])}",
            "two sessions of the same plan",
            "python -m bench list results/",
        )
    why = _unlike(first, second)
    controls = _controls(first, second, pairs, why[0]) if why else None
    verdicts = {load.name: (judge(first, load), judge(second, load)) for _, load in pairs}
    rows = [["cell", "load", "rounds", "failed", "throughput", "CPU a request"]]
    shown = False
    for cell, load in pairs:
        row = [cell, load.name, _both(first, second, cell, load, _rounds)]
        row.append(_both(first, second, cell, load, _failed))
        for figure in FIGURES:
            ratio = _ratio(first, second, cell, load, figure, controls)
            found = differs(ratio, _floor(verdicts[load.name], figure))
            shown = shown or found
            row.append(f"{times(ratio)}{' *' if found else ''}")
        rows.append(row)
    lines = [
        f"{second.name} as a ratio to {first.name}; median, and 95 % interval, rounds not paired"
    ]
    lines += aligned(rows, left=len(rows[0]))
    lines.append(_legend(verdicts, shown))
    lines += [f"left out: {line}" for line in left_out]
    lines += [f"not ranked in {e.name}: {name}, {w}" for e, name, w in _unranked(verdicts)]
    if controls:
        lines.append("the hosts are not the same, or not known to be:")
        lines += [f"  {line}" for line in why[:MOST]]
        lines.append(
            "so each figure is taken as a ratio to the median of its own session's control (cell.control: "
            f"{_spread(first, controls[0])}; {_spread(second, controls[1])}), how well that is known is in the "
            "intervals, and a rate that the delay limits, which no faster host raises, looks worse on the faster one"
        )
    lines += [f"what differs besides: {line}" for line in _besides(first, second, pairs)]
    return "\n".join(lines)


def _common(first: Experiment, second: Experiment) -> tuple[list[tuple[str, Load]], list[str]]:
    """Return the cells and loads with results in both, and what is left out with the reason.

    Loads that are the same only in name are left out.
    """
    pairs: list[tuple[str, Load]] = []
    left_out: dict[tuple[str, str], list[str]] = {}
    loads, others = ({load.name: load for load in side.loads} for side in (first, second))
    cells = dict.fromkeys(cell.name for side in (first, second) for cell in side.cells)
    for cell, name in product(cells, loads | others):
        load, other = loads.get(name), others.get(name)
        having = [e.name for e, ld in ((first, load), (second, other)) if e.of(cell, ld)]
        why = f"only in {having[0]}" if len(having) == 1 else ""
        if load and other:
            why = _unlike_loads(load, other) or why
        if having and why:
            left_out.setdefault((name, why), []).append(cell)
        elif having and load:
            pairs.append((cell, load))
    told = [f"{listed(names)}, {load} ({why})" for (load, why), names in left_out.items()]
    return pairs, told


def _unlike_loads(one: Load, other: Load) -> str:
    """Return in what two loads of a name differ; empty where they are the same."""
    known = {key: (one.facts.get(key), other.facts.get(key)) for key in _SAME.get(one.kind, ())}
    known["ramp"] = (_ramp(one), _ramp(other))
    if (one.kind, one.engine) != (other.kind, other.engine):
        known = {"kind": (one.kind, other.kind), "engine": (one.engine, other.engine)}
    return ", ".join(
        f"{key} {a} and {b}"
        for key, (a, b) in known.items()
        if a is not None and b is not None and a != b
    )


def _ramp(load: Load) -> int | None:
    """Return the connections opened a second, 0 for all at once; None of a load that is in no plan."""
    return None if "workload" in load.facts else load.facts.get("ramp") or 0


def _unlike(first: Experiment, second: Experiment) -> list[str]:
    """Return in what the two sessions' hosts differ; empty when they are the same."""
    one, other = (fingerprint(experiment.session, "hosts") for experiment in (first, second))
    for experiment, found in ((first, one), (second, other)):
        if not found:
            return [f"{experiment.name} has no fingerprint of its hosts"]
    return moved(one, other)


def _controls(
    first: Experiment, second: Experiment, pairs: list[tuple[str, Load]], why: str
) -> tuple[list[float], list[float]]:
    """Return the median control of each round of what both have; raise BadInput where one of them has none.

    Those of one round are alike, as the host was then: taken for independent, they would be known far too well.
    """
    found = []
    for experiment in (first, second):
        rounds: dict[int, list[float]] = {}
        for cell, load in pairs:
            for number, run in experiment.of(cell, load).items():
                if control := run.doc["cell"].get("control"):
                    rounds.setdefault(number, []).append(control)
        found.append(list(map(median, rounds.values())))
        if not found[-1]:
            raise BadInput(
                f"{first.name} and {second.name} are from hosts that are not known to be the same "
                f"({why}), and {experiment.name} has no control to hold its figures against",
                "sessions with the same fingerprint, or with a control (cell.control) in both",
                "measure both on the same hosts: .venv/bin/ansible-playbook playbooks/benchmark.yml",
            )
    return found[0], found[1]


def _ratio(
    first: Experiment,
    second: Experiment,
    cell: str,
    load: Load,
    figure: str,
    controls: tuple[list[float], list[float]] | None,
) -> Ratio | None:
    ratio = unpaired_ratio(*(e.figure(figure, cell, load).values() for e in (second, first)))
    faster = unpaired_ratio(controls[1], controls[0]) if controls else None
    if not ratio or not faster:
        return ratio
    # A rate is a share of the control's; CPU, a time, is a multiple of the time a control's answer took.
    return over(ratio, faster if figure == "rate" else faster.inverse())


def _spread(experiment: Experiment, controls: list[float]) -> str:
    return (
        f"{experiment.name} {median(controls):,.0f}/s, of {len(controls)} rounds' from {min(controls):,.0f} "
        f"to {max(controls):,.0f}"
    )


def _floor(verdicts: tuple[Verdict, Verdict], figure: str) -> float | None:
    known = [floor for verdict in verdicts if (floor := verdict.floors[figure]) is not None]
    return max(known, default=None)


def _both(first: Experiment, second: Experiment, cell: str, load: Load, figure: Any) -> str:
    return " and ".join(str(figure(experiment.of(cell, load))) for experiment in (first, second))


def _rounds(runs: Mapping[int, Any]) -> int:
    return len(runs)


def _failed(runs: Mapping[int, Any]) -> int:
    return sum(run.doc["counts"]["failed"] for run in runs.values())


def _legend(verdicts: Mapping[str, tuple[Verdict, Verdict]], shown: bool) -> str:
    bands = [threshold(_floor(pair, figure)) for pair in verdicts.values() for figure in FIGURES]
    ends = [f"{100 * band:.1f}" for band in (min(bands), max(bands))]
    least = " to ".join(dict.fromkeys(ends))
    mark = "*: shown to differ" if shown else "nothing was shown to differ"
    return f"{mark} (1 outside the interval, and more than the noise floor, {least} % of the greater, away from it)"


def _unranked(
    verdicts: Mapping[str, tuple[Verdict, Verdict]],
) -> list[tuple[Experiment, str, str]]:
    found = {}
    for pair in verdicts.values():
        for verdict in pair:
            for name, why in verdict.unranked.items():
                if verdict.experiment.of(name, verdict.load):
                    found[verdict.experiment.name, name, why] = (verdict.experiment, name, why)
    return list(found.values())


def _besides(first: Experiment, second: Experiment, pairs: list[tuple[str, Load]]) -> list[str]:
    """Return in what they differ besides: what they were measured by and with, and what they were made of."""
    both = (first, second)
    known = {
        "controller": [fingerprint(e.session, "controller") for e in both],
        "inventory": [alone(*pair) for pair in permutations(e.session for e in both)],
        "application": [versions(e) | _release(e) for e in both],
        "session": _apart(*([(e.session or {}).get("command")] for e in both)),
    }
    for name in dict.fromkeys(cell for cell, _ in pairs):
        known[f"cell {name}"] = [_made_of(e, name) for e in both]
    for load in {load.name: load for _, load in pairs}.values():
        if load.kind != "search":  # whose command has the rate it came to
            cells = [cell for cell, met in pairs if met == load]
            known[f"load {load.name}"] = _apart(*(_commands(e, cells, load) for e in both))
    told = []
    for whose, (one, other) in known.items():
        if whose not in ("controller", "inventory") and not (one and other):
            continue  # sessions of before know no versions
        found = [f"{whose}'s {line}" for line in differences(one, other)]
        told += found[:MOST]
        if len(found) > MOST:
            told.append(f"{whose}: {len(found) - MOST} more")
    return told


def _release(experiment: Experiment) -> Doc:
    """Return the release that was measured, of several all; empty where no result tells it."""
    found = releases(experiment)
    return {"release": ", ".join(found)} if found else {}


def _made_of(experiment: Experiment, name: str) -> Doc:
    """Return the mode of a cell and its switches; empty of a duplicate, and where no plan tells them."""
    cell = next(cell for cell in experiment.cells if cell.name == name)
    if cell.duplicate_of or not experiment.plan:
        return {}
    return {"server": cell.server, **cell.switches}


def _commands(experiment: Experiment, cells: list[str], load: Load) -> list[Any]:
    runs = [run for cell in cells for run in experiment.of(cell, load).values()]
    return [run.doc["cell"].get("command") for run in runs]


def _apart(*sides: list[Any]) -> list[Doc]:
    """Return which options only one of the two sides' commands have; empty where one is not known."""
    if not all(command for commands in sides for command in commands):
        return [{}, {}]
    one, other = (
        dict.fromkeys(
            option
            for command in commands
            for option in re.split(r" (?=-|https?:)", str(command))
            if not option.startswith("-H 'User-Agent:")  # another one in each run
        )
        for commands in sides
    )
    return [
        {"command": " ".join(option for option in ours if option not in theirs) or None}
        for ours, theirs in ((one, other), (other, one))
    ]
