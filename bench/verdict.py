"""Which mode to run: the cells in order, what was shown to differ, and the verdict in words.

"Differs" is said only of what lies outside the interval and beyond the noise floor (bench.stats).
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean

from bench.experiment import FIGURES, Doc, Experiment, Load
from bench.result import all_held, unlimited
from bench.stats import LEAST_PAIRS, Ratio, beyond, differs, noise_floor, paired_ratio

TIGHT = 0.03  # how well a ratio has to be known where no plan says it


@dataclass(frozen=True)
class Comparison:
    """The figure of one cell as a ratio to another's, and whether a difference was shown."""

    ratio: Ratio | None
    shown: bool


@dataclass
class Verdict:
    """What an experiment comes to under one load.

    ranked    the cells in order, the recommended one first, duplicates left out
    tied      the fastest, and those not shown to differ from it nor to be slower than any other
    unranked  the others that are measured under this load, and why
    """

    experiment: Experiment
    load: Load | None
    unranked: dict[str, str]
    ranked: list[str] = field(default_factory=list)
    tied: list[str] = field(default_factory=list)

    @property
    def recommended(self) -> str | None:
        """Return the cell to run, None when none could be ranked."""
        return self.ranked[0] if self.ranked else None

    @cached_property
    def floors(self) -> dict[str, float | None]:
        """Return the noise floor of each figure, None where no duplicate tells it."""
        return {
            figure: noise_floor(
                self.noise(again, cell, figure) for again, cell in self.experiment.twins
            )
            for figure in FIGURES
        }

    def noise(self, again: str, cell: str, figure: str) -> Ratio | None:
        """Return the ratio of a duplicate to its cell, over the rounds in which noise alone makes it."""
        found = [
            {
                n: value
                for n, value in self.experiment.figure(figure, name, self.load).items()
                if _is_sound(self.experiment.of(name, self.load)[n].doc)
            }
            for name in (again, cell)
        ]
        return paired_ratio(*found)

    def unlimited(self, cells: Iterable[str]) -> dict[str, float]:
        """Return those of the cells whose searches found no limit, and the highest rate, which held."""
        found = {
            cell: [run.doc for run in self.experiment.of(cell, self.load).values()]
            for cell in cells
        }
        return {
            cell: max(doc.get("best_rate") or 0 for doc in docs)
            for cell, docs in found.items()
            if unlimited(docs)
        }

    def compare(self, one: str, other: str, figure: str) -> Comparison:
        """Return how many times the figure of `other` that of `one` is.

        Of two cells, one ratio is taken and the other is its inverse, so that they always agree.
        """
        names = [cell.name for cell in self.experiment.cells]
        turned = names.index(one) > names.index(other)
        ratio = self._ratio(other, one, figure) if turned else self._ratio(one, other, figure)
        shown = differs(ratio, self.floors[figure])
        if shown and figure == "cpu" and self.experiment.pace.share:
            shown = self._measured_too(*((other, one) if turned else (one, other)), ratio)
        return Comparison(ratio.inverse() if ratio and turned else ratio, shown)

    def near(self, one: str, other: str, figure: str) -> bool:
        """Return whether two cells are as good as equal: no difference shown, nor likely.

        With too few rounds for an interval nothing can be shown; an estimate beyond the noise is
        then not taken for equal, or the slowest mode could win by its CPU.
        """
        found = self.compare(one, other, figure)
        if found.ratio is None or found.shown:
            return False
        if found.ratio.low is not None:
            return True
        return not beyond(found.ratio, self.floors[figure])

    def faster(self, one: str, other: str) -> bool:
        """Return whether a cell is shown to have a higher rate than another."""
        found = self.compare(one, other, "rate")
        return bool(found.shown and found.ratio and found.ratio.estimate > 1)

    def _measured_too(self, one: str, other: str, ratio: Ratio | None) -> bool:
        """Return whether CPU as measured differs as well, the same way, by more than can be ignored.

        A mode may slow the processor down itself, and that must not make it look cheaper.
        """
        raw = replace(self.experiment, as_measured=True)
        measured = paired_ratio(*(raw.figure("cpu", name, self.load) for name in (one, other)))
        if measured is None or ratio is None or not beyond(measured, None):
            return False
        return (measured.estimate > 1) == (ratio.estimate > 1)

    def _ratio(self, one: str, other: str, figure: str) -> Ratio | None:
        of = self.experiment.figure
        return paired_ratio(of(figure, one, self.load), of(figure, other, self.load))


