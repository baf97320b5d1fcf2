"""The verdict in words: what a person needs to decide, in plain sentences."""

from statistics import median

from bench.experiment import Experiment, releases
from bench.stats import LEAST_DIFFERENCE, LEAST_PAIRS, Ratio, noise_floor, threshold
from bench.verdict import TIGHT, Comparison, Verdict, fruitless, judge, tight_enough

_FIGURES = {"rate": "throughput", "cpu": "CPU a request"}


def in_words(experiment: Experiment, verdict: Verdict | None = None) -> list[str]:
    """Return the verdict as sentences, the recommendation first."""
    verdict = verdict or judge(experiment)
    told = [headline(verdict)]
    if verdict.recommended:
        told += [_throughput(verdict), _no_limit(verdict), _cpu(verdict)]
        told += [_not_shown(verdict), _floor(verdict)]
    told += [
        _speed(experiment),
        _unranked(verdict),
        fruitless(experiment),
        _lost(experiment),
        _releases(experiment),
        _emulated(experiment),
        _rounds(experiment),
    ]
    return [sentence for sentence in told if sentence]


def headline(verdict: Verdict) -> str:
    """Return the recommendation, one sentence."""
    if not verdict.experiment.runs:
        return "No mode can be recommended: there is no result."
    if not verdict.ranked:
        return "No mode can be recommended: no cell was measured without faults."
    first, *others = verdict.ranked
    if not others:
        return f"Nothing to choose from: only {first} could be ranked."
    next_ = others[0]
    rate, cpu = (verdict.compare(first, next_, figure) for figure in ("rate", "cpu"))
    if rate.ratio is None or rate.ratio.low is None:
        pairs = rate.ratio.pairs if rate.ratio else 0
        return (
            f"{first}, provisionally: {_count(pairs, 'round')} measured, "
            f"and no difference can be shown in fewer than {LEAST_PAIRS}."
        )
    if rate.shown and rate.ratio.estimate > 1:
        least = "at least " if verdict.unlimited([first]) else ""
        return f"Run {first}: it serves {least}{_more(rate.ratio.estimate)} {next_}, the next."
    if cpu.shown and cpu.ratio and cpu.ratio.estimate < 1:
        less = f"{100 * (1 - cpu.ratio.estimate):.0f} % less CPU than {next_}, the next"
        return f"Run {first}: none is shown to be faster, and it needs {less}."
    equal = [name for name in others if _equal(verdict, first, name)]
    return (
        f"Run {first}, or {listed(equal or [next_], 'or')}: no difference between them was shown."
    )


def aside(verdict: Verdict) -> str:
    """Return what a load comes to that does not decide, and its own noise floor; empty where it orders nothing."""
    if verdict.load is None or verdict.load.kind == "open":  # who keeps up has its rate
        return ""
    told = headline(verdict)
    if told.startswith(("Run ", "No mode ", "Nothing ")):
        told = told[0].lower() + told[1:]
    return " ".join(
        [f"By this load alone: {told}", *([_floor(verdict)] if verdict.recommended else [])]
    )


def times(ratio: Ratio | None) -> str:
    """Return a ratio with its interval, such as "1.08 (1.05 to 1.11)"."""
    if ratio is None:
        return "not known"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.estimate:.2f} (no interval, {_count(ratio.pairs, 'pair')})"
    return f"{ratio.estimate:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def listed(names: list[str], last: str = "and") -> str:
    """Return the names as a list in a sentence."""
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _equal(verdict: Verdict, one: str, other: str) -> bool:
    found = [verdict.compare(one, other, figure) for figure in _FIGURES]
    return not any(comparison.shown for comparison in found) and found[0].ratio is not None


def _more(times_it: float) -> str:
    return (
        f"{times_it:.1f} times as much as"
        if times_it >= 2
        else f"{100 * times_it - 100:.0f} % more than"
    )


def _throughput(verdict: Verdict) -> str:
    first, load = verdict.ranked[0], verdict.load
    value = f"{_middle(verdict, 'rate'):.1f} requests/s"
    if load and load.kind == "search":
        objective = load.facts.get("objective")
        limit = f"p99 at most {objective:g} s" if objective else "the objective kept"
        most = "at least" if verdict.unlimited([first]) else "at most"
        value = f"{most} {_middle(verdict, 'rate'):.0f} requests/s ({limit})"
    else:
        runs = verdict.experiment.of(first, load).values()
        shares = [run.doc["ceiling"]["percent"] for run in runs]
        known = [share for share in shares if share is not None]
        value += f", {median(known):.1f} % of the {load.whole}" if load and known else ""
    return (
        f"Throughput under the load {load.name if load else ''}: {value}{_beside(verdict, 'rate')}."
    )


def _no_limit(verdict: Verdict) -> str:
    found = verdict.unlimited(verdict.ranked)
    if not found:
        return ""
    unknown = (
        "its limit is not known"
        if len(found) == 1
        else "their limits are not known, nor whose is higher"
    )
    return (
        f"Mind: {listed([*found])} held the highest rate of the search, {max(found.values()):g}/s, "
        f"so {unknown}: raise `to`."
    )


def _cpu(verdict: Verdict) -> str:
    if not verdict.experiment.figure("cpu", verdict.ranked[0], verdict.load):
        return "CPU was not measured, so throughput alone makes the order."
    corrected = ", corrected (see Speed)" if verdict.experiment.pace.share else ""
    return f"CPU: {_middle(verdict, 'cpu'):.2f} ms an answer{corrected}{_beside(verdict, 'cpu')}."


