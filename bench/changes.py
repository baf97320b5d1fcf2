"""What changes that went live cost the clients that asked meanwhile: kept as JSON lines, and told as a table."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BadInput
from bench.shape import read_json
from bench.table import aligned

NUMBERS = {"seconds", "sent", "failed", "median", "slowest"}
KEYS = NUMBERS | {"load", "change", "command"}
HEAD = ["load", "change", "times", "to live", "to end", "requests", "failed", "worst added", "in"]
LEGEND = (
    "to live, to end: seconds from the command on; worst added: the longest a request took beyond the median of its "
    "change, and the last word of that change's command"
)


@dataclass(frozen=True)
class Ran:
    """A command that was run: its exit code, what it printed, seconds until its end, and until it said it is live."""

    code: int
    said: str
    seconds: float
    live: float | None


def run(command: list[str], live: str | None) -> Ran:
    """Run a command; `live` is what a line of its has in it once its change is live."""
    began, said, seen = time.monotonic(), [], None
    try:
        begun = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except (OSError, ValueError) as why:
        raise BadInput(
            f"cannot run {command[0]}: {why}", "a program", f"which {command[0]}"
        ) from why
    with begun as child:
        for line in child.stdout or ():
            said.append(line)
            if live and live in line and seen is None:
                seen = time.monotonic() - began
    return Ran(child.returncode, "".join(said), time.monotonic() - began, seen)


def make_room(path: Path) -> None:
    """Make sure that a change can be appended to the file; raise BadInput where not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a", encoding="utf-8").close()
    except OSError as why:
        raise BadInput(
            f"cannot write {path}: {why}",
            "a file this user may write to",
            "--keep results/changes.jsonl",
        ) from why


def keep(path: Path, row: dict[str, Any]) -> None:
    """Append one change to the file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the changes in the file, and what is wrong with each line that is none."""
    rows, damaged = [], []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as why:
        raise BadInput(str(why), "a file as bench-changes writes it", "ls results/") from why
    for number, line in enumerate(lines, 1):
        try:
            row = read_json(line)
            if not row.keys() >= KEYS:
                raise ValueError(f"it lacks {', '.join(sorted(KEYS - row.keys()))}")
            if not all(isinstance(row[key], int | float) for key in NUMBERS):
                raise ValueError(f"one of {', '.join(sorted(NUMBERS))} is no number")
            if not isinstance(row.get("live"), int | float | None):
                raise ValueError("live is no number")
            if not all(isinstance(row[key], str) for key in KEYS - NUMBERS):
                raise ValueError("one of load, change, command is no text")
            rows.append(row)
        except (ValueError, AttributeError, RecursionError) as why:
            damaged.append(f"{path}, line {number}: {why}")
    return rows, damaged


def changes_table(rows: list[dict[str, Any]]) -> str:
    """Return the table, a row for each load and kind of change."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["load"], row["change"]), []).append(row)
    return "\n".join([*aligned([HEAD, *map(_line, groups.values())], left=2), LEGEND])


def _line(same: list[dict[str, Any]]) -> list[str]:
    worst = max(same, key=_added)
    live = [row["live"] for row in same if row.get("live") is not None]
    return [
        same[0]["load"],
        same[0]["change"],
        str(len(same)),
        _span(live),
        _span([row["seconds"] for row in same]),
        str(sum(row["sent"] for row in same)),
        str(sum(row["failed"] for row in same)),
        f"{_added(worst):.2f}",
        (worst["command"].split() or ["-"])[-1],
    ]


def _span(seconds: list[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f}" if seconds else "-"


def _added(row: dict[str, Any]) -> float:
    added: float = row["slowest"] - row["median"]
    return added
