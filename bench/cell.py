"""A cell: the description, written by the caller, of one run of one load engine.

Required keys: engine, workload, server, command, url, requests, concurrency, delay (seconds).
Optional keys: slots (requests the server can hold at once), round, limit (seconds after which the
run is ended), variant (a switch), name (of a plan's cell), kind (closed, open or search), rate
(requests a second of an open load) and seconds (how long it lasts), objective (seconds p99 may take
in a search), app (what each of the application's hosts used), generators (what each load host used),
database_connections (the most there were), served (answers the server itself counted, by status),
control (requests a second the same generator reached against a static answer), facts (an object,
stored as it is: release, settings).
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import BadInput

# What an application's host used during a run: seconds of CPU, bytes of memory.
USE = ("cpu_seconds", "memory_before", "memory_peak")

# Names become file names, joined by dots, so neither a dot nor a slash may be in them.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


def is_name(value: Any) -> bool:
    """Return whether the value can be part of a file's name: letters, digits, _ and -, at most 60."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def is_text(value: Any) -> bool:
    """Return whether the value is a text with something in it."""
    return isinstance(value, str) and value.strip() != ""


def is_count(value: Any) -> bool:
    """Return whether the value is a whole number from 1."""
    return type(value) is int and value >= 1  # True is an int too, hence type()


def is_seconds(value: Any) -> bool:
    """Return whether the value is a number from 0, and finite."""
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _is_use(value: Any) -> bool:
    return isinstance(value, dict) and all(is_seconds(value.get(key)) for key in USE)


def _is_generator(value: Any) -> bool:
    keys = ("cpu_seconds", "seconds")
    return isinstance(value, dict) and all(is_seconds(value.get(key)) for key in keys)


KINDS = ("closed", "open", "search")
_NAMES = "a name of letters, digits, _ and -, at most 60"
_COUNTS = "a whole number from 1, without quotes"
_REQUIRED: dict[str, tuple[Callable[[Any], bool], str, str]] = {
    "engine": (lambda value: value in ("h2load", "ab"), 'one of "h2load", "ab"', '"h2load"'),
    "workload": (is_name, _NAMES, '"closed_c200"'),
    "server": (is_name, _NAMES, '"gunicorn_gevent"'),
    "command": (is_text, "the engine's command line as one string", '"ab -r -n 20 -c 5 URL"'),
    "url": (is_text, "the URL under load", '"http://10.0.0.2/?delay=1"'),
    "requests": (is_count, _COUNTS, "2000"),
    "concurrency": (is_count, _COUNTS, "200"),
    "delay": (is_seconds, "seconds from 0, a number without quotes", "1.0"),
}
_OPTIONAL: dict[str, tuple[Callable[[Any], bool], str, str]] = {
    "slots": (is_count, _COUNTS + ", or null if not known", "400"),
    "round": (is_count, _COUNTS, "1"),
    "limit": (is_count, _COUNTS, "600"),
    "variant": (is_name, _NAMES, '"tutorial"'),
    "name": (is_name, _NAMES, '"uwsgi_gevent"'),
    "kind": (lambda value: value in KINDS, "one of " + ", ".join(KINDS), '"closed"'),
    "rate": (is_count, _COUNTS, "100"),
    "seconds": (is_count, _COUNTS, "20"),
    "objective": (is_seconds, "seconds, a number without quotes", "1.5"),
    "generators": (
        lambda value: isinstance(value, list) and all(map(_is_generator, value)),
        "a list of objects with the numbers cpu_seconds and seconds",
        '[{"host": "load1", "cpu_seconds": 0.4, "seconds": 10.4}]',
    ),
    "database_connections": (lambda value: type(value) is int, "a whole number", "12"),
    "served": (lambda value: isinstance(value, dict), "an object", '{"200": 2000}'),
    "control": (is_seconds, "requests a second", "21000.0"),
    "app": (
        lambda value: isinstance(value, list) and all(map(_is_use, value)),
        f"a list of objects with the numbers {', '.join(USE)}",
        '[{"cpu_seconds": 1.5, "memory_before": 50000000, "memory_peak": 80000000}]',
    ),
    "facts": (lambda value: isinstance(value, dict), "an object", '{"cores": 2}'),
}


def read_cell(path: Path) -> dict[str, Any]:
    """Return the cell in the JSON file `path`; raise BadInput naming the key at fault."""
    try:
        cell: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as why:
        raise BadInput(
            f"cannot read the cell {path}: {why}",
            "a JSON object with the keys " + ", ".join(_REQUIRED),
            f"python -m json.tool {path}",
        ) from why
    check_cell(cell, str(path))
    return cell


def check_cell(cell: Any, where: str) -> None:
    """Raise BadInput when `cell`, found in `where`, lacks a key or holds a bad value."""
    known = _REQUIRED | _OPTIONAL
    # An unknown key is refused: a misspelt "slots" would silently change the ceiling.
    if not isinstance(cell, dict) or set(cell) - set(known):
        extra = ", ".join(sorted(set(cell) - set(known))) if isinstance(cell, dict) else "no object"
        raise BadInput(
            f"{where}: not part of a cell: {extra}",
            "the keys " + ", ".join(known),
            'whatever else is worth keeping under "facts": {...}',
        )
    for key, (good, valid, example) in known.items():
        if key in _OPTIONAL and cell.get(key) is None:
            continue
        if not good(cell.get(key)):
            found = f"is {json.dumps(cell[key])[:80]}" if key in cell else "is missing"
            raise BadInput(f'{where}: "{key}" {found}', valid, f'"{key}": {example}')
    if cell["concurrency"] > cell["requests"]:
        raise BadInput(
            f"{where}: concurrency {cell['concurrency']} is above requests {cell['requests']}",
            "requests >= concurrency (both engines refuse to start otherwise)",
            f'"requests": {cell["concurrency"]}',
        )


def cell_name(cell: dict[str, Any]) -> str:
    """Return the name a result is stored under, e.g. `01.uwsgi_gevent.closed_c200.h2load`."""
    number, load = f"{cell.get('round') or 1:02d}", [cell["workload"], cell["engine"]]
    if cell.get("name"):  # of a plan, which says what it is
        return ".".join([number, cell["name"], *load])
    return ".".join([number, cell["server"], *load, *filter(None, [cell.get("variant")])])
