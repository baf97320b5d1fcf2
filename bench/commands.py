"""The commands about whole experiments: report and compare, and what `list` says of their plans."""

import argparse
import sys
from pathlib import Path
from typing import Any

from bench.compare import compare
from bench.errors import BadInput
from bench.experiment import Experiment, read_experiment
from bench.words import in_words


def report(args: argparse.Namespace) -> int:
    """Write a session's report; print its verdict and where it is."""
    try:
        from bench.report import write_report
        from bench.report.clean import clean
    except ImportError as why:  # all else needs nothing but Python
        raise BadInput(
            f"the report needs Jinja2: {why}",
            "the Python that Ansible runs under, which has it",
            f".venv/bin/python -m bench report {args.session}",
        ) from why
    experiment = _experiment(args.session)
    try:
        paths = write_report(args.session, experiment, args.out)
    except OSError as why:
        raise BadInput(
            f"cannot write the report: {why}",
            "a directory this user may write to",
            f"python -m bench report {args.session} --out DIR",
        ) from why
    print("\n".join(clean(sentence) for sentence in in_words(experiment)))
    print("\n".join(str(path) for path in paths))
    return tell(experiment.damaged)


def compare_sessions(args: argparse.Namespace) -> int:
    """Print the cells that two sessions have in common, the second's figures by the first's."""
    first, second = (_experiment(session, raw=False) for session in (args.first, args.second))
    print(compare(first, second))
    return tell([*first.damaged, *second.damaged])


def directory(path: Path) -> Path:
    """Return the path; raise BadInput if it is no directory."""
    if not path.is_dir():
        raise BadInput(f"{path} is no directory", "a directory", "python -m bench list results/")
    return path


def tell(damaged: list[str]) -> int:
    """Name the damaged files on standard error; return the exit code that says so."""
    for line in damaged:
        print(f"damaged: {line}", file=sys.stderr)
    return 1 if damaged else 0


def add_commands(commands: Any) -> None:
    """Add them to argparse's subcommands."""
    one = commands.add_parser("report", help="write a session's report, HTML and Markdown")
    one.add_argument("session", type=Path)
    one.add_argument("--out", type=Path, help="where to; the session's directory without it")
    one.set_defaults(run=report)
    one = commands.add_parser("compare", help="compare two sessions, the second by the first")
    one.add_argument("first", type=Path)
    one.add_argument("second", type=Path)
    one.set_defaults(run=compare_sessions)


def _experiment(session: Path, raw: bool = True) -> Experiment:
    experiment = read_experiment(directory(session), raw)
    if not (experiment.runs or experiment.refused or experiment.damaged):
        raise BadInput(
            f"no results in {session}",
            "a session's directory, as record makes it",
            f"python -m bench list {session}",
        )
    return experiment
