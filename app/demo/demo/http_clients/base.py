"""What all HTTP clients have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

import certifi
from urllib3.util import make_headers, parse_url

AUTHORITIES = certifi.where()  # who may sign an https:// server's certificate

RETRIES = 2  # of a request that could not be sent, for want of a connection
READ_RETRIES = 1  # of them after it was sent: the kept connection was just being closed
BACKOFF = 0.2  # seconds before the second retry; the first one comes at once


class Timeouts(NamedTuple):
    """Seconds to wait for a connection, and for each piece of the answer."""

    connect: float
    read: float


class Answer(NamedTuple):
    """What the server answered."""

    status: int
    body: bytes


class NoAnswer(Exception):
    """There is no answer, or half of one; raised from the error that was the reason."""


class NotInTime(NoAnswer):
    """The server did not answer in time."""


class Client(Protocol):
    """A client of the server at url, whose connections threads and greenlets may share.

    Processes may not. pool_size: connections that are kept. retry: False to try once only.
    """

    def __init__(self, url: str, pool_size: int, retry: bool = True) -> None: ...

    def get(self, path: str, params: Mapping[str, Any], timeouts: Timeouts) -> Answer:
        """Return the answer to GET url + path, whatever its status; or raise NoAnswer."""
        ...

    def close(self) -> None:
        """Close the connections that are kept."""
        ...


def split_auth(url: str) -> tuple[str, dict[str, str]]:
    """Return url without the user and the password it may hold, and the headers that tell them."""
    parts = parse_url(url)
    if parts.auth is None:
        return url, {}
    user, _, password = parts.auth.partition(":")
    auth = f"{unquote(user)}:{unquote(password)}"
    return parts._replace(auth=None).url, make_headers(basic_auth=auth)
