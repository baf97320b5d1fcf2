"""Clients of the demo application, in this process or in one that gevent has patched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import demo_servers
from demo import create_app

PATCHED = """
import wsgi_gevent
import json, os, sys, traceback, gevent
from demo import create_app
apps = []
def answer(app, path):
    response = app.test_client().get(path)
    return {"status_code": response.status_code, "json": response.json, "text": response.text}
def obey(make=None, environ=None, number=None, paths=()):
    if make is not None:
        os.environ.clear()
        os.environ.update(environ)
        apps.append(create_app(make))
        return len(apps) - 1
    jobs = [gevent.spawn(answer, apps[number], path) for path in paths]
    gevent.joinall(jobs, raise_error=True)
    return [job.value for job in jobs]
for line in sys.stdin:
    try:
        told = {"value": obey(**json.loads(line))}
    except Exception:
        told = {"error": traceback.format_exc()}
    print(json.dumps(told), flush=True)
"""


class Plain:
    """A client of an application in this process; its requests are threads'."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._app = create_app(settings)

    def get(self, path: str) -> Any:
        return self._app.test_client().get(path)

    def get_together(self, paths: Iterable[str]) -> list[Any]:
        paths = list(paths)
        with ThreadPoolExecutor(len(paths)) as threads:
            return list(threads.map(self.get, paths))


class PatchedProcess:
    """A Python that loaded wsgi_gevent, and makes applications and asks them as it is told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PATCHED],
            cwd=demo_servers.DEMO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, **order: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            print(json.dumps(order), file=self._process.stdin, flush=True)
        told = json.loads(self._process.stdout.readline() or '{"error": "the process is gone"}')
        assert "error" not in told, told["error"]
        return told["value"]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Patched:
    """A client of an application in the patched process; its requests are greenlets'."""

    def __init__(self, process: PatchedProcess, settings: dict[str, Any]) -> None:
        self._process = process
        self._number = process.tell(make=settings, environ=dict(os.environ))

    def get(self, path: str) -> Any:
        return self.get_together([path])[0]

    def get_together(self, paths: Iterable[str]) -> list[Any]:
        told = self._process.tell(number=self._number, paths=list(paths))
        return [SimpleNamespace(**response) for response in told]
