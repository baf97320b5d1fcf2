"""What imports an application for a try, before it is served."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from render import evaluate

FACTORY = "def create_app():\n    import sys; sys.exit({code})\n"


def tried(folder: Path, text: str, target: str, calls: str = "yes") -> tuple[int, str]:
    """Return the exit code and the words of a try of wsgi.py."""
    (folder / "wsgi.py").write_text(text)
    script = evaluate("app_release", "__app_release_imported")
    words = [sys.executable, "-B", "-c", script, target, calls]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("code", ["", "0", "None", "3", "'no database'"])
def test_what_ends_the_process_is_refused_and_says_where(tmp_path: Path, code: str) -> None:
    ended, said = tried(tmp_path, f"import sys\nsys.exit({code})\n", "wsgi:app")
    assert ended != 0
    assert 'wsgi.py", line 2, in <module>' in said
    ended, said = tried(tmp_path, FACTORY.format(code=code), "wsgi:create_app()")
    assert ended != 0
    assert "in create_app" in said


THREAD = """\
import sys, threading
threading.Timer(3, lambda: print("was waited for", file=sys.stderr)).start()
def app(environ, start_response): pass
"""


@pytest.mark.parametrize("then", ["", "import nothing_such\n", "import sys; sys.exit(124)\n"])
def test_a_thread_that_goes_on_is_not_waited_for(tmp_path: Path, then: str) -> None:
    ended, said = tried(tmp_path, THREAD + then, "wsgi:app")
    assert (ended, "was waited for" in said) == (1 if then else 0, False), said


@pytest.mark.parametrize(
    ("text", "target", "calls", "says"),
    [
        ("def app(environ, start_response): pass\n", "wsgi:app", "yes", ""),
        ("app = print\n", "wsgi:app", "yes", ""),
        (
            "def create_app(): pass\n",
            "wsgi:create_app",
            "yes",
            "set app_module to wsgi:create_app()",
        ),
        (
            "def create_app(): pass\n",
            "wsgi:create_app()",
            "yes",
            "returns nothing that is callable",
        ),
        ("def create_app(): pass\n", "wsgi:create_app()", "no", ""),
        ("app = 7\n", "wsgi:app", "yes", "is not callable"),
    ],
)
def test_what_can_be_served_passes(
    tmp_path: Path, text: str, target: str, calls: str, says: str
) -> None:
    ended, said = tried(tmp_path, text, target, calls)
    assert (ended == 0) == (says == ""), said
    assert says in said
