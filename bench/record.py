"""Stores one run: what every load host brought back, put together into one result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.cell import cell_name, read_cell
from bench.errors import BadInput
from bench.merge import merged
from bench.result import build_result
from bench.store import write_result

# What the script `load` leaves on each load host.
STDOUT, LOG, USED = "stdout", "log", "used.json"
GENERATOR = ("host", "cpu_seconds", "run_delay_seconds", "seconds", "busy", "syn_resent")


def record(session: Path, cell_file: Path, parts: list[Path]) -> tuple[Path, str, dict[str, Any]]:
    """Store the run and return its file, its name and the result.

    `parts` are directories, one for each load host, with stdout, log and used.json. Raises BadInput
    where one lacks something, or where what is in them is not the run of the cell.
    """
    cell = read_cell(cell_file)
    used = [_used(part) for part in parts]
    cell["command"] = used[0]["command"]
    cell["generators"] = [{key: part.get(key) for key in GENERATOR} for part in used]
    tried = used[0] if cell.get("kind") == "search" else None
    if tried and tried["best_rate"]:
        cell["rate"] = tried["best_rate"]
        cell["requests"] = cell["concurrency"] = tried["best_rate"] * cell["seconds"]
    elif tried:  # even the lowest rate was too high: its log is what there is
        cell["rate"] = tried["rates"][-1]["rate"]
        cell["requests"] = cell["concurrency"] = cell["rate"] * cell["seconds"]
    texts = [(_read(part / STDOUT).decode(errors="replace"), _read(part / LOG)) for part in parts]
    stdout, lines = merged([(said, rows.decode(errors="replace")) for said, rows in texts])
    # ab writes a log only with its report.
    log = lines if lines or cell["engine"] != "ab" else None
    doc = build_result(cell, stdout, log, _latest([part.get("lag") for part in used]), tried)
    doc["flags"] += [part["ended"] for part in used if part.get("ended")]
    name = cell_name(cell)
    return write_result(session, name, doc, None if log is None else log.encode()), name, doc


def _used(part: Path) -> dict[str, Any]:
    path = part / USED
    try:
        used: dict[str, Any] = json.loads(_read(path))
        if not used.keys() >= {"command", "cpu_seconds", "seconds", "lag", "rates", "best_rate"}:
            raise ValueError("it lacks what the script `load` writes")
    except (ValueError, AttributeError) as why:
        raise BadInput(f"{path}: {why}", "what the script `load` wrote", "--part DIR") from why
    return used


def _latest(lags: list[dict[str, float] | None]) -> dict[str, float] | None:
    """Return the greatest of each: a load is as late as its latest part."""
    known = [lag for lag in lags if lag]
    if len(known) < len(lags) or not known:
        return None
    return {key: max(lag[key] for lag in known) for key in known[0]}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as why:
        raise BadInput(str(why), "what `load` left on a load host", "--part DIR") from why