def judge(experiment: Experiment, load: Load | None = None) -> Verdict:
    """Return the verdict under `load`, without one under the load that decides."""
    verdict = Verdict(experiment, load := load or experiment.decides, {})
    names = []
    for cell in experiment.cells:
        if load and not cell.meets(load) and not experiment.of(cell.name, load):
            continue  # by the plan, which measures it under other loads
        why = _why_not(experiment, cell.name, load)
        if why:
            verdict.unranked[cell.name] = why
        elif not cell.duplicate_of:
            names.append(cell.name)
    if not names:
        return verdict
    rounds = {name: len(experiment.of(name, load)) for name in names}
    if sum(had >= LEAST_PAIRS for had in rounds.values()) > 1:  # the others show something
        most = max(rounds.values())  # and who is one behind may just not have had its turn
        few = {name: had for name, had in rounds.items() if had < min(LEAST_PAIRS, most - 1)}
        verdict.unranked |= {n: f"measured in {had} of {most} rounds" for n, had in few.items()}
        names = [name for name in names if name not in few]
    speed, cpu = (_scores(verdict, names, figure) for figure in ("rate", "cpu"))
    by_rate = sorted(names, key=speed.__getitem__, reverse=True)
    unbeaten = [n for n in by_rate if not any(verdict.faster(other, n) for other in names)]
    best = (unbeaten or by_rate)[0]
    # The best may be known less well than another, to which some of its equals are no equals.
    verdict.tied = [
        n for n in by_rate if n == best or (n in unbeaten and verdict.near(n, best, "rate"))
    ]
    cheap_first = sorted(verdict.tied, key=lambda name: cpu.get(name, (math.inf, 0.0)))
    verdict.ranked = cheap_first + [name for name in by_rate if name not in verdict.tied]
    return verdict


def fruitless(experiment: Experiment) -> str:
    """Return why more rounds would tell nothing, empty where they may: what is asked is never answered with 2xx.

    That is the page's fault where two cells are answered with 3xx or 4xx alone, and else is seen after a round.
    """
    load = experiment.decides
    met = [cell for cell in experiment.cells if experiment.of(cell.name, load)]
    docs = [run.doc for cell in met for run in experiment.of(cell.name, load).values()]
    counts = [doc["counts"] for doc in docs]
    if not load or not counts or any(count["succeeded"] for count in counts):
        return ""
    asked, told = sum(count["requests"] for count in counts), Counter[str]()
    for count in counts:
        told.update({s: n for s, n in (count["detail"].get("status") or {}).items() if s.isdigit()})
    pages = sum(n for status, n in told.items() if status[0] in "34")
    alike = pages == asked and len({cell.duplicate_of or cell.name for cell in met}) > 1
    if not alike and not experiment.complete_rounds():
        return ""
    answered = ", ".join(f"{n:,} x {status}" for status, n in sorted(told.items()))
    return (
        f"None of {asked:,} requests under the load {load.name} was answered with 2xx"
        f"{f' (but {answered})' if answered else ''}, so more rounds would tell nothing. Give the load a path that "
        "the application answers, in a plan of your own (docs/benchmark.md), and begin a new session."
    )


