"""How SSH settings are taken back: by the run, by the host itself, or by both."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from render import evaluate


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("before", ["PasswordAuthentication no\n", ""])
def test_what_was_there_is_there_again(tmp_path: Path, before: str, times: int) -> None:
    file = tmp_path / "10-greenrack.conf"
    undo = evaluate("base", "__base_sshd_undo").replace("/etc/ssh/sshd_config.d", str(tmp_path))
    undo = undo.replace("systemctl try-reload-or-restart ssh.service", "echo reloaded")
    file.write_text("PasswordAuthentication yes\n")
    Path(f"{file}.before").write_text(before)
    for _ in range(times):
        done = subprocess.run(["sh", "-c", undo], capture_output=True, text=True, check=True)
        assert done.stdout == "reloaded\n"
    assert [path.name for path in tmp_path.iterdir()] == ([file.name] if before else [])
    assert not before or file.read_text() == before
