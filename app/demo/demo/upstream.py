"""The slow API behind this application."""

from __future__ import annotations

from typing import Any

import requests
from flask import Flask, current_app
from requests import Response
from urllib3.exceptions import ReadTimeoutError

from demo.errors import Failure
from demo.http_session import make_session
from demo.per_process import PerProcess


class Upstream:
    """A client of the API at url; timeout and connect_timeout are in seconds."""

    def __init__(self, url: str, timeout: float, connect_timeout: float, pool_size: int) -> None:
        self._url = url
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._sessions = PerProcess(lambda: make_session(pool_size))

    def wait(self, delay: float) -> Any:
        """Return the API's JSON answer, after delay seconds.

        Failure: 400 when the API refuses the delay, 502 when it cannot be reached or answers
        anything else than JSON and a success, 504 when it does not answer in time.
        """
        try:
            # A redirect would lead to a server that nobody configured.
            response = self._sessions.get().get(
                f"{self._url}/",
                params={"delay": delay},
                timeout=(self._connect_timeout, self._timeout),
                allow_redirects=False,
            )
            if response.status_code == 400:
                raise _refusal(response, delay)
            if not 200 <= response.status_code < 300:
                raise Failure(502, f"the upstream answered with status {response.status_code}")
            return response.json()
        except requests.JSONDecodeError as error:
            raise Failure(502, "the upstream's answer is not JSON", cause=error) from error
        except requests.RequestException as error:
            raise _failure(error) from error

    def check(self, timeout: float) -> None:
        """Return when the API is alive, which is awaited for timeout seconds; else Failure."""
        try:
            # The shared session's retries would take longer than timeout.
            with make_session(1, retry=0) as session:
                response = session.get(
                    f"{self._url}/healthz", timeout=timeout, allow_redirects=False
                )
        except requests.RequestException as error:
            raise _failure(error) from error
        if response.status_code != 200:
            raise Failure(502, f"the upstream answered with status {response.status_code}")


def _refusal(response: Response, delay: float) -> Failure:
    try:
        told = response.json()
        return Failure(400, f"the upstream refused: {told['error']}", valid=told.get("valid"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return Failure(400, f"the upstream refused a delay of {delay} seconds")


def _failure(error: requests.RequestException) -> Failure:
    # requests calls a timeout in the middle of an answer a ConnectionError.
    inner = error.args[0] if error.args else None
    if isinstance(error, requests.Timeout) or isinstance(inner, ReadTimeoutError):
        return Failure(504, "the upstream did not answer in time", cause=error)
    return Failure(502, f"the upstream cannot be reached: {_root(error)}", cause=error)


def _root(error: BaseException) -> BaseException:
    """Return the exception that everything began with, such as a ConnectionRefusedError."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return error


def init_app(app: Flask) -> None:
    """Give the application its upstream."""
    app.extensions["demo_upstream"] = Upstream(
        app.config["UPSTREAM_URL"],
        timeout=app.config["UPSTREAM_TIMEOUT"],
        connect_timeout=app.config["UPSTREAM_CONNECT_TIMEOUT"],
        pool_size=app.config["UPSTREAM_POOL"],
    )


def get_upstream() -> Upstream:
    """Return the current application's upstream."""
    return current_app.extensions["demo_upstream"]
