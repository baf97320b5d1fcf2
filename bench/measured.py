"""What one run of a load engine came to, the same shape for every engine."""

from dataclasses import dataclass, field
from typing import Any

from bench.errors import BadInput


@dataclass
class Measured:
    """Counts, times and doubts of one run.

    succeeded     requests answered with 2xx; all others of the cell's requests failed
    detail        the engine's own breakdown of what failed, counts by name
    seconds       duration the throughput is taken over, None when nothing was timed
    engine_seconds  the duration the engine itself reports, None when it printed no report
    latency       as `percentiles.summarise` gives it, in seconds
    flags         one-line doubts about this run
    steady        2xx answers per second in steady state, None when that was not seen
    """

    succeeded: int
    detail: dict[str, Any]
    seconds: float | None
    engine_seconds: float | None
    latency: dict[str, Any]
    flags: list[str] = field(default_factory=list)
    steady: float | None = None


def wrong_output(engine: str, found: str) -> BadInput:
    """Return the error for a standard output that is not the one of this cell's run."""
    return BadInput(
        f"--stdout: {found}",
        f"the standard output of {engine} for this very cell",
        f"{engine} ... > out.txt 2>&1   then: --stdout out.txt",
    )