def _middle(verdict: Verdict, figure: str) -> float:
    values = verdict.experiment.figure(figure, verdict.ranked[0], verdict.load)
    return median(values.values())


def _beside(verdict: Verdict, figure: str) -> str:
    if len(verdict.ranked) < 2:
        return ""
    found = verdict.compare(verdict.ranked[0], verdict.ranked[1], figure)
    if found.ratio is None:
        return ""
    return f"; {times(found.ratio)} times that of {verdict.ranked[1]}, the next: {shown(found)}"


def shown(found: Comparison) -> str:
    """Return whether a difference was shown, in words."""
    return "shown to differ" if found.shown else "not shown to differ"


def _not_shown(verdict: Verdict) -> str:
    if len(verdict.tied) < 2:
        return ""
    known = any(verdict.experiment.figure("cpu", name, verdict.load) for name in verdict.tied)
    order = "; CPU a request decides their order" if known else ""
    told = "Not shown to differ in throughput"
    if any(_is_provisional(verdict, name) for name in verdict.ranked[1:]):
        told = (
            f"As fast as the fastest, give or take {100 * threshold(verdict.floors['rate']):.0f} %"
        )
    return f"{told}: {listed(verdict.ranked[: len(verdict.tied)])}{order}."


def _is_provisional(verdict: Verdict, other: str) -> bool:
    """Return whether there are too few rounds to show anything."""
    ratio = verdict.compare(verdict.ranked[0], other, "rate").ratio
    return ratio is not None and ratio.low is None


def _floor(verdict: Verdict) -> str:
    known = {figure: floor for figure, floor in verdict.floors.items() if floor is not None}
    if not known:
        why = "no cell was measured twice"
        if verdict.experiment.twins:
            why = "no duplicate was measured in enough rounds without faults"
            if verdict.load and verdict.load.kind == "search":
                why = "no duplicate's searches came to a limit in enough rounds"
        return f"Noise floor: not known, {why}; {LEAST_DIFFERENCE:.0%} is used.".replace("%", " %")
    told = " and ".join(f"{100 * floor:.1f} % in {_FIGURES[f]}" for f, floor in known.items())
    twins = listed(
        [
            cell
            for again, cell in verdict.experiment.twins
            if any(
                noise_floor([verdict.noise(again, cell, figure)]) is not None for figure in known
            )
        ]
    )
    return (
        f"Noise floor: {twins}, measured twice, looks up to {told} different from itself; "
        f"smaller differences, or any below {100 * LEAST_DIFFERENCE:.0f} %, each of the greater figure, are not called "
        "differences."
    )


def _speed(experiment: Experiment) -> str:
    """Return how far the processors' speed went up and down, and what of it the figures of CPU are corrected by."""
    pace = experiment.pace
    told = [
        f"the same piece of work took {host} {least:.2f} to {most:.2f} times the CPU it usually did"
        for host, (least, most) in pace.ranges.items()
    ]
    if not told:
        return ""
    what = (
        "how much of that the application felt is not known, so CPU a request is told as measured"
    )
    if pace.share:
        what = (
            f"the application felt {100 * pace.share:.0f} % of such a slowdown, or speedup, and CPU a request is "
            "corrected by that"
        )
    return f"Speed: {'; '.join(told)}; {what}."


def _unranked(verdict: Verdict) -> str:
    alike: dict[str, list[str]] = {}
    for name, why in verdict.unranked.items():
        alike.setdefault(why, []).append(name)
    told = [f"{listed(names)} ({why})" for why, names in alike.items()]
    return f"Not ranked: {'; '.join(told)}." if told else ""


def _lost(experiment: Experiment) -> str:
    if not experiment.lost:
        return ""
    return (
        "Mind: there is no session.json to be read, so which load decides, which cells there were, and which "
        "of them is a duplicate is guessed from the results."
    )


def _releases(experiment: Experiment) -> str:
    found = releases(experiment)
    if len(found) < 2:
        return ""
    return f"Mind: the application was not the same all the time, but releases {listed(found)}."


def _emulated(experiment: Experiment) -> str:
    """Return of which hosts the processor was made by software: systemd-detect-virt says qemu, and kvm of others."""
    hosts = ((experiment.session or {}).get("fingerprint") or {}).get("hosts") or {}
    found = [
        name
        for name, host in hosts.items()
        if isinstance(host, dict) and host.get("virtualization") == "qemu"
    ]
    if not found:
        return ""
    return f"Mind: {listed(found)} ran under emulation, so these figures are not those of any real processor."


def _rounds(experiment: Experiment) -> str:
    done, planned = len(experiment.complete_rounds()), experiment.plan.get("rounds")
    told = f"Rounds: {done} complete" + (f" of {planned} planned" if planned else "")
    begun = len(experiment.rounds) - done
    told += f", {_count(begun, 'more')} with gaps" if begun else ""
    if planned and done < planned:
        told += (
            f"; enough, for {why_enough(experiment)}" if tight_enough(experiment) else "; not all"
        )
    return f"{told}."


def why_enough(experiment: Experiment) -> str:
    """Return why no more rounds are needed, where they are not."""
    first, *others = judge(experiment).ranked
    if not others:
        return f"only {first} can be ranked, and there is no ratio to be known better"
    load, tight = experiment.decides, 100 * (experiment.plan.get("tight") or TIGHT)
    under = f" under the load {load.name}" if load else ""
    return f"each ratio to {first}{under} is known within {tight:.3g} %"


def _count(number: int, what: str) -> str:
    plural = "s" if number != 1 and what != "more" else ""
    return f"{number} {what}{plural}"
