"""Nearest-rank percentiles, told only where enough requests stand behind them."""

from collections.abc import Sequence
from typing import Any

# name: (per mille, requests needed). From p95 on, at least ten requests lie beyond the percentile.
PERCENTILES = {
    "p50": (500, 1),
    "p95": (950, 200),
    "p99": (990, 1_000),
    "p99_9": (999, 10_000),
}


def nearest_rank(ordered: Sequence[float], per_mille: int) -> float:
    """Return the value at rank ceil(per_mille / 1000 * n) of `ordered`, ascending and not empty."""
    rank = -(-len(ordered) * per_mille // 1000)  # in whole numbers: 0.999 * n is not exact
    return ordered[max(rank, 1) - 1]


def summarise(latencies: Sequence[float], source: str) -> dict[str, Any]:
    """Return samples, min, max and the percentiles of `latencies`, in their own unit.

    What too few samples stand behind is None. `source` says what was measured, for the reader.
    """
    ordered = sorted(latencies)
    summary: dict[str, Any] = {"samples": len(ordered), "source": source}
    summary["min"] = ordered[0] if ordered else None
    for name, (per_mille, needed) in PERCENTILES.items():
        enough = len(ordered) >= needed
        summary[name] = nearest_rank(ordered, per_mille) if enough else None
    summary["max"] = ordered[-1] if ordered else None
    return summary
