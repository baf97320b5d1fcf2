"""The server modes as these tests expect them. Adding a mode is adding a line here too."""

from __future__ import annotations

from typing import NamedTuple


class Mode(NamedTuple):
    """What becomes of a mode on a host with two processors."""

    program: str
    speaks: list[str]  # towards nginx, the preferred one first
    entry: str
    sizes: dict[str, tuple[int, int]]  # for each profile, workers and what each takes at once

    @property
    def over_tcp(self) -> list[str]:
        """Return the protocols it may speak over TCP: uWSGI knows no clients to tell apart."""
        return ["http"] if self.program == "uwsgi" else self.speaks


PLAIN, PATCHED = "wsgi:app", "wsgi_gevent:app"
BOTH = ["http", "uwsgi"]


def sizes(default: tuple[int, int], tutorial: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return {"default": default, "tutorial": tutorial}


MODES = {
    "devserver": Mode("flask", ["http"], PLAIN, sizes((1, 1), (1, 1))),
    "devserver_threaded": Mode("flask", ["http"], PLAIN, sizes((1, 1000), (1, 1000))),
    "pywsgi_gevent": Mode("pywsgi", ["http"], PATCHED, sizes((2, 1000), (1, 1000))),
    "gunicorn_sync": Mode("gunicorn", BOTH, PLAIN, sizes((2, 200), (4, 50))),
    "gunicorn_gevent": Mode("gunicorn", BOTH, PATCHED, sizes((2, 1000), (1, 1000))),
    "uwsgi_sync": Mode("uwsgi", BOTH, PLAIN, sizes((2, 200), (4, 50))),
    "uwsgi_gevent": Mode("uwsgi", BOTH, PATCHED, sizes((2, 1000), (2, 2000))),
    "waitress": Mode("waitress", ["http"], PLAIN, sizes((1, 400), (1, 400))),
}

# A mode and a protocol it speaks.
SPOKEN = [(name, protocol) for name, mode in MODES.items() for protocol in mode.speaks]

GIVEN = {"app_server_workers": 2, "app_server_concurrency": 50}


def of_program(program: str) -> list[tuple[str, str]]:
    """Return the program's modes, each with each protocol it speaks."""
    return [(mode, protocol) for mode, protocol in SPOKEN if MODES[mode].program == program]
