"""Synthetic sessions: what load engines would have said, put together and stored as the real thing is.

A mode has a speed (share of a load's limit it reaches) and a cost (CPU ms an answer). Every round drifts
by up to 20 % for all of them, and each run has noise of its own, as on real machines. All of it seeded.
"""

import json
import math
import random
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from bench.cell import cell_name
from bench.experiment import Run, arrange
from bench.result import build_result, check_result
from bench.store import write_result

START = 1_795_414_660_000_000  # us since the epoch
CLOSED = {"name": "c200", "kind": "closed", "engine": "h2load", "requests": 2000}
CLOSED |= {"concurrency": 200, "delay": 1.0, "path": "/?delay=1"}
OPEN = {"name": "r100", "kind": "open", "engine": "h2load", "rate": 100, "seconds": 20}
OPEN |= {"delay": 1.0, "path": "/?delay=1"}
SEARCH = {"name": "most", "kind": "search", "engine": "h2load", "objective": 1.5, "from": 50}
SEARCH |= {"to": 400, "seconds": 10, "delay": 1.0, "path": "/?delay=1"}
SMALL = CLOSED | {"requests": 20, "concurrency": 5, "delay": 0.1}


@dataclass
class Mode:
    """A cell and how it does. `second` is the share of requests that wait for another round."""

    name: str
    speed: float = 0.97
    cost: float = 1.0
    second: float = 0.0
    failed: int = 0
    more: dict = field(default_factory=dict)  # further keys of the plan's cell


def seeded(seed) -> random.Random:
    return random.Random(seed)  # noqa: S311 - no secret


def about(modes, loads=(CLOSED,), rounds=10, twin=True, **plan):
    """Return a session.json; with `twin`, the first mode comes with its duplicate."""
    cells = [
        {"name": mode.name, "server": mode.name, "switches": {}, "published": None}
        | {"duplicate_of": None}
        | mode.more
        for mode in modes
    ]
    if twin:
        cells.append(cells[0] | {"name": f"{modes[0].name}-again", "duplicate_of": modes[0].name})
    return {
        "schema": 3,
        "started": "2026-11-26T04:10:00Z",
        "command": "ansible-playbook playbooks/benchmark.yml -e bench_plan=quick",
        "plan": {
            **{"name": "quick", "title": "Which of these modes?", "seed": 7, "rounds": rounds},
            **{"least_rounds": 6, "tight": 0.03, "decides": loads[0]["name"]},
            **{"cells": cells, "loads": list(loads), **plan},
        },
        "before": {"server": modes[0].name, "variant": "", "release": "1a2b"},
        "fingerprint": {
            "controller": {"revision": "ab2dd3c", "changed": False, "ansible": "2.19.14"},
            "hosts": {
                host: {
                    **{"groups": [group], "cpu": "AMD EPYC", "cores": 2, "memory": 25_000_000_000},
                    **{"kernel": "6.1.0-27-amd64", "governor": None, "distribution": "debian 12"},
                    **{"virtualization": "systemd-nspawn"},
                    "sysctls": {"net.core.somaxconn": "4096"},
                    "packages": {"nginx": "1.22.1-9", "python3": "3.11.2-1"},
                }
                for host, group in (("app1", "app"), ("load1", "load"))
            },
        },
    }


def members(session):
    """Yield (cell's name, name of the mode it is) of a session.json."""
    for cell in session["plan"]["cells"]:
        yield cell["name"], cell["duplicate_of"] or cell["name"]


def measured(session, modes, noise=0.04, drift=0.2, rounds=None, seed=0):
    """Yield (cell, load, round, speed, cost) of each run, noise (a standard deviation) and all."""
    rng, by_name = seeded(f"{seed}"), {mode.name: mode for mode in modes}
    for number in range(1, (rounds or session["plan"]["rounds"]) + 1):
        slow = rng.uniform(1 - drift, 1)
        for cell, name in members(session):
            for load in session["plan"]["loads"]:
                mode = by_name[name]
                speed, cost = (math.exp(rng.gauss(0, noise)) for _ in range(2))
                yield cell, load, number, mode, slow * speed * mode.speed, cost * mode.cost / slow


def described(cell, load, number, mode, cost):
    """Return the cell of a result, as the role writes it."""
    requests = load.get("requests") or load["rate"] * load["seconds"]
    return {
        **{"engine": load["engine"], "workload": load["name"], "server": mode.name, "name": cell},
        **{"command": f"{load['engine']} URL", "url": f"http://10.0.0.2{load['path']}"},
        **{"requests": requests, "concurrency": load.get("concurrency") or requests},
        **{"delay": load["delay"], "slots": None, "variant": None, "round": number, "limit": 600},
        **{"kind": load["kind"], "rate": load.get("rate"), "seconds": load.get("seconds")},
        "app": [
            {"host": "app1", "cpu_seconds": cost * requests / 1000}
            | {
                "memory_before": 90_000_000,
                "memory_peak": 150_000_000,
                "threads_peak": 12,
                "versions": {"gevent": "25.9.1", "flask": "3.1.2"},
            }
        ],
        "generators": [{"host": "load1", "cpu_seconds": 0.4, "seconds": 10.4, "busy": 0.4}],
        **{"database_connections": 12, "served": None, "control": 21_000.0, "facts": {}},
    }


