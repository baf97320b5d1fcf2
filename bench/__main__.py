"""The command line: `python -m bench --help` names the commands.

Exit code 0: done; 1: damaged files were found, the rest is shown, or requests or the command failed;
2: bad input, nothing done.
"""

import argparse
import re
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import changes, steps
from bench import record as recording
from bench.clients import Clients
from bench.commands import add_commands, directory, tell
from bench.errors import BadInput
from bench.experiment import plan_name
from bench.store import read_session
from bench.summary import summary_table
from bench.table import aligned, session_table


def record(args: argparse.Namespace) -> int:
    """Store one run; print the file's path and, below it, the run's line of the table."""
    path, name, doc = recording.record(args.session, args.cell, args.part)
    print(path)
    print(session_table([(name, doc)]))
    return 0


def show(args: argparse.Namespace) -> int:
    """Print the table of one session."""
    return _session(args, session_table)


def summary(args: argparse.Namespace) -> int:
    """Print one session's table of cells, each summed up over its rounds."""
    return _session(args, lambda results: summary_table(results, args.against))


def _session(
    args: argparse.Namespace, table: Callable[[list[tuple[str, dict[str, Any]]]], str]
) -> int:
    results, damaged = read_session(directory(args.session))
    if not results and not damaged:
        raise BadInput(
            f"no results in {args.session}",
            "a session's directory, as record makes it",
            f"python -m bench list {args.session}",
        )
    if results:
        print(table(results))
    return tell(damaged)


def list_sessions(args: argparse.Namespace) -> int:
    """Print a line for each session in a directory of sessions, in order of name."""
    rows, damaged = [], []
    # What begins with a dot has not been recorded yet.
    for session in sorted(path for path in directory(args.results).glob("[!.]*") if path.is_dir()):
        results, bad = read_session(session)
        plan = plan_name(session)
        damaged += bad
        servers = sorted({doc["cell"]["server"] for _, doc in results})
        if results or bad or plan:
            row = [session.name, str(len(results)), str(len(bad)), plan or "-", ", ".join(servers)]
            rows.append(row)
    if not rows:
        raise BadInput(
            f"no sessions in {args.results}",
            "a directory holding sessions (for one session: python -m bench show)",
            "python -m bench list results/",
        )
    rows.insert(0, ["session", "results", "damaged", "plan", "servers"])
    if all(row[3] == "-" for row in rows[1:]):
        rows = [row[:3] + row[4:] for row in rows]
    print("\n".join(aligned(rows, left=len(rows[0]))))
    return tell(damaged)


def during(args: argparse.Namespace) -> int:
    """Run a command while clients ask a site; print what they felt, and what the command said if it failed."""
    site = _site(args.url)
    if site is None or not args.command:
        raise BadInput(
            f"{args.url} with the command {args.command} is nothing to do",
            "http://ADDRESS[:PORT]/PATH, percent-encoded, and a command",
            "python -m bench during http://ADDRESS/ -- .venv/bin/ansible-playbook site.yml",
        )
    if args.keep:
        changes.make_room(args.keep)
    with Clients(*site, args.rate, keep=not args.new) as clients:
        ran = changes.run(args.command, args.live)
    command = " ".join(args.command)
    live = "" if ran.live is None else f", live after {ran.live:.1f} s"
    print(
        f"{command}: {ran.seconds:.1f} s{live}; of {clients.sent} requests {len(clients.failures)} failed, half took "
        f"{clients.median:.2f} s, the slowest {clients.slowest:.2f} s"
    )
    print("".join(f"  {failure}\n" for failure in clients.failures[:10]), end="")
    if ran.code != 0:
        print(ran.said)
    if args.keep:
        changes.keep(
            args.keep,
            {
                "load": args.load,
                "change": args.change,
                "command": command,
                "seconds": ran.seconds,
                "live": ran.live,
                "sent": clients.sent,
                "failed": len(clients.failures),
                "median": clients.median,
                "slowest": clients.slowest,
            },
        )
    return int(ran.code != 0 or bool(clients.failures))


def show_changes(args: argparse.Namespace) -> int:
    """Print what changes cost, from the files `during` kept them in."""
    rows, damaged = [], []
    for path in args.files:
        found, bad = changes.read(path)
        rows += found
        damaged += bad
    if rows:
        print(changes.changes_table(rows))
    return tell(damaged)


def _site(text: str) -> tuple[str, str] | None:
    """Return the address and the path of a URL; None where it is none that clients can ask."""
    try:
        url = urllib.parse.urlsplit(text)
        known = url.scheme == "http" and url.hostname and url.port != 0
    except ValueError:  # brackets without an end, a port that is no number
        return None
    path = f"{url.path or '/'}?{url.query}"
    return (url.netloc, path) if known and re.fullmatch(r"[!-~]*", url.netloc + path) else None


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate <= 2000:
        raise argparse.ArgumentTypeError(
            f"{text} requests a second: it has to be more than 0, and 2000 at most"
        )
    return rate


def parser() -> argparse.ArgumentParser:
    """Return the parser; each command sets `run`, the function above that does it."""
    top = argparse.ArgumentParser(prog="python -m bench", description="Load-test results.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    steps.add_commands(commands)
    one = commands.add_parser("record", help="store one run of a load engine")
    one.add_argument("--session", type=Path, required=True, help="results/<UTC time stamp>")
    one.add_argument("--cell", type=Path, required=True, help="the run's description, JSON")
    one.add_argument(
        "--part",
        type=Path,
        required=True,
        action="append",
        help="what `load` left on a load host, once for each",
    )
    one.set_defaults(run=record)
    one = commands.add_parser("show", help="print a session as a table")
    one.add_argument("session", type=Path)
    one.set_defaults(run=show)
    one = commands.add_parser("summary", help="print a session's rounds summed up")
    one.add_argument("session", type=Path)
    one.add_argument("--against", metavar="VARIANT", help="compare the CPU with this variant's")
    one.set_defaults(run=summary)
    one = commands.add_parser("list", help="list the sessions")
    one.add_argument("results", type=Path)
    one.set_defaults(run=list_sessions)
    add_commands(commands)
    one = commands.add_parser("during", help="run a command while clients ask a site")
    one.add_argument("url", help="what they ask for, http://ADDRESS[:PORT]/PATH")
    one.add_argument("--rate", type=_rate, default=40, help="how many come a second; 40 without it")
    one.add_argument(
        "--new", action="store_true", help="each over a new connection; else every second one"
    )
    one.add_argument("--keep", type=Path, help="file of JSON lines the result is appended to")
    one.add_argument("--load", default="", help="what the load is called there")
    one.add_argument("--change", default="", help="what kind of change it is called there")
    one.add_argument(
        "--live", metavar="TEXT", help="what the command prints once its change is live"
    )
    one.add_argument("command", nargs="*", help="after --")
    one.set_defaults(run=during)
    one = commands.add_parser("changes", help="print what changes cost, as a table")
    one.add_argument("files", type=Path, nargs="+", help="what during --keep wrote")
    one.set_defaults(run=show_changes)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words, command = list(sys.argv[1:] if argv is None else argv), []
    if words[:1] == ["during"] and "--" in words:
        # argparse takes what comes behind the URL for the command, options too.
        place = words.index("--")
        words, command = words[:place], words[place + 1 :]
    args = parser().parse_args(words)
    if command:
        args.command = command
    try:
        code: int = args.run(args)
    except BadInput as why:
        print(why, file=sys.stderr)
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
