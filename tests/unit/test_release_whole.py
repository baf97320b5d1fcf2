"""A commit that lacks files of its application is no release; real git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import greenrack_modules
import pytest

release = greenrack_modules.load("release_build")
GIT = [
    "git",
    "-c",
    "user.name=t",
    "-c",
    "user.email=t@example.org",
    "-c",
    "protocol.file.allow=always",
]
WHOLE = "There is no lock file"
APP = "def app(environ, start_response):\n    return []\n"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"


def run_git(folder: Path, *command: str) -> None:
    subprocess.run([*GIT, "-C", str(folder), *command], capture_output=True, check=True)


def commit(folder: Path, files: dict[str, str]) -> None:
    """Commit files, and what is there besides, to the folder's repository."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "--message=one")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a submodule in its application and one beside it."""
    commit(tmp_path / "theme", {"web/wsgi.py": APP})
    folder = tmp_path / "repository"
    commit(folder, {"web/wsgi.py": APP, "plain/wsgi.py": APP})
    for place in ("web/theme", "docs"):
        run_git(folder, "submodule", "--quiet", "add", str(tmp_path / "theme"), place)
    run_git(folder, "commit", "--quiet", "--message=two")
    return folder


def said(repository: Path, folder: str, **more: str) -> str:
    """Return why there is no release of a folder of the commit; that it has no lock file is found last."""
    given = {"ref": "main", "requirements": "none.txt", "callables": ["wsgi:app"], "folder": folder}
    given |= {"python": "3.11", "machine": "x86_64", "libc": "2.36"}
    given |= {"cache": str(repository / "../cache"), "source": f"file://{repository}"}
    return str(greenrack_modules.run(release, **{**given, **more})["msg"])


def test_submodules_are_refused(repository: Path) -> None:
    assert "that its submodules have: web/theme. Valid is a folder" in said(repository, "web")
    assert "type there git submodule update" in said(repository, "web")
    assert "have: docs, web/theme. " in said(repository, "")
    assert "have: web/theme. " in said(repository, "web/theme/web")
    assert "have: web/theme. " in said(repository, "", source=str(repository / "web"))
    assert WHOLE in said(repository, "plain")


def test_what_a_commit_leaves_out_by_itself_is_not_asked_for(repository: Path) -> None:
    commit(repository, {".gitattributes": "web/theme export-ignore\n"})
    assert WHOLE in said(repository, "web")
    assert "have: docs. " in said(repository, "")


def test_what_git_lfs_keeps_is_refused(repository: Path) -> None:
    files = {"plain/logo.png": POINTER, "plain/about.txt": POINTER[8:], "other.png": POINTER}
    commit(repository, files)
    assert "none of the files that Git LFS keeps: plain/logo.png. " in said(repository, "plain")
    assert "type there git lfs pull" in said(repository, "plain")
    # A folder is released as it is.
    assert WHOLE in said(repository, "plain", source=str(repository), ref="")
