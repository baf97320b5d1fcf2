"""The most requests per second that a delay, a concurrency and a number of slots allow."""

import math


def ceiling(
    engine: str, requests: int, concurrency: int, delay: float, slots: int | None = None
) -> float | None:
    """Return the ceiling in requests per second, None when `delay` (seconds) is 0.

    A run of N requests passes in rounds of `delay` seconds, each of at most
    min(concurrency, slots) requests: h2load needs ceil(N / that) rounds; ab sends its first
    request alone and needs 1 + ceil((N - 1) / that).
    """
    if delay == 0:
        return None
    at_once = min(concurrency, slots or concurrency)
    alone = 1 if engine == "ab" else 0
    rounds = alone + math.ceil((requests - alone) / at_once)
    return requests / (rounds * delay)


def steady_ceiling(concurrency: int, delay: float, slots: int | None = None) -> float | None:
    """Return the ceiling in requests per second while all clients are at work; None as above."""
    return min(concurrency, slots or concurrency) / delay if delay else None
