"""The delay a request asks for."""

from __future__ import annotations

import math

from flask import request

from demo.errors import Failure

_VALID = "delay=SECONDS, a number from 0 up, given once"


def requested_delay() -> float:
    """Return this request's delay in seconds, 1.0 when it names none; Failure 400 if unusable."""
    values = request.args.getlist("delay") or ["1"]
    if len(values) != 1:
        raise Failure(400, f"delay was given {len(values)} times", valid=_VALID)
    text = values[0]
    try:
        # float() also reads 1_000, which is Python's notation and nobody else's.
        delay = float(text.replace("_", "?"))
    except ValueError:
        raise Failure(400, f"delay is not a number: {text!r}", valid=_VALID) from None
    if not math.isfinite(delay) or delay < 0:
        raise Failure(400, f"delay is not a number of seconds from 0 up: {text!r}", valid=_VALID)
    return delay
