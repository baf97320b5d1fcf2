"""greenrack_entry imports the application's entry and reports what the process has become."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILES = Path(__file__).parents[2] / "roles" / "app_server" / "files"
PATCH = "from gevent import monkey; monkey.patch_all()\n"
GREEN = "from psycogreen.gevent import patch_psycopg; patch_psycopg()\n"
APPLICATION = "def app(environ, start_response): pass\n"

# What a server does, and what becomes of it.
IMPORT = """\
import os
import greenrack_entry
import entry
assert greenrack_entry.app is entry.app
print(os.getpid())
"""


def imported(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Let a Python of its own import an entry through greenrack_entry."""
    (folder / "entry.py").write_text(text + APPLICATION)
    (folder / "run").mkdir()
    own = {
        "PYTHONPATH": f"{folder}:{FILES}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GREENRACK_CALLABLE": "entry:app",
        "RUNTIME_DIRECTORY": str(folder / "run"),
    }
    return subprocess.run(
        [sys.executable, "-c", IMPORT],
        cwd=folder,
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def reported(folder: Path, text: str) -> dict[str, Any]:
    """Return the report, the only file there is, named by the process."""
    done = imported(folder, text)
    assert done.returncode == 0, done.stderr
    (report,) = (folder / "run").iterdir()
    assert report.name == f"{done.stdout.strip()}.report"
    return json.loads(report.read_text())


def test_a_plain_entry(tmp_path: Path) -> None:
    report = reported(tmp_path, "")
    assert report == {"patched": False, "tls": "ok", "wait_callback": False, "serves": None}


def test_a_plain_entry_with_an_http_client(tmp_path: Path) -> None:
    assert reported(tmp_path, "import requests\n")["tls"] == "ok"


def test_a_patched_entry(tmp_path: Path) -> None:
    report = reported(tmp_path, PATCH + GREEN + "import requests\n")
    assert report == {"patched": True, "tls": "ok", "wait_callback": True, "serves": None}


def test_a_patched_entry_without_psycogreen(tmp_path: Path) -> None:
    report = reported(tmp_path, PATCH)
    assert report == {"patched": True, "tls": "ok", "wait_callback": False, "serves": None}


@pytest.mark.parametrize("before", ["import ssl, urllib3", "import urllib3", "import requests"])
def test_an_entry_that_patches_late(before: str, tmp_path: Path) -> None:
    report = reported(tmp_path, f"{before}\n{PATCH}{GREEN}")
    assert report == {
        "patched": True,
        "tls": "RecursionError",
        "wait_callback": True,
        "serves": None,
    }


def test_an_application_without_psycopg2(tmp_path: Path) -> None:
    (tmp_path / "psycopg2.py").write_text("raise ImportError('there is none')\n")
    assert reported(tmp_path, "") == {
        "patched": False,
        "tls": "ok",
        "wait_callback": None,
        "serves": None,
    }


def test_nothing_that_matters_comes_before_the_entry(tmp_path: Path) -> None:
    early = "import sys\nassert not {'ssl', 'socket', 'threading', 'psycopg2'} & {*sys.modules}\n"
    assert reported(tmp_path, early + PATCH)["patched"] is True


def test_an_entry_that_ends_the_process_says_where(tmp_path: Path) -> None:
    done = imported(tmp_path, "import sys\nsys.exit(3)\n")
    assert done.returncode == 3
    assert 'entry.py", line 2, in <module>' in done.stderr


def test_an_entry_that_fails_says_why_and_reports_nothing(tmp_path: Path) -> None:
    done = imported(tmp_path, "raise RuntimeError('no database')\n")
    assert done.returncode != 0
    assert "RuntimeError: no database" in done.stderr
    assert list((tmp_path / "run").iterdir()) == []


def test_a_callable_that_is_not_there(tmp_path: Path) -> None:
    done = imported(tmp_path, "", GREENRACK_CALLABLE="entry:application")
    assert done.returncode != 0
    assert "has no attribute 'application'" in done.stderr
    assert list((tmp_path / "run").iterdir()) == []


def test_what_an_entry_does_not_patch_is_patched_before_it(tmp_path: Path) -> None:
    text = "import socket; assert socket.socket.__module__.startswith('gevent')\n"
    done = imported(tmp_path, text, GREENRACK_PATCH="gevent,psycogreen")
    assert done.returncode == 0, done.stderr
    (report,) = (tmp_path / "run").iterdir()
    found = json.loads(report.read_text())
    assert found == {"patched": True, "tls": "ok", "wait_callback": True, "serves": None}


def test_what_the_server_says_of_itself(tmp_path: Path) -> None:
    text = "import os; os.environ['GREENRACK_SERVES'] = 'threads 50'\n"
    assert reported(tmp_path, text)["serves"] == ["threads", 50]


def test_an_application_with_a_module_of_the_servers_name(tmp_path: Path) -> None:
    (tmp_path / "uwsgi.py").write_text("")
    assert reported(tmp_path, "import uwsgi\n")["serves"] is None


def test_a_factory_is_called(tmp_path: Path) -> None:
    text = "def create():\n    return app\n"
    done = imported(tmp_path, text, GREENRACK_CALLABLE="entry:create()")
    assert done.returncode == 0, done.stderr


# Looks what is there when it is asked, and answers.
HASTY = """\
def app(environ, start_response):
    body = environ["wsgi.input"]
    asked.append((type(body).__name__, body and body.read()))
    return answer

class Answer(list):
    def close(self):
        asked.append("closed")

asked, answer = [], Answer([b"log in ", b"first"])
"""
FLASK = "from flask import Flask, request\napp = Flask(__name__)\n"


class Sent(io.BytesIO):
    """A body as a server hands it over: it comes in pieces, and may end too early."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 50_000))


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what imports an entry behind nginx, or without it: the entry, and what servers are given."""

    def imported(text: str, proxy: str = "true") -> tuple[Any, Any]:
        (tmp_path / "entry.py").write_text(text)
        monkeypatch.setenv("GREENRACK_CALLABLE", "entry:app")
        monkeypatch.setenv("GREENRACK_SWITCHES", f"profile=default,proxy={proxy},socket=tcp")
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
        for path in (tmp_path, FILES):
            monkeypatch.syspath_prepend(path)
        for name in ("entry", "greenrack_entry"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        served = importlib.import_module("greenrack_entry").app
        return importlib.import_module("entry"), served

    return imported


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        (1, "BytesIO"),
        (2**16, "BytesIO"),
        (2**16 + 1, "BufferedRandom"),
        (3_000_000, "BufferedRandom"),
    ],
)
def test_behind_nginx_an_application_is_asked_when_the_body_is_there(
    entry: Any, size: int, kept: str
) -> None:
    sent = Sent(os.urandom(size))
    module, served = entry(HASTY)
    environ = {"CONTENT_LENGTH": str(size), "wsgi.input": sent}
    answer = served(environ, None)
    assert sent.tell() == size
    assert module.asked == [(kept, sent.getvalue())]
    assert b"".join(answer) == b"log in first"
    answer.close()
    assert module.asked[1:] == ["closed"]
    assert environ["wsgi.input"].closed is (kept == "BufferedRandom"), "a file stays open"


