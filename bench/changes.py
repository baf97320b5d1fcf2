"""What changes that went live cost the clients that asked meanwhile: kept as JSON lines, and told as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.errors import BadInput
from bench.table import aligned

NUMBERS = {"seconds", "sent", "failed", "median", "slowest"}
KEYS = NUMBERS | {"load", "change", "command"}
HEAD = ["load", "change", "times", "seconds", "requests", "failed", "worst added", "in"]
LEGEND = (
    "seconds: from command to end; worst added: the longest a request took beyond the median of its change, "
    "and the last word of that change's command"
)


def keep(path: Path, row: dict[str, Any]) -> None:
    """Append one change to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
            row = json.loads(line)
            if not row.keys() >= KEYS:
                raise ValueError(f"it lacks {', '.join(sorted(KEYS - row.keys()))}")
            if not all(isinstance(row[key], int | float) for key in NUMBERS):
                raise ValueError(f"one of {', '.join(sorted(NUMBERS))} is no number")
            rows.append(row)
        except (ValueError, AttributeError) as why:
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
    took = [row["seconds"] for row in same]
    return [
        same[0]["load"],
        same[0]["change"],
        str(len(same)),
        f"{min(took):.0f} to {max(took):.0f}",
        str(sum(row["sent"] for row in same)),
        str(sum(row["failed"] for row in same)),
        f"{_added(worst):.2f}",
        worst["command"].split()[-1],
    ]


def _added(row: dict[str, Any]) -> float:
    added: float = row["slowest"] - row["median"]
    return added
