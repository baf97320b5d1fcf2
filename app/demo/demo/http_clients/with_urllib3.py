"""urllib3, pooled: what requests is made of, without the rest of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from urllib3 import PoolManager, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
)
from urllib3.util import Retry

from demo.http_clients import base


class _RetryButTimeouts(Retry):
    """Retries, except after a read timeout: the next try would wait all that time again."""

    def increment(self, *args: Any, error: Exception | None = None, **kwargs: Any) -> Retry:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(*args, error=error, **kwargs)


RETRY = _RetryButTimeouts(
    total=base.RETRIES,
    connect=base.RETRIES,
    read=base.READ_RETRIES,
    status=0,
    redirect=0,
    other=0,
    backoff_factor=base.BACKOFF / 2,  # which it doubles for the second retry
    respect_retry_after_header=False,  # or a 503 with that header is retried all the same
)


class HttpClient:
    """See demo.http_clients.base.Client."""

    def __init__(self, url: str, pool_size: int, retry: bool = True) -> None:
        self._url, headers = base.split_auth(url)
        self._pools = PoolManager(
            headers=headers,
            maxsize=pool_size,
            block=False,
            retries=RETRY if retry else False,
            ca_certs=base.AUTHORITIES,
        )

    def get(self, path: str, params: Mapping[str, Any], timeouts: base.Timeouts) -> base.Answer:
        """Return the answer to GET url + path, whatever its status; or raise NoAnswer."""
        try:
            response = self._pools.request(
                "GET",
                self._url + path,
                fields=params,
                timeout=Timeout(connect=timeouts.connect, read=timeouts.read),
                redirect=False,
                preload_content=False,  # or half an answer is retried as no answer is
            )
            return base.Answer(response.status, response.read())
        except HTTPError as error:
            reason = error.reason if isinstance(error, MaxRetryError) else error
            raise (base.NotInTime if _is_timeout(reason) else base.NoAnswer) from error

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pools.clear()


def _is_timeout(error: Exception | None) -> bool:
    # A refused connection is called a timeout too.
    return isinstance(error, (ReadTimeoutError, ConnectTimeoutError)) and not isinstance(
        error, NewConnectionError
    )
