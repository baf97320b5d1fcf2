"""The report in Markdown: the verdict and the tables, for a commit, a ticket or a mail."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bench.experiment import Experiment
from bench.report.formats import NONE, fixed, interval, mean_load, multiple, seconds, within
from bench.report.tables import Row, Table
from bench.words import listed

_MARKS = re.compile(r"([\\`*\[\]|<>~])")
_CPU = "CPU, ms an answer"
_HEAD = (
    "",
    "cell",
    "% of the limit",
    "requests/s",
    "within the objective, requests/s",
    "p50, s",
    "p99, s",
    "failed",
    _CPU,
    "memory, MB",
    "threads",
    "database connections",
)


def markdown(experiment: Experiment, told: Mapping[str, Any]) -> str:
    """Return the report; `told` is what `bench.report.context` has gathered."""
    first, *others = told["words"]
    plan = experiment.plan.get("name")
    lines = [f"# {_text(told['title'])}", "", f"**{_text(first)}**", ""]
    lines += [f"- {_text(sentence)}" for sentence in others]
    lines += ["", f"Session {_text(experiment.name)}" + (f", plan {_text(plan)}." if plan else ".")]
    titles = [
        f"{name}, corrected" if name == _CPU and experiment.pace.share else name for name in _HEAD
    ]
    for table in told["tables"]:
        lines += ["", *_table(table, titles)]
    if told["published"]:
        head = ("cell", "load", "published, requests/s", "here, requests/s", "limit, requests/s")
        rows = [
            (
                row.cell.name,
                row.load.name,
                fixed(row.theirs, 2),
                fixed(row.ours, 2),
                fixed(row.limit),
            )
            for row in told["published"]
        ]
        lines += ["", "## Beside published figures", "", *_rows(head, rows)]
    if experiment.damaged:
        lines += ["", "## Files that could not be used", ""]
        lines += [f"- {_text(line)}" for line in experiment.damaged]
    command = (experiment.session or {}).get("command")
    if command:
        lines += ["", "## Do it again", "", f"    {' '.join(command.split())}"]
    return "\n".join(lines) + "\n"


def _table(table: Table, head: list[str]) -> list[str]:
    rows = [_row(row) for row in table.rows]
    known = [
        place for place in range(len(head)) if any(row[place] not in ("", NONE) for row in rows)
    ]
    kept = [[row[place] for place in known] for row in rows]
    lines = [f"## {_text(table.load.name)}: {_text(mean_load(table.load))}", ""]
    names = [head[place].replace("the limit", f"the {table.load.whole}") for place in known]
    lines += _rows(names, kept) if rows else []
    told = [f"- {_text(table.told)}"] if table.told and rows else []
    told += [
        f"- {_text(row.cell.name)}: not ranked, {_text(row.why)}" for row in table.rows if row.why
    ]
    told += [f"- {_text(note)}" for note in table.notes]
    if table.missing:
        told.append(f"- no result: {_text(listed(table.missing))}")
    return lines + (["", *told] if told else [])


def _row(row: Row) -> tuple[str, ...]:
    percentiles = [
        " ".join(filter(None, [seconds(value), multiple(value) and f"({multiple(value)})"]))
        for value in (row.p50, row.p99)
    ]
    if interval(row.p99):
        percentiles[1] += f", {interval(row.p99)}"
    return (
        str(row.rank or ""),
        row.cell.name + (" (again)" if row.cell.duplicate_of else ""),
        fixed(row.percent),
        fixed(row.rate),
        within(row),
        *percentiles,
        f"{fixed(row.failed, 0)} of {fixed(row.asked, 0)}" if row.asked else NONE,
        fixed(row.cpu, 2),
        fixed(row.memory, 0),
        fixed(row.threads, 0),
        fixed(row.connections, 0),
    )


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return [f"| {' | '.join(_text(value) for value in line)} |" for line in lines]


def _text(value: str) -> str:
    """Return the text so that Markdown takes it for text, on one line."""
    return _MARKS.sub(r"\\\1", " ".join(value.split()))
