"""An experiment's steps: begun once, then one after the other, whatever was interrupted in between.

What is done is what is stored: a step whose results are all there is over. So there is nothing else to
keep in step, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from bench.cell import cell_name
from bench.errors import BadInput
from bench.experiment import Doc, read_experiment, releases
from bench.hosts import MOST, fingerprint, moved
from bench.shape import check_planned, read_json
from bench.store import ABOUT, LOG, PUT_BACK, REFUSED, publish
from bench.verdict import fruitless, tight_enough
from bench.words import why_enough

SCHEMA = 3
# Characters of why a cell could not be deployed that are shown: what comes after them lists hosts.
SHOWN = 1500


def begin(session: Path, plan: dict[str, Any], about: dict[str, Any]) -> bool:
    """Write down what is going to be measured; return False where this session has begun already.

    `about` has command, before and fingerprint. Raises BadInput where it has begun with another plan, other
    options, or on hosts that are not the same any more, or where it would put back a release that something
    else has replaced. What an interrupted recording has left there is removed: it will be measured again.
    """
    path = session / ABOUT
    if path.exists():
        told = read_about(session)
        begun = told["plan"]
        differing = [key for key in plan if key != "cells" and begun.get(key) != plan[key]]
        if differing or _without_lines(begun) != _without_lines(plan):
            raise BadInput(
                f"{session} was begun with another plan ({', '.join(differing) or 'other cells'} differ)",
                "the plan it was begun with, to go on with it, or a new session",
                f"-e bench_plan={begun.get('file') or 'FILE'}, or leave bench_session out",
            )
        if told["command"] != about["command"]:
            raise BadInput(
                f"{session} was begun with other options: {told['command']}",
                "the same, to go on with it, or a new session",
                f"{told['command']} -e bench_session={session.name}",
            )
        others = moved(*(fingerprint(one, "hosts") for one in (told, about)))
        if others:
            raise BadInput(
                f"{session} was begun on hosts that were otherwise: {'; '.join(others[:MOST])}",
                "a new session, for rounds of the two would not be comparable",
                f"the same without bench_session; what is there: python -m bench report {session}",
            )
        _go_on_from(session, told, about["before"])
        for left in [*session.glob(".*.tmp"), *session.glob(f"*{LOG}")]:
            if not Path(f"{str(left).removesuffix(LOG)}.json").exists():
                left.unlink()
        return False
    begun = {"schema": SCHEMA, "started": _now(), **about, "plan": plan}
    try:
        session.mkdir(parents=True, exist_ok=True)
        publish(path, (json.dumps(begun, indent=1) + "\n").encode())
    except OSError as why:
        raise BadInput(
            f"cannot begin {session}: {why}",
            "a directory this user may make, with space left",
            f"ls -ld {session.parent}; df {session.parent}",
        ) from why
    return True


def read_about(session: Path) -> dict[str, Any]:
    """Return what is in session.json; raise BadInput where there is none to be read."""
    try:
        return check_planned(read_json((session / ABOUT).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, BadInput) as why:
        said = why.wrong if isinstance(why, BadInput) else why
        raise BadInput(
            f"{session / ABOUT}: {said}", "a session that was begun with a plan", "ls results/"
        ) from why


def put_back(session: Path) -> None:
    """Write down that what was deployed before is deployed again: who goes on finds what is to be put back."""
    (session / PUT_BACK).touch()


def _go_on_from(session: Path, told: Doc, live: Doc) -> None:
    """Keep what is to be put back at the end, or take what is live for it where that has been put back.

    Raises BadInput where neither this session nor what it found has made live what is.
    """
    found, now = (before.get("release") for before in (told["before"], live))
    if (session / PUT_BACK).exists():
        about = read_json((session / ABOUT).read_text(encoding="utf-8")) | {"before": live}
        publish(session / ABOUT, (json.dumps(about, indent=1) + "\n").encode(), anew=True)
        (session / PUT_BACK).unlink()
    elif found and now and now not in {found, *releases(read_experiment(session, raw=False))}:
        back = f"playbooks/rollback.yml -e release={found} -e server={told['before']['server']}"
        command = told["command"].replace("playbooks/benchmark.yml", back)
        raise BadInput(
            f"release {now} is live, and {session} has not measured it: at its end it would put back {found}, "
            "which it found when it was begun",
            f"a new session, or {found} live again",
            f"the same without bench_session; or first: {command.rpartition(' -e bench_plan=')[0]}",
        )


def refuse(session: Path, cell: str, number: int, why: str) -> Path:
    """Write down that a cell could not be deployed; it is not tried again before that is removed.

    Raises BadInput where it was deployed before, as it is or as its duplicate: then it is not the cell that is
    to blame.
    """
    if cell in _deployed(session, read_about(session)["plan"]):
        raise BadInput(
            f"{cell} could be deployed before, and not now: {why[:SHOWN]}",
            "a stack that is well",
            f"the cause's cure, then the same command again with -e bench_session={session.name}",
        )
    return _leave_out(session, cell, number, why, deployed=False)


def failed(session: Path, cell: str, number: int, why: str) -> Path:
    """Write down that a cell was deployed and could not be measured, the second time in a round.

    Raises BadInput the first time: then it may be the hosts that are to blame, and it is tried once more.
    """
    before = session / f"{cell}.{number:02d}.failed"
    if not before.exists():
        before.write_text(why, encoding="utf-8")
        raise BadInput(
            f"{cell} was deployed, and could not be measured: {why[:SHOWN]}",
            "a stack that is well; where it fails once more, the cell is left out, and the others go on",
            f"the same command again with -e bench_session={session.name}",
        )
    path = _leave_out(session, cell, number, why, deployed=True)
    before.unlink()
    return path


def _leave_out(session: Path, cell: str, number: int, why: str, deployed: bool) -> Path:
    path = session / f"{cell}{REFUSED}"
    doc = {"schema": SCHEMA, "cell": cell, "round": number, "why": why, "deployed": deployed}
    publish(path, (json.dumps(doc, indent=1) + "\n").encode())
    return path


def order(plan: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Return the plan's cells as they come in a round: shuffled, the same each time it is asked."""
    cells = list(plan["cells"])
    random.Random(f"{plan['seed']}.{number}").shuffle(cells)  # noqa: S311 - an order, no secret
    return cells


