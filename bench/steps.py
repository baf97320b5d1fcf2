"""The commands an experiment's playbook is made of: plan, begin, next, refuse, failed and put-back."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from bench import schedule
from bench.errors import BadInput
from bench.plan import plan_path, read_plan
from bench.shape import read_json


def show_plan(args: argparse.Namespace) -> int:
    """Print the plan with everything it leaves to defaults, as JSON."""
    print(json.dumps(_plan(args), indent=1))
    return 0


def begin(args: argparse.Namespace) -> int:
    """Begin a session, or go on with it; print its session.json, and whether it is resumed.

    What it is about comes from standard input.
    """
    begun = schedule.begin(args.session, _plan(args), _about(sys.stdin.read()))
    print(json.dumps(schedule.read_about(args.session) | {"resumed": not begun}))
    return 0


def following(args: argparse.Namespace) -> int:
    """Print the next step as JSON, or why there is none."""
    print(json.dumps(schedule.upcoming(args.session)))
    return 0


def refuse(args: argparse.Namespace) -> int:
    """Write down that a cell could not be deployed, or measured; print why, and how to have it tried again.

    What was said of it comes from standard input.
    """
    why = sys.stdin.read()
    path = args.noted(args.session, args.cell, args.round, why)
    print(
        f"{args.cell} could not be {args.what}, and is left out: {why[: schedule.SHOWN].rstrip()}"
    )
    print(
        f"To have it tried again, type: rm {shlex.quote(str(path))}\n"
        f"and then the same command with -e bench_session={args.session.name}"
    )
    return 0


def put_back(args: argparse.Namespace) -> int:
    """Write down that what was deployed before is deployed again."""
    schedule.put_back(args.session)
    return 0


def _about(text: str) -> dict[str, Any]:
    """Return what a session is about; raise BadInput for what is no such thing."""
    try:
        about = read_json(text)
        told = {key: about.get(key) for key in ("command", "before", "fingerprint")}
        if [type(value) for value in told.values()] != [str, dict, dict]:
            raise ValueError("command is no text, or before or fingerprint no object")
    except (ValueError, AttributeError, RecursionError) as why:
        raise BadInput(
            f"standard input does not say what the session is about: {why}",
            '{"command": "...", "before": {...}, "fingerprint": {...}}',
            ".venv/bin/ansible-playbook playbooks/benchmark.yml, which says it",
        ) from why
    return told


def _plan(args: argparse.Namespace) -> dict[str, Any]:
    modes = args.modes.split(",") if args.modes else ()
    return read_plan(plan_path(args.plan), modes, max(1, args.load_hosts), args.limit)


def _limit(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return seconds


def add_commands(commands: Any) -> None:
    """Add them to argparse's subcommands."""
    one = commands.add_parser("plan", help="check a plan, and print it whole")
    one.set_defaults(run=show_plan)
    two = commands.add_parser("begin", help="begin an experiment, or go on with one")
    two.add_argument("session", type=Path)
    two.set_defaults(run=begin)
    for command in (one, two):
        command.add_argument("plan", help="one of ours by its name, or a file")
        command.add_argument("--modes", default="", help="the server modes there are, by commas")
        command.add_argument("--load-hosts", type=int, default=1, help="how many share a load")
        command.add_argument(
            "--limit", type=_limit, default=math.inf, help="seconds a load may take"
        )
    one = commands.add_parser("next", help="print an experiment's next step")
    one.add_argument("session", type=Path)
    one.set_defaults(run=following)
    one = commands.add_parser("put-back", help="write down that what was deployed before is again")
    one.add_argument("session", type=Path)
    one.set_defaults(run=put_back)
    for name, what, noted in (
        ("refuse", "deployed", schedule.refuse),
        ("failed", "measured", schedule.failed),
    ):
        one = commands.add_parser(name, help=f"write down that a cell could not be {what}")
        one.add_argument("session", type=Path)
        one.add_argument("cell")
        one.add_argument("--round", type=int, required=True)
        one.set_defaults(run=refuse, what=what, noted=noted)
