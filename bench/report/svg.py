"""Inline SVG, drawn without any library: an element at a time, every text escaped, a class for each look."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from bench.report.clean import clean

Point = tuple[float, float]


@dataclass
class Svg:
    """A picture of `width` x `height` units, which is stretched to the room it is given.

    `label` says to those who do not see it what is to be seen.
    """

    width: int
    height: int
    label: str
    parts: list[Markup] = field(default_factory=list)

    def add(self, tag: str, text: str | None = None, **attributes: Any) -> None:
        """Draw an element; `class_` and `text_anchor` become class and text-anchor."""
        told = "".join(
            f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
            for key, value in attributes.items()
            if value is not None
        )
        end = f">{escape(clean(text))}</{tag}>" if text is not None else "/>"
        self.parts.append(Markup(f"<{tag}{told}{end}"))  # noqa: S704 - escaped above

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str) -> None:
        """Draw a line."""
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)

    def text(self, x: float, y: float, text: str, class_: str = "t", anchor: str = "start") -> None:
        """Write a text that begins, ends or is centred at a point."""
        self.add("text", text, x=x, y=y, class_=class_, text_anchor=anchor)

    def path(self, points: Iterable[Point], class_: str, closed: bool = False) -> None:
        """Draw a line through the points."""
        steps = [f"{_value(x)} {_value(y)}" for x, y in points]
        if steps:
            self.add("path", d=f"M{'L'.join(steps)}{'Z' if closed else ''}", class_=class_)

    def __html__(self) -> Markup:
        """Return the picture as the page takes it."""
        return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            self.width, self.height, clean(self.label), Markup("").join(self.parts)
        )


@dataclass(frozen=True)
class Scale:
    """Turns values from `low` to `high` into places from `start` to `end`, evenly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value; what lies outside is put on the edge."""
        low, high, at = (self._of(number) for number in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def _of(self, value: float) -> float:
        return math.log(max(value, 1e-9)) if self.log else value

    def ticks(self, most: int = 6) -> list[float]:
        """Return at most about so many round values in the range."""
        if not self.log:
            step = nice((self.high - self.low) / most)
            first = math.ceil(self.low / step - 1e-9)
            return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]
        first, last = (math.floor(math.log10(max(v, 1e-9))) for v in (self.low, self.high))
        for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [step * 10**power for power in range(first, last + 1) for step in steps]
            found = [v for v in found if self.low <= v * 1.0001 and v <= self.high * 1.0001]
            if len(found) <= most:
                break
        # Within less than a power of ten, even steps tell more.
        even = Scale(self.low, self.high, 0, 1).ticks(most)
        return found if len(found) >= 3 or self.high / max(self.low, 1e-9) > 10 else even


def nice(step: float) -> float:
    """Return the round number, 1, 2 or 5 times a power of ten, that is not below `step`."""
    if step <= 0 or not math.isfinite(step):
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= step * (1 - 1e-9))


def number(value: float) -> str:
    """Return a value as an axis tells it, without zeros that say nothing."""
    return f"{value:.6g}" if abs(value) < 1e5 else f"{value:,.0f}"


@dataclass(frozen=True)
class Frame:
    """The two scales of a plot, x from left to right and y upwards."""

    x: Scale
    y: Scale

    def at(self, points: Iterable[Point]) -> list[Point]:
        """Return where the points are."""
        return [(self.x(x), self.y(y)) for x, y in points]

    def draw(
        self,
        svg: Svg,
        x_title: str,
        y_title: str,
        x_ticks: Sequence[tuple[float, str]] | None = None,
        most: tuple[int, int] = (6, 5),
    ) -> None:
        """Draw the grid, the ticks and the titles of both axes."""
        for value in self.y.ticks(most[1]):
            y = self.y(value)
            svg.line(self.x.start, y, self.x.end, y, "grid")
            svg.text(self.x.start - 4, y + 3, number(value), "tick", "end")
        named = x_ticks if x_ticks is not None else [(v, number(v)) for v in self.x.ticks(most[0])]
        for value, name in named:
            x = self.x(value)
            svg.line(x, self.y.start, x, self.y.start + 3, "axis")
            edge = x > self.x.end - 6
            svg.text(x, self.y.start + 13, name, "tick", "end" if edge else "middle")
        svg.line(self.x.start, self.y.start, self.x.end, self.y.start, "axis")
        svg.text(self.x.end, self.y.start + 26, x_title, "title", "end")
        svg.text(2, self.y.end - 8, y_title, "title")


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value)
