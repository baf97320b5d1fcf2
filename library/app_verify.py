#!/usr/bin/python
"""Ansible module: whether an application server is what it is declared to be, and truly concurrent."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.greenrack_ask import NoAnswer, ask_together, journal, run, wait_for_answer
from ansible.module_utils.greenrack_declared import (
    Failed,
    check_program,
    check_reports,
    check_workers,
    has_psycopg,
    reports_of,
)

DOCUMENTATION = r"""
module: app_verify
short_description: Check that a running application server is the declared mode
description:
  - Looks at the unit's processes, reads what each worker reported about itself (C(greenrack_entry)), and sends
    simultaneous requests that wait, which must come back in about the time of one.
  - None of its processes may end by itself in its first seconds. Each failure names its cause and its cure.
  - What has passed is only asked whether it answers, until it is started again, or declared to be something else.
  - What is started again as it was when it passed, since the host was booted, must be what it is declared to be,
    and is neither loaded nor waited for.
options:
  unit: {description: The server's systemd unit, type: str, required: true}
  bind: {description: "Where it listens, ADDRESS:PORT or unix:PATH", type: str, required: true}
  protocol: {description: What it speaks there, type: str, choices: [http, uwsgi], required: true}
  host: {description: The Host header of what it is asked, type: str, default: localhost}
  scheme: {description: What nginx would say a client came by, type: str, choices: ["", http, https], default: ""}
  mode: {description: "Name of the declared mode, for messages", type: str, required: true}
  program: {description: What its main process's command line must hold, type: str, required: true}
  workers: {description: Processes that must have imported the application, type: int, required: true}
  master: {description: Whether the main process only starts those that serve, type: bool, required: true}
  slots: {description: Requests it must take at once, type: int, required: true}
  concurrency: {description: What takes each of them, type: str, choices: [one, threads, greenlets], required: true}
  patched: {description: Whether gevent must have patched it, type: bool, required: true}
  psycogreen: {description: Whether psycopg2 must give way to other greenlets, type: bool, required: true}
  reports: {description: Directory of the workers' reports, type: path, required: true}
  health_path: {description: What it must answer with 2xx, type: str, default: /healthz}
  http_path: {description: "Path that waits upstream, {delay} in it; empty for none", type: str, default: ""}
  database_path: {description: "Path that waits in the database too; empty for none", type: str, default: ""}
  database_at_once: {description: Connections to the database one worker may have, type: int, default: 10}
  delay: {description: Seconds each of those requests waits, type: float, default: 1.0}
  starting: {description: Seconds until it must answer and all workers have begun, type: float, default: 30.0}
  declared: {description: "Digest of what it is made of besides; empty if not known", type: str, default: ""}
  again: {description: Whether to ask also what has passed, type: bool, default: false}
  hidden: {description: What no message may show, for the journal may hold it, type: list, elements: str, default: []}
  passed: {description: Directory where it is noted what has passed, type: path, default: /run/greenrack}
"""

RETURN = r"""
said: {description: What was found, a line for each check, type: list, returned: always}
"""

ARGUMENTS = {
    "unit": {"type": "str", "required": True},
    "bind": {"type": "str", "required": True},
    "protocol": {"type": "str", "choices": ["http", "uwsgi"], "required": True},
    "host": {"type": "str", "default": "localhost"},
    "scheme": {"type": "str", "choices": ["", "http", "https"], "default": ""},
    "mode": {"type": "str", "required": True},
    "program": {"type": "str", "required": True},
    "workers": {"type": "int", "required": True},
    "master": {"type": "bool", "required": True},
    "slots": {"type": "int", "required": True},
    "concurrency": {"type": "str", "choices": ["one", "threads", "greenlets"], "required": True},
    "patched": {"type": "bool", "required": True},
    "psycogreen": {"type": "bool", "required": True},
    "reports": {"type": "path", "required": True},
    "health_path": {"type": "str", "default": "/healthz"},
    "http_path": {"type": "str", "default": ""},
    "database_path": {"type": "str", "default": ""},
    "database_at_once": {"type": "int", "default": 10},
    "delay": {"type": "float", "default": 1.0},
    "starting": {"type": "float", "default": 30.0},
    "declared": {"type": "str", "default": ""},
    "again": {"type": "bool", "default": False},
    "hidden": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "passed": {"type": "path", "default": "/run/greenrack"},
}

HTTP_AT_ONCE = 50
DATABASE_AT_ONCE = 10
TRIES = 2
ROUNDS = 10  # more of them are not the processor's
STEADY = 6  # seconds since its last worker's import: what crashes soon has crashed by then


def processes(unit):
    """Return {pid: command line} of the unit's processes, the main one first."""
    shown = run(["systemctl", "show", "--property=MainPID,ControlGroup", unit])
    values = dict(line.split("=", 1) for line in shown.splitlines())
    if not values.get("ControlGroup") or values["MainPID"] == "0":
        raise Failed(f"{unit} does not run. The end of its journal says why; then deploy again.")
    group = Path("/sys/fs/cgroup" + values["ControlGroup"], "cgroup.procs")
    pids = [int(pid) for pid in group.read_text(encoding="ascii").split()]
    pids.sort(key=lambda pid: pid != int(values["MainPID"]))
    found = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end at any moment
            words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
            found[pid] = words.replace("\0", " ").strip()
    return found


def settled(p):
    """Return the unit's processes, once as many as declared have imported the application."""
    end = time.monotonic() + p["starting"]
    while True:
        found = processes(p["unit"])
        if len(reports_of(found, p)) >= p["workers"] or time.monotonic() > end:
            return found
        time.sleep(0.1)


def together(count, path, delay, p):
    """Send `count` requests at once, which wait `delay` seconds; return the seconds until the last was answered 200."""
    path = path.replace("{delay}", str(delay))
    limit = 30 + 2 * count * delay
    one = (p["bind"], p["protocol"], path, limit, p["host"], None, p["scheme"])
    took, answers = ask_together(count, *one)
    bad = [text for status, text in answers if status != 200]
    if bad:
        raise Failed(
            f"{len(bad)} of {count} requests to {path} failed; the first answer was:\n{bad[0].strip()}\n"
            "The server runs as declared, so look at what that page waits for: the upstream, and the database. If the "
            "application has no such page, app_gate_http_path or app_gate_database_path names another, or is empty."
        )
    return took


def how_many(share, most, enough, fit):
    """Return how many requests to send at once, and whether they show a worker that serves in turn.

    One worker's share, for all of them may reach one that takes in more than it serves; of many workers
    more: `enough`, however they are spread, for one of them to get several, if that many `fit` into one.
    """
    count = min(share, most)
    if count < enough <= fit:
        return enough, True
    return count, count >= enough


def for_http(share, workers):
    """Return what how_many() does, of requests of which a worker takes `share`."""
    return how_many(share, HTTP_AT_ONCE, workers + 1, share)


def for_database(share, pool, workers):
    """Return what how_many() does, of requests that spend half of their time in the database.

    pool: a worker's connections to it. Only a third one in turn makes two seconds of one; and twice as many as
    the pool holds take no two.
    """
    most = min(pool, DATABASE_AT_ONCE)
    return how_many(share, most, 2 * workers + 1, min(share, 2 * pool))


def check_concurrency(kind, path, count, shows, cure, p):
    """Raise Failed unless `count` simultaneous requests come back in about the time of one."""
    if not path:
        return f"{kind}: not asked, for no path is declared"
    few = f", too few to show which of {p['workers']} workers serves one after the other"
    end, delay = "" if shows or p["concurrency"] == "one" else few, p["delay"]
    for _ in range(TRIES):
        took = together(count, path, delay, p)
        said = f"{count} requests of {delay:g} s at once took {took:.2f} s"
        if took <= 2 * delay:  # less than two rounds would take
            return f"{kind}: {said}{end}"
        if took > ROUNDS * delay:
            break
        # What a slow processor takes does not grow with the wait; what a server that waits in turn takes does.
        if together(count, path, 3 * delay, p) - took < 1.5 * 2 * delay:
            return f"{kind}: {said}, and no more for each second that they wait longer{end}"
    raise Failed(f"{said} through {kind}. {cure}")


def age(reports):
    """Return the seconds since the last worker imported the application."""
    written = [path.stat().st_mtime for path in Path(reports).glob("*.report")]
    return time.time() - max(written, default=0)


def check_steady(before, p):
    """Raise Failed if one of the processes there were has ended by itself, soon after the start."""
    time.sleep(max(0, STEADY - age(p["reports"])))
    ended = before.keys() - processes(p["unit"]).keys()
    if ended:
        raise Failed(
            f"{len(ended)} processes of {p['unit']} ended by themselves within {STEADY} s. "
            "The end of its journal may say why; cure it and deploy again."
        )
    return "none of its processes has ended by itself"


def verify(p, load=True):
    """Run all checks, but those that load it and wait for it if `load` is false; return what they found."""
    found = settled(p)
    said = [check_program(found, p)]
    reports = check_workers(found, p)
    said.append(check_reports(reports, p))
    if not load:
        return [*said, "the same has passed here since the host was booted: it is not loaded again"]
    cure = (
        f"It does not take the {p['slots']} requests at once that are declared. Look at its workers, threads or "
        "greenlets, and at whether the HTTP client is patched and its pool is large enough."
    )
    share = max(p["slots"] // p["workers"], 1)
    numbers = for_http(share, p["workers"])
    said.append(check_concurrency("the HTTP client", p["http_path"], *numbers, cure, p))
    if p["patched"] and not p["psycogreen"]:
        said.append("the database driver blocks, as psycogreen=false asks for: not measured")
    else:
        cure = (
            "The application has no psycopg2, so what it asks the database by blocks the event loop: choose a mode "
            "with threads, or a driver that waits in Python."
            if p["patched"] and not has_psycopg(reports)
            else "The database driver waits as declared, so its pool or the database lets fewer through: look at "
            "DATABASE_POOL, max_connections and pgbouncer_pool_size."
        )
        numbers = for_database(share, p["database_at_once"], p["workers"])
        path = p["database_path"]
        said.append(check_concurrency("the database driver", path, *numbers, cure, p))
    return [*said, check_steady(found, p)]


def same(p):
    """Return the file that is there once what is declared has passed, as another instance too."""
    other = {
        key: value for key, value in p.items() if key not in ("unit", "bind", "reports", "again")
    }
    name = hashlib.sha256(json.dumps(other, sort_keys=True).encode()).hexdigest()
    return Path(p["passed"], "declared", name if p["declared"] else "never")


def this_start(p):
    """Return what identifies this start of the unit, and what it is declared to be."""
    shown = run(["systemctl", "show", "--property=InvocationID", p["unit"]])
    return shown + json.dumps(
        {**p, "again": None, "hidden": None, "starting": None}, sort_keys=True
    )


def verify_once(p):
    """Run all checks, unless they were passed since the unit was started; return what they found."""
    note, start = Path(p["passed"], p["unit"]), this_start(p)
    passed = not p["again"] and note.exists() and note.read_text(encoding="utf-8") == start
    said = [] if passed else verify(p, load=p["again"] or not same(p).exists())
    asked = {"host": p["host"], "scheme": p["scheme"]}
    wait_for_answer(p["bind"], p["protocol"], p["health_path"], p["starting"], **asked)
    if passed:
        return ["it has passed since it was started, and is not asked again"]
    same(p).parent.mkdir(parents=True, exist_ok=True)
    note.parent.chmod(0o700)  # a digest of secrets is nobody else's
    note.write_text(start, encoding="utf-8")
    if (
        p["declared"] and not p["again"]
    ):  # then what is declared may not be what it was started with
        same(p).touch()
    return said


def main():
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    try:
        said = verify_once(module.params)
    except (Failed, NoAnswer, OSError, ValueError) as error:
        told = f"The end of its journal:\n{journal(module.params['unit'])}"
        module.fail_json(msg=f"{module.params['mode']} is not what runs: {error}\n{told}")
    module.exit_json(changed=False, said=said)


if __name__ == "__main__":
    main()
