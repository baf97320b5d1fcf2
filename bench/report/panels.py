"""The charts that are one small picture a cell, all with the same axes: made to be looked over."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.report.pool import Pool
from bench.report.svg import Frame, Scale, Svg, nice

WIDTH, HEIGHT = 180, 118
_LEFT, _RIGHT, _BOTTOM, _TOP = 30, WIDTH - 6, HEIGHT - 30, 20
_BINS = 48
_FAR = 2  # times the objective: where the picture of the rates ends
Panels = dict[str, Svg]  # by cell
Searched = Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]  # tries of each round, by cell
Opened = Mapping[str, Sequence[tuple[float, float]]]  # rates and the seconds of p99, by cell


def _x(low: float, high: float, log: bool = False) -> Scale:
    return Scale(low, high, _LEFT, _RIGHT, log)


def _y(low: float, high: float, log: bool = False) -> Scale:
    return Scale(low, high, _BOTTOM, _TOP, log)


def latencies(pools: Mapping[str, Pool], delay: float, colours: Mapping[str, str]) -> Panels:
    """Return histograms of the latency in multiples of the delay (seconds)."""
    longest = max(pool.latencies[-1] for pool in pools.values()) / delay
    # Whatever is slower than the slowest thousandth of all is put into the last bar.
    usual = max(pool.latencies[int(0.999 * (len(pool.latencies) - 1))] for pool in pools.values())
    last = max(2.0, min(longest, usual / delay * 1.1))
    low = min(1.0, *(pool.latencies[0] / delay for pool in pools.values()))
    step = nice((last - low) / _BINS)
    edges = [place * step for place in range(max(0, int(low / step) - 2), int(last / step) + 1)]
    shares = {cell: _binned(pool, [edge * delay for edge in edges]) for cell, pool in pools.items()}
    most = max(max(values) for values in shares.values())
    frame = Frame(_x(edges[0], edges[-1] + step), _y(0, most * 1.05))
    panels = {}
    for cell, values in shares.items():
        waited = 100 * pools[cell].from_on(1.5 * delay)
        svg = panels[cell] = Svg(
            WIDTH,
            HEIGHT,
            f"Histogram of the latency of {cell} in multiples of the delay of {delay:g} s: "
            f"{waited:.1f} % of requests took 1.5 times the delay or longer",
        )
        frame.draw(svg, "latency / delay", "% of requests", most=(5, 3))
        svg.line(frame.x(1), frame.y.start, frame.x(1), frame.y.end, "ideal")
        for edge, share in zip(edges, values, strict=True):
            if share > 0:
                left, top = frame.x(edge), frame.y(share)
                width = max(frame.x(edge + step) - left - 0.4, 0.6)
                height = max(frame.y.start - top, 0.7)
                y, look = frame.y.start - height, f"bar {colours[cell]}"
                svg.add("rect", class_=look, x=left, y=y, width=width, height=height)
        svg.text(_RIGHT, _TOP + 14, f"1.5 times and up: {waited:.1f} %", "note", "end")
    return panels


def _binned(pool: Pool, edges: Sequence[float]) -> list[float]:
    """Return the percent of requests in each bar, from its edge (seconds) on, the last one open."""
    left = [pool.from_on(edge) for edge in edges]
    return [100 * (here - after) for here, after in zip(left, [*left[1:], 0.0], strict=True)]


def progress(
    series: Mapping[str, Sequence[Sequence[float]]],
    width: float,
    limit: float | None,
    colours: Mapping[str, str],
) -> Panels:
    """Return the completions a second over a run: the median of its rounds, and their range."""
    longest = max(len(line) for lines in series.values() for line in lines)
    most = max(max(line) for lines in series.values() for line in lines)
    frame = Frame(_x(0, longest * width), _y(0, max(most, limit or 0) * 1.08))
    panels = {}
    for cell, lines in series.items():
        steps = [
            sorted(line[place] if place < len(line) else 0.0 for line in lines)
            for place in range(max(map(len, lines)))
        ]
        middle = [median(step) for step in steps]
        svg = panels[cell] = Svg(
            WIDTH,
            HEIGHT,
            f"Completions a second of {cell} over a run of {len(steps) * width:.0f} s: "
            f"at most {max(middle):.0f} requests/s in the median of {len(lines)} rounds",
        )
        frame.draw(svg, "seconds since the first request", "2xx answers/s", most=(5, 3))
        if limit:
            svg.line(_LEFT, frame.y(limit), _RIGHT, frame.y(limit), "limit")
        at = [(place + 0.5) * width for place in range(len(steps))]
        low = frame.at(zip(at, [step[0] for step in steps], strict=True))
        high = frame.at(zip(at, [step[-1] for step in steps], strict=True))
        if len(lines) > 1:
            svg.path([*low, *reversed(high)], f"area {colours[cell]}", closed=True)
        svg.path(frame.at(zip(at, middle, strict=True)), f"curve {colours[cell]}")
    return panels


def rates(
    searched: Searched,
    opened: Opened,
    objective: float | None,
    colours: Mapping[str, str],
) -> Panels:
    """Return p99 (seconds) by rate (requests/s): a line a round of a search, a ring an open load."""
    tried = [try_ for rounds in searched.values() for one in rounds for try_ in one]
    points = [(try_["rate"], try_["p99"]) for try_ in tried if try_.get("p99")]
    points += [point for found in opened.values() for point in found]
    if not points:
        return {}
    p99s = [p99 for _, p99 in points] + ([objective] if objective else [])
    low, high = min(p99s), max(p99s)
    if objective:  # how far beyond it a rate was is of no interest, what lies below it is
        high = min(
            high, max(_FAR * objective, *(p for found in opened.values() for _, p in found), 0)
        )
    log = high > 6 * low
    room = 0.1 * (high - low)
    every = [rate for rate, _ in points] + [try_["rate"] for try_ in tried]
    frame = Frame(
        _x(min(every) * 0.9, max(every) * 1.05),
        _y(low / 1.1, high * 1.1, True) if log else _y(max(0, low - room), high + room or 1),
    )
    panels = {}
    for cell in colours:
        if cell not in searched and cell not in opened:
            continue
        svg = panels[cell] = Svg(WIDTH, HEIGHT, _rates_told(cell, searched, opened, objective))
        frame.draw(svg, "rate, requests/s", "p99, s", most=(4, 4))
        if objective:
            y = frame.y(objective)
            svg.line(_LEFT, y, _RIGHT, y, "limit")
        for one in searched.get(cell, ()):
            known = sorted((t for t in one if t.get("p99")), key=lambda t: t["rate"])
            places = frame.at((t["rate"], t["p99"]) for t in known)
            svg.path(places, f"thin {colours[cell]}")
            for (x, y), t in zip(places, known, strict=True):
                look = "dot" if t.get("held") else "missed"
                svg.add("circle", cx=x, cy=y, r=2.0, class_=f"{look} {colours[cell]}")
        for x, y in frame.at(opened.get(cell, ())):
            svg.add("circle", cx=x, cy=y, r=4.0, class_=f"ring {colours[cell]}")
    return panels


def _rates_told(cell: str, searched: Searched, opened: Opened, objective: float | None) -> str:
    held = [t["rate"] for one in searched.get(cell, ()) for t in one if t.get("held")]
    told = [f"p99 of {cell} by rate"]
    if held:
        within = f" within {objective:g} s" if objective else ""
        told.append(f"held{within} up to {max(held):g} requests/s")
    told += [f"{p99:.3g} s at {rate:g} requests/s" for rate, p99 in opened.get(cell, ())]
    return "; ".join(told)
