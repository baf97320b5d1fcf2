"""How figures are written, the same on the page and in Markdown."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup, escape

from bench.experiment import Load
from bench.report.clean import clean
from bench.report.tables import Latency, Row
from bench.words import listed

NONE = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
LEAST = "\N{GREATER-THAN OR EQUAL TO} "


def fixed(value: float | None, digits: int = 1) -> str:
    """Return a number with so many decimals, thousands set apart."""
    return NONE if value is None else f"{value:,.{digits}f}"


def within(row: Row) -> str:
    """Return the rate within the objective of a search, which may be more where each rate held."""
    return f"{LEAST if row.within_least else ''}{fixed(row.within, 0)}"


def seconds(value: Latency | None) -> str:
    """Return a percentile in seconds."""
    return NONE if value is None else f"{value.seconds:.3f}"


def multiple(value: Latency | None) -> str:
    """Return a percentile as a multiple of the delay; empty where there is none."""
    return "" if value is None or value.multiple is None else f"{value.multiple:.2f}{TIMES}"


def interval(value: Latency | None) -> str:
    """Return the interval of a percentile; empty where there is none."""
    if value is None or value.interval == (None, None):
        return ""
    low, high = value.interval
    if low is None or high is None:
        return f"at most {high:.3f}" if low is None else f"at least {low:.3f}"
    return f"{low:.3f} to {high:.3f}"


def mean_load(load: Load) -> str:
    """Return what a load asks for, in words."""
    facts = load.facts
    told = {
        "closed": "{requests:,} requests, {concurrency:,} at once",
        "open": "{rate:g} requests/s for {seconds:g} s",
        "search": "the highest rate with p99 within {objective:g} s",
    }.get(load.kind, "")
    try:
        told = told.format_map(facts)
    except (KeyError, TypeError, ValueError):  # an older result does not say all of it
        told = f"{load.kind} load"
    parts = [told, f"delay {load.delay:g} s" if load.delay > 0 else "", facts.get("path") or ""]
    return ", ".join(filter(None, [*parts, load.engine]))


def switches(values: Mapping[str, Any]) -> str:
    """Return switches as one would type them."""
    return " ".join(f"{key}={value}" for key, value in values.items())


def size(value: float | None) -> str:
    """Return bytes in a unit that suits them."""
    if value is None:
        return NONE
    for power, unit in enumerate(("B", "KB", "MB", "GB")):
        if value < 1000 ** (power + 1):
            return f"{value / 1000**power:.3g} {unit}"
    return f"{value / 1000**4:.3g} TB"


def plain(value: Any) -> str:
    """Return a value of the fingerprint as a text."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def breakable(name: str) -> Markup:
    """Return a name that may be broken after its _ and -, where there is little room."""
    return Markup(re.sub(r"([_-])(?=\w)", r"\1<wbr/>", str(escape(clean(name)))))  # noqa: S704 - escaped


FILTERS: dict[str, Callable[..., str]] = {
    "breakable": breakable,
    "fixed": fixed,
    "within": within,
    "seconds": seconds,
    "multiple": multiple,
    "interval": interval,
    "listed": listed,
    "mean_load": mean_load,
    "switches": switches,
    "size": size,
    "plain": plain,
}
