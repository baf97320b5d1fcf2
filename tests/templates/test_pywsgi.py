"""pywsgi's master, and what befalls it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import demo_servers
from running import group_of, serving

# TERM comes just when the master has heard that a worker ended, and has not noted it yet.
MOMENT = """\
import os, signal
waited = os.wait
os.wait = lambda: (waited(), os.kill(os.getpid(), signal.SIGTERM))[0]
"""


def test_a_stop_passes_over_a_worker_that_has_just_ended(folder: Path) -> None:
    """Else the master fails, and with it systemd ends the other workers' requests."""
    (folder / "sitecustomize.py").write_text(MOMENT)
    bind = f"127.0.0.1:{demo_servers.free_port()}"
    with serving("pywsgi_gevent", "http", bind, folder) as process:
        (worker,) = group_of(process).keys() - {process.pid}
        os.kill(worker, signal.SIGKILL)
        assert process.wait(timeout=60) == 0, (folder / "log").read_text()
