"""config_files writes real files, all of them or none."""

from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest

config_files = greenrack_modules.load("config_files")

US = {
    "owner": pwd.getpwuid(os.geteuid()).pw_name,
    "group": grp.getgrgid(os.getegid()).gr_name,
}


def run(*files: dict[str, Any], check: bool = False) -> dict[str, Any]:
    return greenrack_modules.run(config_files, check=check, files=[{**US, **f} for f in files])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demo.conf"


def test_a_file_is_written_once(path: Path) -> None:
    wanted = {"path": str(path), "content": "Grüße\n", "mode": "0640"}
    assert run(wanted)["paths"] == [str(path)]
    assert path.read_text(encoding="utf-8") == "Grüße\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    before = path.stat()
    assert run(wanted) == {**run(wanted), "changed": False, "paths": []}
    assert path.stat() == before  # its time above all, by which services are restarted


@pytest.mark.parametrize("content", ["a = 1", "a = 1\n", "a = 1\n\n"])
def test_a_file_ends_with_one_new_line(path: Path, content: str) -> None:
    run({"path": str(path), "content": content})
    assert path.read_bytes() == b"a = 1\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_with_carriage_returns_is_written_once(path: Path) -> None:
    wanted = {"path": str(path), "content": "a\r\nb"}
    assert [run(wanted)["changed"], run(wanted)["changed"]] == [True, False]


def test_other_permissions_are_a_change(path: Path) -> None:
    wanted = {"path": str(path), "content": "a"}
    run(wanted)
    path.chmod(0o600)
    assert run(wanted)["changed"] is True
    assert path.stat().st_mode & 0o7777 == 0o644


def test_a_dry_run_shows_and_writes_nothing(path: Path) -> None:
    path.write_text("old\n")
    shown = run({"path": str(path), "content": "new"}, check=True)
    assert shown["changed"] is True
    assert [(diff["before"], diff["after"]) for diff in shown["diff"]] == [("old\n", "new\n")]
    assert path.read_text() == "old\n"


def test_a_secret_is_written_and_never_shown(path: Path) -> None:
    shown = run({"path": str(path), "secret": "correct horse", "mode": "0600"})
    assert path.read_text() == "correct horse\n"
    path.write_text("battery staple\n")
    again = run({"path": str(path), "secret": "correct horse", "mode": "0600"})
    assert again["changed"] is True
    assert "horse" not in json.dumps([shown, again])
    assert "staple" not in json.dumps([shown, again])


def test_no_file_is_written_when_one_is_invalid(path: Path, tmp_path: Path) -> None:
    files = [
        {"path": str(tmp_path / "first"), "content": "good", "validate": "grep good %s"},
        {"path": str(tmp_path / "second"), "content": "bad", "validate": "grep -c good %s"},
    ]
    result = run(*files)
    assert result["failed"]
    assert f"{tmp_path / 'second'} would be invalid, so no file was changed" in result["msg"]
    assert "'grep -c good %s' says:\n0\n" in result["msg"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_any_bytes_is_replaced(path: Path) -> None:
    path.write_bytes(b"\xff\x00")
    assert run({"path": str(path), "content": "text"})["changed"] is True
    assert path.read_text() == "text\n"


def test_a_file_of_somebody_who_is_gone_is_taken_over(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path.write_text("text\n")
    path.chmod(0o644)
    os.chown(path, 54321, 54321)
    assert run({"path": str(path), "content": "text"})["changed"] is True
    assert (path.stat().st_uid, path.stat().st_gid) == (0, 0)


def test_a_link_is_replaced_and_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "package.conf").write_text("of a package\n")
    path.symlink_to("package.conf")
    run({"path": str(path), "content": "ours"})
    assert path.read_text() == "ours\n"
    assert (tmp_path / "package.conf").read_text() == "of a package\n"
    assert not path.is_symlink()


@pytest.mark.parametrize("wrong", [{}, {"content": "a", "secret": "b"}])
def test_a_file_has_either_content_or_a_secret(path: Path, wrong: dict[str, str]) -> None:
    result = run({"path": str(path), **wrong})
    assert result["failed"]
    assert "content" in result["msg"]
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who alone can give a link away")
@pytest.mark.parametrize("whose", ["root", "nobody"])
def test_a_link_on_the_way_is_followed_if_it_is_roots(tmp_path: Path, whose: str) -> None:
    """Who may name something there, such as the owner of a directory of PostgreSQL's, must not lead root elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "conf.d"
    link.symlink_to("elsewhere")
    os.lchown(link, pwd.getpwnam(whose).pw_uid, -1)
    result = run({"path": str(link / "more/demo.conf"), "content": "a"})
    if whose == "root":
        assert (elsewhere / "more/demo.conf").read_text(encoding="utf-8") == "a\n"
    else:
        assert "conf.d in it is no directory, but a file or a link" in result["msg"]
        assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("what", ["a link", "a pipe"])
def test_what_is_no_file_is_not_read_and_becomes_one(tmp_path: Path, what: str) -> None:
    path = tmp_path / "pg_hba.conf"
    if what == "a pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "shadow").write_text("geheim")
        path.symlink_to(tmp_path / "shadow")
    wanted = {"path": str(path), "content": "a"}
    assert "geheim" not in str(run(wanted, check=True))
    assert run(wanted)["paths"] == [str(path)]
    assert (path.is_symlink(), path.read_text()) == (False, "a\n")


def test_what_was_there_first_is_kept(path: Path) -> None:
    """With its mode."""
    path.write_text("theirs\n")
    path.chmod(0o600)
    wanted = {"path": str(path), "keep": True}
    run({**wanted, "content": "a"}, check=True)
    kept = path.with_name("demo.conf.before-greenrack")
    assert not kept.exists()
    run({**wanted, "content": "a"})
    assert (kept.read_text(), path.read_text()) == ("theirs\n", "a\n")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_what_came_after_what_was_kept_is_kept_as_well(path: Path) -> None:
    wanted = {"path": str(path), "content": "a", "keep": True}
    for text in ("first", "second", "first", "second"):
        path.write_text(text)
        run(wanted)
    kept = {file.name: file.read_text() for file in path.parent.glob("*.before-greenrack*")}
    name = "demo.conf.before-greenrack"
    assert kept == {name: "first", f"{name}.2": "second"}


def test_nothing_is_kept_of_what_was_not_there(path: Path) -> None:
    run({"path": str(path), "content": "a", "keep": True})
    assert [file.name for file in path.parent.iterdir()] == ["demo.conf"]
