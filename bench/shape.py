"""The shape of stored documents beyond what every result has: refused with the place that is wrong.

Everything here may be absent or null, so that what older versions wrote is read as well.
"""

import json
import math
from typing import Any

from bench.errors import BadInput

_NUMBER = (int, float)
_SESSION = {
    "started": str,
    "command": str,
    "plan": {
        "name": str,
        "title": str,
        "seed": int,
        "rounds": int,
        "least_rounds": int,
        "tight": _NUMBER,
        "decides": str,
        "cells": [
            {
                "name": str,
                "server": str,
                "switches": dict,
                "published": _NUMBER,
                "duplicate_of": str,
                "loads": [str],
            }
        ],
        "loads": [
            {
                "name": str,
                "engine": str,
                "kind": str,
                "path": str,
                "requests": int,
                "concurrency": int,
                **dict.fromkeys(("delay", "rate", "seconds", "objective", "from", "to"), _NUMBER),
            }
        ],
    },
    "fingerprint": {"controller": dict, "hosts": dict},
}
_RESULT = {
    "recorded": str,
    "cell": {
        **dict.fromkeys(("name", "kind", "variant", "url"), str),
        **dict.fromkeys(("round", "concurrency", "database_connections"), int),
        **dict.fromkeys(("rate", "seconds", "objective", "control"), _NUMBER),
        "facts": dict,
        "app": [
            {
                "host": str,
                "versions": dict,
                **dict.fromkeys(
                    ("cpu_seconds", "memory_before", "memory_peak", "yardstick_seconds"), _NUMBER
                ),
                **dict.fromkeys(("threads_before", "threads_peak", "listen_overflows"), int),
            }
        ],
        "generators": [
            {
                "host": str,
                **dict.fromkeys(("cpu_seconds", "run_delay_seconds", "seconds", "busy"), _NUMBER),
            }
        ],
    },
    "steady": {"ceiling": _NUMBER},
    "latency": {"samples": int, "source": str},
    "lag": {"p50": _NUMBER, "p99": _NUMBER, "max": _NUMBER},
    "rates": [{"rate": _NUMBER, "p99": _NUMBER, "failed": int, "held": bool}],
    "best_rate": _NUMBER,
    "generator_limited": str,
    "flags": [str],
    "raw": {"log": str, "sha256": str},
}
_REFUSED = {"cell": str, "round": int, "why": str, "deployed": bool}
DIGITS = 18  # digits of a whole number: more are no count of anything, and no float


def read_json(text: str) -> Any:
    """Return the JSON in `text`; raise ValueError also for numbers that nothing can be done with."""
    return json.loads(text, parse_constant=_refuse, parse_float=_float, parse_int=_int)


def check_session(doc: Any) -> dict[str, Any]:
    """Return a session's description; raise BadInput if it is none."""
    if not isinstance(doc, dict) or doc.get("schema") != 3:
        raise BadInput("no description of a session of schema 3", "a file as written", "git pull")
    _conform(doc, _SESSION, "")
    plan = doc.get("plan") or {}
    for part, keys in (("cells", ("name",)), ("loads", ("name", "engine"))):
        for number, item in enumerate(plan.get(part) or []):
            _need(item, keys, f"plan.{part}[{number}]")
    return doc | {"plan": {**plan, **{part: plan.get(part) or [] for part in ("cells", "loads")}}}


def check_planned(doc: Any) -> dict[str, Any]:
    """Return a session's description whose plan can be gone on with; raise BadInput if it is none."""
    about = check_session(doc)
    plan = about["plan"]
    _need(about, ("command",), "")
    _need(plan, ("rounds", "least_rounds", "seed"), "plan")
    for part, keys in (("cells", ("server", "switches", "loads")), ("loads", ("kind",))):
        for number, item in enumerate(plan[part]):
            _need(item, keys, f"plan.{part}[{number}]")
    return about


def check_refused(doc: Any) -> dict[str, Any]:
    """Return the note that a cell could not be deployed, or not be measured; raise BadInput if it is none."""
    _conform(doc, _REFUSED, "")
    note: dict[str, Any] = doc
    _need(note, ("cell", "why"), "")
    return note


def check_optional(doc: dict[str, Any]) -> None:
    """Raise BadInput when something that a result may have is not what it has to be."""
    _conform(doc, _RESULT, "")
    for number, use in enumerate(doc["cell"].get("app") or []):
        _need(use, ("cpu_seconds",), f"cell.app[{number}]")
    for number, tried in enumerate(doc.get("rates") or []):
        _need(tried, ("rate",), f"rates[{number}]")
    if doc.get("raw"):
        _need(doc["raw"], ("log", "sha256"), "raw")


def _conform(value: Any, shape: Any, where: str) -> None:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        for key, inner in shape.items():
            if value.get(key) is not None:
                _conform(value[key], inner, f"{where}.{key}".lstrip("."))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        for number, item in enumerate(value):
            _conform(item, shape[0], f"{where}[{number}]")
    elif not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
        raise _wrong(where, value, str(shape))


def _need(item: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        if item.get(key) is None:
            raise _wrong(f"{where}.{key}".lstrip("."), None, "there")


def _wrong(where: str, value: Any, valid: str) -> BadInput:
    return BadInput(f"{where or 'it'} is {json.dumps(value)[:60]}, not {valid}", valid, "record")


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _int(text: str) -> int:
    return int(text) if len(text.removeprefix("-")) <= DIGITS else int(_refuse(text))
