"""Holds what an application server is, as its processes report it, against what it is declared to be."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ansible.module_utils import greenrack_files


class Failed(Exception):
    """The server is not what it is declared to be: the cause, and the cure."""


def reports_of(found, p):
    """Return {pid: report} of the processes that have imported the application."""
    paths = {pid: Path(p["reports"], f"{pid}.report") for pid in found}
    return {pid: report(path) for pid, path in paths.items() if path.exists()}


def report(path):
    """Return a process's report; Failed if the application put something else there."""
    try:
        found = json.loads(greenrack_files.plain(path, most=2**16) or b"")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Failed(f"{path} is not the report of a process.")
    return found


def check_program(found, p):
    """Raise Failed unless the main process is the declared program."""
    main = next(iter(found.values()), "nothing")
    # A word of the command line, or of a file's name in it: not of a directory's, which is the application's. gunicorn
    # writes "gunicorn: master" there where it finds setproctitle.
    if not re.search(rf"[/.]{p['program']}([. ]|$)|^{p['program']}: ", main):
        raise Failed(
            f"{p['unit']} runs '{main}', which is not {p['program']}, as {p['mode']} declares. "
            f"Deploy the mode you want, by site.yml -e server={p['mode']}"
        )
    return f"its main process is {p['program']}"


def check_workers(found, p):
    """Raise Failed unless as many processes as declared have imported the application."""
    reports = reports_of(found, p)
    if len(reports) != p["workers"]:
        raise Failed(
            f"{len(reports)} processes of {p['unit']} have imported the application, and {p['workers']} are "
            "declared. If it was deployed so, with app_workers or a profile of its own, type that here too. Else "
            "deploy again, so that its configuration is what is declared, by "
            f"site.yml -e server={p['mode']}"
        )
    if p["master"] and next(iter(found)) in reports:
        raise Failed(
            f"the main process of {p['unit']} has imported the application itself, and {p['mode']} has workers that "
            f"do. Deploy again, by site.yml -e server={p['mode']}"
        )
    return reports


def has_psycopg(reports):
    """Return whether any process that has imported the application has psycopg2."""
    return any(report["wait_callback"] is not None for report in reports.values())


def taken(kind, number):
    """Return in words how requests are taken; `number` None: as many at once as come, or it is not known."""
    if kind == "one":
        return "one request after the other"
    if kind not in ("threads", "greenlets"):
        return f"requests as {kind} does"
    return f"{f'{number} requests' if number else 'requests'} at once in {kind}"


def check_serves(pid, serves, p):
    """Raise Failed unless a worker takes requests as declared, and as many at once."""
    declared = p["slots"] // p["workers"]
    kind, number = serves or (None, None)
    if kind == p["concurrency"] and number in (None, declared):
        return
    takes = taken(kind, number) if kind else "requests in a way it does not tell"
    raise Failed(
        f"process {pid} takes {takes}, and {taken(p['concurrency'], declared)} are declared. "
        "If it was deployed so, with app_concurrency or a profile of its own, type that here too. Else something "
        f"overrules {p['mode']}'s configuration: look for GUNICORN_CMD_ARGS, UWSGI_... and the like in app_env, "
        f"and for a file or a drop-in that somebody changed by hand: systemctl cat {p['unit']}"
    )


def check_reports(reports, p):
    """Raise Failed unless every worker is patched, or not, and takes requests, as declared."""
    for pid, report in reports.items():
        if "serves" in report:  # one that an earlier version has started knows nothing of it
            check_serves(pid, report["serves"], p)
        if report["patched"] != p["patched"]:
            raise Failed(
                f"gevent has patched nothing in process {pid}, so every wait stops all of its requests. Patch in "
                "line 1 of the module app_module_gevent names: from gevent import monkey; monkey.patch_all()"
                if p["patched"]
                else f"gevent has patched process {pid}, and {p['mode']} is declared not to be. Let app_module name "
                "a module that does not patch."
            )
        if report["tls"] != "ok":
            raise Failed(
                f"making a TLS context fails in process {pid} with {report['tls']}: something imported ssl before "
                "gevent patched it. Patch first, and import everything else after."
            )
        if report["wait_callback"] is not None and report["wait_callback"] != p["psycogreen"]:
            raise Failed(
                f"psycopg2 blocks the event loop in process {pid}: its wait callback is not set. Call "
                "psycogreen.gevent.patch_psycopg() right after monkey.patch_all(), or say -e psycogreen=false "
                "if it is meant to block."
                if p["psycogreen"]
                else f"psycopg2 has a wait callback in process {pid}, and none is declared. Remove psycogreen from "
                "the entry, or say -e psycogreen=true in a gevent mode."
            )
    word = "patched by gevent" if p["patched"] else "not patched"
    psycopg = "psycopg2 gives way" if p["psycogreen"] else "psycopg2 blocks"
    if not has_psycopg(reports):
        psycopg = "there is no psycopg2"
    return f"{len(reports)} workers, {word}, TLS works, {psycopg}"
