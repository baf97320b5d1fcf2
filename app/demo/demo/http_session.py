"""The HTTP session that every request to the upstream goes through."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry


class _RetryButTimeouts(Retry):
    """Retries, except after a read timeout: the next try would wait all that time again."""

    def increment(self, *args: Any, error: Exception | None = None, **kwargs: Any) -> Retry:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(*args, error=error, **kwargs)


RETRY = _RetryButTimeouts(
    total=2,
    connect=2,
    read=1,  # a kept connection that the other side closed just as it was used again
    status=0,
    redirect=0,
    other=0,
    backoff_factor=0.1,  # tries again at once, then after 0.2 seconds
    respect_retry_after_header=False,  # or a 503 with that header is retried all the same
)


def make_session(pool_size: int, retry: Retry | int = RETRY) -> Session:
    """Return a session that keeps up to pool_size connections open for the next request.

    Beyond pool_size it opens more, and closes them after use. Threads and greenlets may share
    it, processes may not. retry: what is tried again, or 0.
    """
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=pool_size, max_retries=retry))
    # One user's cookies must not go out with the next one's request.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # No proxy and no .netrc on the way to a server of our own; also saves time per request.
    session.trust_env = False
    return session
