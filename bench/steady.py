"""Throughput in steady state: a closed loop's without the ramp at its start and the tail at its end."""

from collections.abc import Sequence

Answer = tuple[float, bool]  # when it ended (s), whether it succeeded


def steady_rate(answers: Sequence[Answer], clients: int) -> float | None:
    """Return the answers per second that succeeded while every client was at work.

    That is from the answer after which each client can have had one, the `clients`th, to the one
    after which each can still get its last, `clients` before the end: whole rounds, however the
    requests bunch up within them. None where not one whole round lies between the two.
    """
    ordered = sorted(answers)
    first, last = clients - 1, len(ordered) - clients - 1
    if clients < 1 or last - first < clients:
        return None
    seconds = ordered[last][0] - ordered[first][0]
    good = sum(succeeded for _, succeeded in ordered[first + 1 : last + 1])
    return good / seconds if seconds > 0 else None
