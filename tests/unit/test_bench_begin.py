"""What an experiment cannot be begun with, on the command line and on standard input."""

import io
import json

import pytest

from bench.__main__ import main

ABOUT = {"command": "ansible-playbook ...", "before": {"server": "a"}, "fingerprint": {}}


@pytest.mark.parametrize(
    "said", ["garbage", "5", "{}", '{"command": "x", "before": 5, "fingerprint": {}}']
)
def test_a_session_is_not_begun_about_nothing(tmp_path, capsys, monkeypatch, said):
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    assert main(["begin", str(tmp_path / "s"), "quick"]) == 2
    assert "does not say what the session is about" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_session_that_cannot_be_written_is_told(tmp_path, capsys, monkeypatch):
    (tmp_path / "s").write_text("")
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ABOUT)))
    assert main(["begin", str(tmp_path / "s"), "quick"]) == 2
    assert f"cannot begin {tmp_path / 's'}: " in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["nan", "0", "-1", "long"])
def test_a_limit_that_is_none_is_refused(capsys, limit):
    with pytest.raises(SystemExit):
        main(["plan", "quick", "--limit", limit])
    assert "--limit" in capsys.readouterr().err