def tight_enough(experiment: Experiment) -> bool:
    """Return whether the rounds that were measured suffice, so that no more are needed.

    That is after the plan's `least_rounds`, when for each ranked cell the interval of its ratio to the best under
    the load that decides, in throughput and in CPU, reaches no further from its middle than `tight`, a share.
    """
    plan = experiment.plan
    least = max(plan.get("least_rounds") or LEAST_PAIRS, LEAST_PAIRS)
    if len(experiment.complete_rounds()) < least:
        return False
    verdict = judge(experiment)
    if not verdict.ranked:
        return False
    first, *others = verdict.ranked
    widths = [
        found.ratio.half_width if found.ratio else None
        for other in others
        for figure in _known_figures(experiment, verdict)
        for found in [verdict.compare(other, first, figure)]
    ]
    return all(width is not None and width <= (plan.get("tight") or TIGHT) for width in widths)


def _known_figures(experiment: Experiment, verdict: Verdict) -> list[str]:
    """Return the figures that any ranked cell has: waiting for one nobody watches ends never."""
    return [
        figure
        for figure in FIGURES
        if any(experiment.figure(figure, name, verdict.load) for name in verdict.ranked)
    ]


def _why_not(experiment: Experiment, cell: str, load: Load | None) -> str | None:
    """Return why a cell is not ranked, in a few words; None if it is."""
    if cell in experiment.refused:
        return f"could not be {'measured' if cell in experiment.unmeasured else 'deployed'}"
    runs = experiment.of(cell, load)
    if not runs or load is None:
        return f"no result{f' under the load {load.name}' if load else ''}"
    if not experiment.figure("rate", cell, load):
        held = "no rate held within the objective" if load.kind == "search" else "nothing was timed"
        return f"{held} (load {load.name})"
    missed = [
        n for n, run in runs.items() if load.kind == "search" and not run.doc.get("best_rate")
    ]
    if missed:
        return f"no rate held within the objective ({in_rounds(missed)})"
    limited = {n: run.doc["generator_limited"] for n, run in runs.items() if _limited(run.doc)}
    if limited:
        why = next(iter(limited.values()))
        return f"the load generator was the limit ({in_rounds(limited)}): {why}"
    # A search goes on until requests fail or are late; what failed there says where the limit is.
    failed = {n: run.doc["counts"]["failed"] for n, run in runs.items()}
    bad = {n: count for n, count in failed.items() if count}
    if bad and load.kind != "search":
        asked = sum(run.doc["counts"]["requests"] for run in runs.values())
        return f"{sum(bad.values()):,} of {asked:,} requests failed ({in_rounds(bad)})"
    return None


def _limited(doc: Doc) -> bool:
    return bool(doc.get("generator_limited"))


def _is_sound(doc: Doc) -> bool:
    """Return whether a result is the server's own: nothing failed, no generator was the limit, a search found one."""
    if doc["cell"].get("kind") == "search":
        return not _limited(doc) and not all_held(doc.get("rates"))
    return not _limited(doc) and not doc["counts"]["failed"]


def in_rounds(numbers: Iterable[int]) -> str:
    """Return the rounds in words, such as "rounds 1 to 3, 7"."""
    ends: list[list[int]] = []
    for number in sorted(numbers):
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    told = [f"{a}" if a == b else f"{a} to {b}" for a, b in ends]
    return f"round{'s' if len(told) > 1 or 'to' in told[0] else ''} {', '.join(told)}"


def _scores(verdict: Verdict, names: list[str], figure: str) -> dict[str, tuple[int, float]]:
    """Return how each cell stands to the others: how many it exceeds, and its mean ratio to them.

    Of each two over the rounds that both have, so that a gap in one cell is none in the others.
    """
    known = [name for name in names if verdict.experiment.figure(figure, name, verdict.load)]
    scores = {}
    for name in known:
        found = [verdict.compare(name, other, figure).ratio for other in known if other != name]
        logs = [math.log(ratio.estimate) for ratio in found if ratio]
        scores[name] = (sum(log > 0 for log in logs), fmean(logs or [0.0]))
    return scores
