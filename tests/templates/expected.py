"""The server modes as these tests expect them. Adding a mode is adding a line here too."""

from __future__ import annotations

from typing import NamedTuple


class Mode(NamedTuple):
    """What becomes of a mode with two workers of 50 requests each."""

    program: str
    protocol: str  # what nginx speaks to it
    callable: str
    slots: int


MODES = {
    "uwsgi_gevent": Mode("uwsgi", "uwsgi", "wsgi_gevent:app", 100),
}

GIVEN = {"app_server_workers": 2, "app_server_concurrency": 50}
