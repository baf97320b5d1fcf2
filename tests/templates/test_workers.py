"""A worker that is lost is replaced, and one that cannot start again takes nobody with it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import demo_servers
import pytest
from expected import MODES
from running import ask, group_of, serving, wait_for

SEVERAL = [mode for mode in MODES if MODES[mode].sizes["tutorial"][0] > 1]


@pytest.mark.parametrize("mode", SEVERAL)
def test_a_worker_that_cannot_start_is_tried_again_beside_those_that_serve(
    mode: str, folder: Path
) -> None:
    bind = f"127.0.0.1:{demo_servers.free_port()}"
    with serving(mode, "http", bind, folder) as process:
        lost, *others = sorted(folder.glob("*.report"))
        entries = {path: path.read_text() for path in folder.glob("wsgi*.py")}
        for path in entries:
            path.write_text("raise RuntimeError('what it needs is away')\n")
        os.kill(int(lost.stem), signal.SIGKILL)
        said = (folder / "log").read_text
        wait_for("second try", process, folder, lambda: said().count("RuntimeError: what") > 1)
        assert [ask(bind, "http", "/hello", 20)[0] for _ in range(20)] == [200] * 20
        assert {int(path.stem) for path in others} <= group_of(process).keys()
        for path, text in entries.items():
            path.write_text(text)
        old = {lost, *others}
        wait_for("worker", process, folder, lambda: not old.issuperset(folder.glob("*.report")))
        assert not lost.exists(), "reports of those that are gone pile up"


@pytest.mark.parametrize("mode", SEVERAL)
def test_a_server_none_of_whose_workers_can_start_ends(mode: str, folder: Path) -> None:
    bind = f"127.0.0.1:{demo_servers.free_port()}"
    module = {"app_module": "nothing_here:app", "app_server_module_gevent": "nothing_here:app"}
    with (
        # None of its processes is left, and it is not merely late.
        pytest.raises(
            AssertionError, match=r"(?s)no answer of \[\].*No module named 'nothing_here'"
        ),
        serving(mode, "http", bind, folder, **module),
    ):
        pass
