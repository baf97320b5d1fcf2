"""What each key of a plan may hold, of the plan itself, its cells and its loads."""

import re
from collections.abc import Callable
from typing import Any

from bench.cell import is_count, is_name, is_seconds, is_text

NEEDED = object()
LONGEST = 86_400  # seconds, a day
# What a key may hold: the check, what is valid in words, and what it is where it is left out.
Keys = dict[str, tuple[Any, str, Any]]


def _to(most: int) -> Callable[[Any], bool]:
    return lambda value: is_count(value) and value <= most


def _is_time(value: Any) -> bool:
    return is_seconds(value) and value <= LONGEST


def _is_path(value: Any) -> bool:
    """Return whether it is a path as a request has it: h2load takes no other."""
    return isinstance(value, str) and re.fullmatch(r"/[!-~]*", value) is not None


_NAME = "letters, digits, _ and -, at most 60"
TOP: Keys = {
    "title": (is_text, "a sentence", "Which mode serves my application best?"),
    "rounds": (_to(1000), "how often everything is measured at most, from 1 to 1,000", 10),
    "least_rounds": (_to(1000), "the rounds after which it may stop early, from 1 to 1,000", 6),
    "tight": (lambda value: is_seconds(value) and 0 < value < 1, "a share, such as 0.03", 0.03),
    "seed": (is_count, "a whole number from 1, for the order", 1),
    "decides": (is_name, "the name of a load", None),
    "duplicate": (is_name, "the name of a cell, which is measured twice", None),
    "cells": (list, "a list such as [{server: uwsgi_gevent}, {server: gunicorn_sync}]", NEEDED),
    "loads": (
        list,
        "a list such as [{name: c200, requests: 2000, concurrency: 200, path: /}]",
        NEEDED,
    ),
}
CELL: Keys = {
    "name": (is_name, _NAME, ""),
    "server": (is_name, "a server mode", NEEDED),
    "switches": (dict, "variables as -e takes them", {}),
    "published": (is_seconds, "requests a second somebody else has published", None),
    "loads": (list, "names of loads", None),
}
LOAD: Keys = {
    "name": (is_name, _NAME, NEEDED),
    "kind": (is_text, "closed, open or search", "closed"),
    "engine": (lambda value: value in ("h2load", "ab"), "h2load or ab", "h2load"),
    "path": (
        _is_path,
        "path and query, from its /; percent-encode spaces and what is not ASCII, such as /a%20b",
        NEEDED,
    ),
    "delay": (_is_time, f"seconds a request takes at least, to {LONGEST}; 0 if not known", 0),
}
_RATE = (_to(10**6), "requests a second, a whole number from 1 to a million", NEEDED)
_SECONDS = (_to(LONGEST), f"seconds, a whole number from 1 to {LONGEST}", 10)
KINDS: dict[str, Keys] = {
    "closed": {
        "requests": (_to(10**8), "how many, from 1 to a hundred million", NEEDED),
        "concurrency": (_to(10**6), "how many at once, from 1 to a million", NEEDED),
        "ramp": (_to(10**6), "connections opened a second, a multiple of 100", None),
    },
    "open": {"rate": _RATE, "seconds": _SECONDS},
    "search": {
        "objective": (_is_time, f"seconds p99 may take at most, to {LONGEST}", NEEDED),
        "from": _RATE,
        "to": _RATE,
        "seconds": _SECONDS,
    },
}
