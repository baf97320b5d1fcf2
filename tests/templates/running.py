"""Runs a server as a deploy would: the command, environment and files the role renders for it."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest
from expected import MODES
from render import ROLES, evaluate, modes, of_bind, of_mode, render
from test_units import environment

ask = greenrack_modules.load("greenrack_ask").ask
USER = pwd.getpwuid(os.geteuid()).pw_name

# Answers its path; when asked to wait, it says in a file that it has begun. What it counts, other processes do; of a
# program that it starts it says what that holds back, in the kernel's words.
APPLICATION = """\
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from flask import Flask, request

app = Flask(__name__)
app.config["PROPAGATE_EXCEPTIONS"] = True

@app.route("/<path:path>")
def answer(path):
    if path == "wait":
        Path(__file__).with_name("begun").touch()
        time.sleep(float(request.args["delay"]))
    if path == "count":
        for way in ("spawn", "forkserver"):
            with ProcessPoolExecutor(1, get_context(way)) as pool:
                path += " " + str(pool.submit(len, "four").result())
    if path == "address":
        path = type(request.environ.get("REMOTE_ADDR")).__name__
    if path == "asked":
        names = ("wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT")
        path = " ".join(request.environ[name] for name in names)
    if path == "fail":
        raise RuntimeError("as an application may")
    if path == "later":
        return app.response_class(1 / 0 for _ in "a page that fails before its first word")
    if path == "held":
        time.sleep(0.5)
        path = subprocess.check_output(["grep", "SigBlk", "/proc/self/status"], text=True).split()[1]
    return "the application says: " + path
"""
PATCH = """\
from gevent import monkey; monkey.patch_all()
from psycogreen.gevent import patch_psycopg; patch_psycopg()
"""


def deployed(bind: str, folder: Path, **chosen: Any) -> dict[str, Any]:
    """Write what a deploy writes, a tiny application being the release; return the variables."""
    given = {**chosen, **of_bind(bind), "app_name": USER, "__app_server_release": str(folder)}
    (folder / "wsgi.py").write_text(APPLICATION)
    (folder / "wsgi_gevent.py").write_text(PATCH + APPLICATION)
    (folder / ".venv").symlink_to(sys.prefix)
    template = modes()[chosen["server"]]["template"]
    given["__app_server_config"] = str(folder / f"demo.{template.removesuffix('.j2')}")
    if template:
        path = Path(given["__app_server_config"])
        path.write_text(render("app_server", template, **given))
    return given


def settings(folder: Path, given: dict[str, Any]) -> dict[str, str]:
    """Return the environment the unit gives its processes."""
    own = environment(render("app_server", "app.service.j2", **given))
    ours = str(ROLES / "app_server" / "files")
    own["PYTHONPATH"] = own["PYTHONPATH"].replace("/usr/local/lib/greenrack", ours)
    bare = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    return {**bare, **own, "RUNTIME_DIRECTORY": str(folder)}


def command(given: dict[str, Any]) -> list[str]:
    """Return the unit's command, or skip the test where there is no such program."""
    ours = str(ROLES / "service_socket" / "files")
    text = evaluate("app_server", "__app_server_command", **given)
    words = shlex.split(text.replace("/usr/local/lib/greenrack", ours))
    program = next(Path(word) for word in words if "/.venv/bin/" in word)
    if not program.exists():
        pytest.skip(f"no {program.name} in this environment, so it cannot be tried")
    return words


def leave_a_socket(bind: str) -> None:
    """Leave a unix socket behind, as a server does that was killed."""
    if bind.startswith("unix:"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(bind.removeprefix("unix:"))


def answers(bind: str, protocol: str) -> bool:
    with suppress(OSError, ValueError):
        return bool(ask(bind, protocol, "/ready", 5))
    return False


def wait_for(
    what: str, process: subprocess.Popen[bytes], folder: Path, condition: Callable[[], bool]
) -> None:
    """Wait until the condition is met; it is an error if the server ends, or takes for ever."""
    end = time.monotonic() + 120
    while not condition():
        ended = process.poll() is not None or time.monotonic() > end
        assert not ended, f"no {what} of {states(process)}: {(folder / 'log').read_text()}"
        time.sleep(0.05)


@contextmanager
def serving(
    mode: str, protocol: str, bind: str, folder: Path, **more: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a mode in the tutorial's size until the end of the block; give its main process. more: variables."""
    given = deployed(bind, folder, **of_mode(mode, protocol, "tutorial"), **more)
    leave_a_socket(bind)
    unix = bind.startswith("unix:")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(given),
            cwd=folder,
            env=settings(folder, given),
            stdout=log,
            stderr=log,
            umask=0o007 if unix else 0o022,
            start_new_session=True,
        )
    try:
        workers, _each = MODES[mode].sizes["tutorial"]
        wait_for("answer", process, folder, lambda: answers(bind, protocol))
        reports = partial(folder.glob, "*.report")
        wait_for("report", process, folder, lambda: len(list(reports())) >= workers)
        if MODES[mode].program == "uwsgi":
            # It loses a TERM that comes before all of its workers wait for requests.
            wait_for("rest", process, folder, lambda: idle(process))
        yield process
    finally:
        if group_of(process):
            os.killpg(process.pid, signal.SIGKILL)  # the session we began, its workers too
        process.wait()


def idle(process: subprocess.Popen[bytes]) -> bool:
    """Return whether all of a server's processes do nothing but wait, for half a second."""
    for _ in range(10):
        if any(state != "S" for _pid, state in states(process)):
            return False
        time.sleep(0.05)
    return True


def states(process: subprocess.Popen[bytes]) -> list[tuple[int, str]]:
    """Return the number and the state of each of a server's processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # any of them may end meanwhile
            stat = (path / "stat").read_text()
            state, _parent, group = stat.rpartition(")")[2].split()[:3]
            if int(group) == process.pid and state != "Z":
                found.append((int(path.name), state))
    return found


def group_of(process: subprocess.Popen[bytes]) -> dict[int, str]:
    """Return {pid: command line} of a server's processes, the main one first."""
    found = {}
    for pid, _state in states(process):
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    return dict(sorted(found.items(), key=lambda pair: pair[0] != process.pid))
