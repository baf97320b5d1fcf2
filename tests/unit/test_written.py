"""What need not be written again: config_files, host_facts and the filter must mean the same by a file as it is."""

from __future__ import annotations

import grp
import os
import pwd
import runpy
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest

config_files = greenrack_modules.load("config_files")
host_facts = greenrack_modules.load("host_facts")
as_written = runpy.run_path(str(greenrack_modules.REPOSITORY / "filter_plugins/written.py"))[
    "as_written"
]


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, Any]:
    """A file that config_files has written."""
    file = {
        "path": str(tmp_path / "some.conf"),
        "content": "one = 1\n\n",
        "mode": "0640",
        "owner": pwd.getpwuid(os.getuid()).pw_name,
        "group": grp.getgrgid(os.getgid()).gr_name,
    }
    assert greenrack_modules.run(config_files, files=[file])["paths"] == [file["path"]]
    return file


def seen(*files: dict[str, Any]) -> dict[str, str]:
    found = host_facts.files([file["path"] for file in files])
    assert isinstance(found, dict)
    return found


def test_what_was_written_is_as_wanted(wanted: dict[str, Any]) -> None:
    assert as_written([wanted], seen(wanted))


@pytest.mark.parametrize("change", [{"content": "one = 2"}, {"mode": "0644"}, {"owner": "nobody"}])
def test_what_is_wanted_otherwise_is_not(wanted: dict[str, Any], change: dict[str, str]) -> None:
    assert not as_written([{**wanted, **change}], seen(wanted))


def test_what_somebody_has_changed_is_not(wanted: dict[str, Any]) -> None:
    Path(wanted["path"]).chmod(0o600)
    assert not as_written([wanted], seen(wanted))


def test_what_is_not_there_is_not(wanted: dict[str, Any]) -> None:
    other = {**wanted, "path": wanted["path"] + ".other"}
    assert not as_written([wanted, other], seen(wanted, other))