def upcoming(session: Path) -> dict[str, Any]:
    """Return the next step: {round, cell, server, switches, loads, label}, or {why} when all is done."""
    plan = read_about(session)["plan"]
    steps = [
        (number, cell) for number in range(1, plan["rounds"] + 1) for cell in order(plan, number)
    ]
    refused = _refused(session, plan)
    left = [
        (number, cell, loads)
        for number, cell in steps
        if cell["name"] not in refused and (loads := _missing(session, plan, number, cell))
    ]
    if not left:
        return {"why": f"all {plan['rounds']} rounds are measured"}
    number, cell, loads = left[0]
    whole = number - 1
    begins = next(one for one in order(plan, number) if one["name"] not in refused)
    experiment = read_experiment(session, raw=False)
    if why := fruitless(experiment):
        return {"why": why}
    fresh = len(loads) == len(cell["loads"]) and begins is cell
    if fresh and whole >= plan["least_rounds"] and tight_enough(experiment):
        return {"why": f"after {whole} rounds {why_enough(experiment)}"}
    label = f"{cell['name']}, round {number} of {plan['rounds']}, {len(steps) - len(left) + 1} of {len(steps)}"
    return {
        "round": number,
        "cell": cell["name"],
        "server": cell["server"],
        "switches": cell["switches"],
        "loads": [_workload(load) for load in loads],
        "label": label + _time_left(session, len(left)),
    }


def _deployed(session: Path, plan: Doc) -> set[str]:
    """Return the cells that have been deployed: those with a result, and what is the same as one of them."""
    like = {cell["name"]: cell.get("duplicate_of") or cell["name"] for cell in plan["cells"]}
    deployed = {like.get(path.name.split(".")[1]) for path in session.glob("*.*.*.json")}
    return {cell for cell, original in like.items() if original in deployed}


def _refused(session: Path, plan: Doc) -> set[str]:
    """Return the cells that are left out; the note of one whose duplicate could be deployed after all is removed."""
    notes = {path.name.removesuffix(REFUSED): path for path in session.glob(f"*{REFUSED}")}
    unmeasured = read_experiment(session, raw=False).unmeasured if notes else set()
    for cell in notes.keys() & _deployed(session, plan) - unmeasured:
        notes.pop(cell).unlink()
    return {*notes}


def _missing(session: Path, plan: Doc, number: int, cell: Doc) -> list[Doc]:
    loads = [load for load in plan["loads"] if load["name"] in cell["loads"]]
    named = {"round": number, "name": cell["name"]}
    return [
        load for load in loads if not (session / f"{cell_name(named | _named(load))}.json").exists()
    ]


def _named(load: dict[str, Any]) -> dict[str, Any]:
    return {"workload": load["name"], "engine": load["engine"]}


def _workload(load: dict[str, Any]) -> dict[str, Any]:
    """Return the load as role benchmark takes it."""
    filled = {key: value for key, value in load.items() if value is not None}
    if load["kind"] == "open":
        requests = load["rate"] * load["seconds"]
        filled |= {"requests": requests, "concurrency": requests}
    if load["kind"] == "search":  # what came out says how many it were
        filled |= {"requests": 1, "concurrency": 1}
    return filled


def _time_left(session: Path, steps: int) -> str:
    """Return how long the steps will take, as those before did; nothing before there are two."""
    ended: dict[tuple[str, ...], float] = {}  # a step ends with its last result
    for path in session.glob("*.json"):
        if path.name != ABOUT and not path.name.endswith(REFUSED):
            step = tuple(path.name.split(".")[:2])
            ended[step] = max(ended.get(step, 0), path.stat().st_mtime)
    times = sorted(ended.values())
    took = [after - before for before, after in pairwise(times)]
    if not took:
        return ""
    # The median leaves out the time in which a session was interrupted.
    return f"; about {max(1, round(median(took) * steps / 60))} min left"


def _without_lines(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in cell.items() if key != "line"} for cell in plan["cells"]]


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