def test_an_answer_begins_without_what_is_the_connections(entry: Any) -> None:
    """And with what is wrong in its place: uWSGI takes no argument by its name."""
    headers = "[('Connection', 'close'), ('TE', 'a'), ('A', 'b')]"
    begins = f"begin('200 OK', {headers}, exc_info=environ.get('wrong'))"
    served = entry(f"def app(environ, begin):\n    {begins}\n    return []\n")[1]
    for environ, more in (({}, ()), ({"wrong": (1, 2, 3)}, ((1, 2, 3),))):
        told: list[Any] = []
        served(environ, lambda *given, told=told: told.append(given))
        assert told == [("200 OK", [("A", "b")], *more)]


def test_a_body_that_ends_too_early_is_no_request(entry: Any) -> None:
    module, served = entry(HASTY)
    with pytest.raises(ConnectionResetError, match="ended too early"):
        served({"CONTENT_LENGTH": "20", "wsgi.input": Sent(b"ten of them")}, None)
    assert module.asked == []


def test_what_follows_a_body_is_left(entry: Any) -> None:
    sent = Sent(b"a body, and more")
    served = entry(HASTY)[1]
    served({"CONTENT_LENGTH": "6", "wsgi.input": sent}, None)
    assert sent.read() == b", and more"


@pytest.mark.parametrize("length", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}])
def test_where_there_is_no_body_nothing_is_read(entry: Any, length: dict[str, str]) -> None:
    module, served = entry(HASTY)
    assert served({**length, "wsgi.input": None}, None) is module.answer
    assert module.asked == [("NoneType", None)]


def test_flask_is_served_as_what_it_is(entry: Any) -> None:
    """`flask run` takes nothing else."""
    text = FLASK + "app.add_url_rule('/', 'read', lambda: request.get_data(), methods=['POST'])\n"
    module, served = entry(text)
    assert served is module.app
    assert served.wsgi_app.__name__ == "whole"
    data = os.urandom(2**20)
    assert served.test_client().post("/", data=data).data == data


@pytest.mark.parametrize("text", [HASTY, FLASK])
def test_without_nginx_an_application_is_served_as_it_is(entry: Any, text: str) -> None:
    module, served = entry(text, proxy="false")
    assert served is module.app
    assert text != FLASK or served.wsgi_app.__name__ == "wsgi_app"
