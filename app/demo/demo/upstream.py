"""The slow API behind this application."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from flask import Flask, current_app, json

from demo import http_clients
from demo.errors import Failure
from demo.http_clients.base import Answer, Client, NoAnswer, NotInTime, Timeouts
from demo.per_process import PerProcess
from demo.settings import SettingError


class Upstream:
    """The API at url, asked by clients of the given class, one in each process.

    pool_size: connections to it that a process keeps.
    """

    def __init__(
        self, url: str, client_class: type[Client], timeouts: Timeouts, pool_size: int
    ) -> None:
        self._timeouts = timeouts
        self._clients = PerProcess(lambda: client_class(url, pool_size))
        # To check is to try once: retries would take longer than there is time.
        self._make_checker = lambda: client_class(url, 1, retry=False)

    def wait(self, delay: float) -> Any:
        """Return the API's JSON answer, after delay seconds.

        Failure: 400 when the API refuses the delay, 502 when it cannot be reached or answers
        anything else than JSON and a success, 504 when it does not answer in time.
        """
        answer = _get(self._clients.get(), "/", {"delay": delay}, self._timeouts)
        if answer.status == 400:
            raise _refusal(answer, delay)
        if not 200 <= answer.status < 300:
            raise _strange_status(answer)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise Failure(502, "the upstream's answer is not JSON", cause=error) from error

    def check(self, timeout: float) -> None:
        """Return when the API is alive, which is awaited for timeout seconds; else Failure."""
        with closing(self._make_checker()) as client:
            answer = _get(client, "/healthz", {}, Timeouts(timeout, timeout))
        if answer.status != 200:
            raise _strange_status(answer)


def _get(client: Client, path: str, params: dict[str, Any], timeouts: Timeouts) -> Answer:
    try:
        return client.get(path, params, timeouts)
    except NotInTime as error:
        raise Failure(504, "the upstream did not answer in time", cause=error.__cause__) from error
    except NoAnswer as error:
        told = f"the upstream cannot be reached: {_root(error)}"
        raise Failure(502, told, cause=error.__cause__) from error


def _refusal(answer: Answer, delay: float) -> Failure:
    try:
        told = json.loads(answer.body)
        return Failure(400, f"the upstream refused: {told['error']}", valid=told.get("valid"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return Failure(400, f"the upstream refused a delay of {delay} seconds")


def _strange_status(answer: Answer) -> Failure:
    return Failure(502, f"the upstream answered with status {answer.status}")


def _root(error: BaseException) -> BaseException:
    """Return the exception that everything began with, such as a ConnectionRefusedError."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return error


def init_app(app: Flask) -> None:
    """Give the application its upstream; SettingError when its client cannot work here."""
    try:
        client_class = http_clients.load(app.config["UPSTREAM_CLIENT"])
    except http_clients.UnusableClient as error:
        raise SettingError(str(error)) from None
    app.extensions["demo_upstream"] = Upstream(
        app.config["UPSTREAM_URL"],
        client_class,
        Timeouts(
            connect=app.config["UPSTREAM_CONNECT_TIMEOUT"], read=app.config["UPSTREAM_TIMEOUT"]
        ),
        pool_size=app.config["UPSTREAM_POOL"],
    )


def get_upstream() -> Upstream:
    """Return the current application's upstream."""
    return current_app.extensions["demo_upstream"]
