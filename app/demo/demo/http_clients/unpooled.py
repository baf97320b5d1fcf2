"""requests as tutorials use it, for comparison only: a new connection for every request.

Nothing is tried again, and proxies and passwords of the environment are looked for each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import requests

from demo.http_clients import base
from demo.http_clients.with_requests import answer_of


class HttpClient:
    """See demo.http_clients.base.Client; pool_size and retry make no difference."""

    def __init__(self, url: str, pool_size: int, retry: bool = True) -> None:
        self._url = url

    def get(self, path: str, params: Mapping[str, Any], timeouts: base.Timeouts) -> base.Answer:
        """Return the answer to GET url + path, whatever its status; or raise NoAnswer."""
        return answer_of(partial(requests.get, self._url + path, params=params), timeouts)

    def close(self) -> None:
        """Do nothing: no connection is kept."""