def ran(cell, load, speed, mode, seed):
    """Return (stdout, log) of h2load for a run in which each client asks again when it is answered."""
    rng, rows = seeded(seed), []
    took = max(load["delay"], 0.001) / speed
    requests, clients = cell["requests"], cell["concurrency"]
    free = [i * load["delay"] / clients / 9 for i in range(clients)]
    if load["kind"] != "closed":
        free = [i / cell["rate"] for i in range(clients)]
    for n in range(requests):
        at = free[n % clients]
        latency = took * (2 if rng.random() < mode.second else 1) + rng.expovariate(50 / took)
        latency += took * (rng.random() < 0.01) * rng.random()
        free[n % clients] = at + latency
        status = 503 if n < mode.failed else 200
        late = "\tlate=400" if load["kind"] != "closed" else ""
        rows.append(f"{START + int(at * 1e6)}\t{status}\t{int(latency * 1e6)}{late}\n")
    bad = mode.failed
    stdout = (
        f"{clients} total client(s). {requests} total requests\n\nfinished in {max(free):.2f}s, 1 req/s\n"
        f"requests: {requests} total, {requests} started, {requests} done, {requests - bad} succeeded, "
        f"{bad} failed, 0 errored, 0 timeout\n"
    )
    return stdout, "".join(rows)


def write(path: Path, session, modes, seed=0, **how) -> Path:
    """Store a whole session with its logs; return its directory."""
    path.mkdir(parents=True)
    if session:
        (path / "session.json").write_text(json.dumps(session))
    plan = session or about(modes)
    for cell, load, number, mode, speed, cost in measured(plan, modes, seed=seed, **how):
        lag = tried = None
        if load["kind"] == "open":
            lag = {"p50": 0.0004, "p99": 0.002, "max": 0.01}
        if load["kind"] == "search":
            tried = searched(load, speed)
            load = load | {"rate": tried["best_rate"] or load["from"]}
        run = described(cell, load, number, mode, cost)
        run |= {"objective": load.get("objective")}
        stdout, log = ran(run, load, speed, mode, f"{seed}/{cell}/{load['name']}/{number}")
        doc = build_result(run, stdout, log, lag, tried)
        write_result(path, cell_name(run), doc, log.encode())
    return path


def searched(load, speed):
    """Return what a search finds: p99 grows as the rate comes near 400/s times the speed."""
    rates = []
    for rate in range(load["from"], load["to"] + 1, 50):
        room = 1 - rate / (420 * speed)
        p99 = load["delay"] * (1.05 + 0.05 / room) if room > 0.01 else None
        held = p99 is not None and p99 <= load["objective"]
        rates.append({"rate": rate, "p99": p99, "failed": 0 if p99 else rate, "held": held})
        if not held:
            break
    held = [tried["rate"] for tried in rates if tried["held"]]
    return {"rates": rates, "best_rate": max(held, default=None)}


def experiment(session, modes, seed=0, refused=None, edit=None, **how):
    """Return an experiment without files or logs; `edit` changes a result before it is taken in."""
    runs = []
    for cell, load, number, mode, speed, cost in measured(session, modes, seed=seed, **how):
        limit = load["concurrency"] / load["delay"]
        run = described(cell, load, number, mode, cost)
        good = run["requests"] - mode.failed
        doc = {
            **{"schema": 3, "cell": run, "seconds": 10.0, "requests_per_second": limit * speed},
            "counts": {"requests": run["requests"], "succeeded": good, "failed": mode.failed}
            | {"detail": {}},
            "ceiling": {"requests_per_second": limit, "percent": 100 * speed},
            "steady": {"requests_per_second": None, "ceiling": limit, "percent": None},
            "latency": dict.fromkeys(("min", "p50", "p95", "p99", "p99_9", "max")),
            **{"flags": [], "raw": None},
        }
        if edit:
            edit(doc)
        check_result(doc)
        runs.append(Run(cell_name(run), doc))
    return arrange("made", session, runs, refused or {}, [])


def little(path: Path) -> Path:
    """Store a session that has a bit of everything: six rounds of two modes under three loads."""
    loads = [
        SMALL | {"name": "c5"},
        OPEN | {"rate": 200, "seconds": 1, "delay": 0.1},
        SEARCH | {"delay": 0.1, "objective": 0.15, "seconds": 1, "from": 100, "to": 200},
    ]
    modes = [Mode("uwsgi_gevent", 0.97, 0.8), Mode("gunicorn_sync", 0.7, 1.6, 0.2)]
    for mode in modes:
        mode.more["published"] = 40.0
    return write(path, about(modes, loads, 6), modes)


def edit(path: Path, change) -> None:
    """Change a stored document."""
    doc = json.loads(path.read_text())
    change(doc)
    path.write_text(json.dumps(doc))


def tree(html: str) -> ET.Element:
    """Return the page's elements; raises for a page that is not well-formed."""
    return ET.fromstring(html.removeprefix("<!DOCTYPE html>"))  # noqa: S314 - our own page
