"""The charts that hold all cells at once: ratios as a forest plot, latencies up to their tail."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.pool import Pool
from bench.report.svg import Frame, Scale, Svg
from bench.stats import Ratio, threshold
from bench.words import times

WIDTH = 360
_ROW = 34
_NAMES = {0: "50 %", 1: "90 %", 2: "99 %", 3: "99.9 %", 4: "99.99 %", 5: "99.999 %"}


@dataclass(frozen=True)
class Row:
    """A line of the forest plot: a cell's ratio to the first one, and whether it was shown to differ."""

    name: str
    colour: str
    ratio: Ratio
    shown: bool
    twin: bool = False


def forest(title: str, first: str, rows: Sequence[Row], floor: float | None) -> Svg:
    """Return the ratios of the rows to the cell `first`, with the differences too small to count."""
    band = max(1 - threshold(floor), 0.01), 1 / max(1 - threshold(floor), 0.01)
    ends = [*band]
    for row in rows:
        ends += [row.ratio.low or row.ratio.estimate, row.ratio.high or row.ratio.estimate]
    scale = Scale(max(min(ends) * 0.98, 1e-4), max(ends) * 1.02, 8, WIDTH - 8, log=True)
    height = 16 + _ROW * len(rows)
    told = "; ".join(f"{row.name} {times(row.ratio)}" for row in rows)
    svg = Svg(WIDTH, height + 30, f"{title} as a ratio to {first}, with 95 % intervals: {told}")
    left, right = map(scale, band)
    svg.add("rect", x=left, y=4, width=right - left, height=height - 4, class_="band")
    for tick in _around_one(scale):
        svg.line(scale(tick), 4, scale(tick), height, "one" if tick == 1 else "grid")
        svg.text(scale(tick), height + 12, f"{tick:g}", "tick", "middle")
    for place, row in enumerate(rows):
        _forest_row(svg, scale, 16 + _ROW * place, row)
    svg.text(WIDTH - 8, height + 26, f"times that of {first}, logarithmic", "title", "end")
    return svg


def _forest_row(svg: Svg, scale: Scale, top: float, row: Row) -> None:
    svg.text(8, top + 4, row.name, "name quiet" if row.twin else "name")
    svg.text(WIDTH - 8, top + 4, times(row.ratio), "value strong" if row.shown else "value", "end")
    y = top + 15
    if row.ratio.low is not None and row.ratio.high is not None:
        low, high = scale(row.ratio.low), scale(row.ratio.high)
        svg.line(low, y, high, y, f"span {row.colour}")
        for x in (low, high):
            svg.line(x, y - 3, x, y + 3, f"span {row.colour}")
    look = "full" if row.shown else "hollow"
    svg.add("circle", cx=scale(row.ratio.estimate), cy=y, r=4, class_=f"{look} {row.colour}")


def _around_one(scale: Scale) -> list[float]:
    """Return round ratios, 1 among them, that lie in the range."""
    for step in (0.02, 0.05, 0.1, 0.2, 0.5):
        if scale.high > 100 * step:
            continue
        first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
        ticks = [round(n * step, 2) for n in range(max(first, 1), last + 1)]
        # Near 0, even steps crowd at the right end of a logarithmic axis.
        near = min(
            (scale(b) - scale(a) for a, b in zip(ticks, ticks[1:], strict=False)), default=99
        )
        if ticks and near >= 30 and 1 in ticks:
            return ticks
    return [tick for tick in (0.001, 0.01, 0.1, 1, 10, 100) if scale.low <= tick <= scale.high]


def tail(
    pools: Mapping[str, Pool], colours: Mapping[str, str], load: str, first: str | None
) -> Svg:
    """Return the percentiles of the cells: each step to the right, a tenth of the requests before."""
    lines = {cell: pool.tail() for cell, pool in pools.items()}
    points = [point for line in lines.values() for point in line]
    low, high = (end(seconds for _, seconds in points) for end in (min, max))
    log = high > 6 * max(low, 1e-9)
    room = 0 if log else 0.06 * (high - low)
    frame = Frame(
        Scale(0, max(max(decades for decades, _ in points), 1), 40, WIDTH - 12),
        Scale(
            low * 0.95 if log else max(0, low - room),
            high * 1.05 if log else high + room or 1,
            190,
            22,
            log,
        ),
    )
    worst = {cell: line[-1][1] for cell, line in lines.items()}
    told = "; ".join(f"{cell} up to {seconds:.3g} s" for cell, seconds in worst.items())
    svg = Svg(WIDTH, 222, f"Latency by percentile under the load {load}: {told}")
    named = [(math.log10(2), _NAMES[0])]
    named += [(float(d), _NAMES[d]) for d in range(1, 6) if d <= frame.x.high]
    frame.draw(svg, "share of requests that were faster, the tail stretched", "latency, s", named)
    for cell in sorted(lines, key=lambda name: name == first):
        svg.path(frame.at(lines[cell]), f"curve {colours[cell]}{' first' if cell == first else ''}")
    return svg
