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


class Body(io.BytesIO):
    """A request's body whose sender may be gone."""

    gone = False

    def read(self, size: int | None = -1) -> bytes:
        if self.gone:
            raise ConnectionResetError
        return super().read(size)


class Answer(list[bytes]):
    """An answer that knows how much of the body was unread when it was closed."""

    body: Body
    unread: int | None = None

    def close(self) -> None:
        self.unread = len(self.body.getvalue()) - self.body.tell()


# Answers when it has read a little; the body it finds, it takes away, as what parses forms does.
HASTY = """\
def app(environ, start_response):
    environ.pop("wsgi.input").read(10)
    if "error" in environ:
        raise environ["error"]
    return environ["answer"]
"""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """What a server calls that reads nothing of a body by itself."""
    (tmp_path / "hasty.py").write_text(HASTY)
    for path in (tmp_path, FILES):
        monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("GREENRACK_CALLABLE", "hasty:app")
    monkeypatch.setenv("GREENRACK_DRAIN", "1")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    for name in ("hasty", "greenrack_entry"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    served = importlib.import_module("greenrack_entry").app
    return lambda **environ: served({"CONTENT_LENGTH": "200000", **environ}, None)


@pytest.fixture
def body() -> Body:
    """A body, which takes several reads."""
    return Body(b"x" * 200_000)


@pytest.fixture
def answer(body: Body) -> Answer:
    """What the application answers."""
    answer = Answer([b"log in ", b"first"])
    answer.body = body
    return answer


def test_what_is_left_of_a_body_is_read_after_the_answer(
    serve: Any, body: Body, answer: Answer
) -> None:
    served = serve(**{"wsgi.input": body, "answer": answer})
    assert b"".join(served) == b"log in first"
    assert body.tell() == 10, "the client waits until its own body is read"
    served.close()
    assert answer.unread == 199_990, "the application's own close comes first"
    assert body.read() == b""


def test_a_body_is_read_when_the_application_fails_too(serve: Any, body: Body) -> None:
    with pytest.raises(ZeroDivisionError):
        serve(**{"wsgi.input": body, "error": ZeroDivisionError()})
    assert body.read() == b""


def test_nobody_is_told_that_the_sender_has_gone(serve: Any, body: Body, answer: Answer) -> None:
    served = serve(**{"wsgi.input": body, "answer": answer})
    body.gone = True
    served.close()
    assert answer.unread == 199_990


def test_an_answer_need_not_be_closed(serve: Any, body: Body) -> None:
    serve(**{"wsgi.input": body, "answer": [b"log in first"]}).close()
    assert body.read() == b""


@pytest.mark.parametrize("length", ["", "0"])
def test_a_request_without_a_body_is_the_applications_alone(
    serve: Any, body: Body, answer: Answer, length: str
) -> None:
    """So what a server makes of a file that is its answer stays."""
    served = serve(**{"wsgi.input": body, "answer": answer, "CONTENT_LENGTH": length})
    assert served is answer
