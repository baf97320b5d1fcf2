"""Errors, all answered as JSON: {"error": what went wrong, "valid": what would be right}."""

from __future__ import annotations

from flask import Flask, Response, current_app, json, jsonify
from werkzeug.exceptions import HTTPException


class Failure(Exception):
    """A request that cannot be served, and what to tell about it.

    status is the HTTP status; error and valid are for the client, so they hold no secret;
    cause is for the log; retry_after is in seconds.
    """

    def __init__(
        self,
        status: int,
        error: str,
        *,
        valid: str | None = None,
        cause: object = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.valid = valid
        self.cause = cause
        self.retry_after = retry_after


def init_app(app: Flask) -> None:
    """Answer the application's failures, and Flask's own errors, as JSON."""
    app.register_error_handler(Failure, _answer_failure)
    app.register_error_handler(HTTPException, _answer_http_exception)


def _answer_failure(failure: Failure) -> Response:
    if failure.status >= 500:
        current_app.logger.warning("%s: %s", failure.error, failure.cause)
    body = {"error": failure.error}
    if failure.valid:
        body["valid"] = failure.valid
    response = jsonify(body)
    response.status_code = failure.status
    if failure.retry_after is not None:
        response.headers["Retry-After"] = str(failure.retry_after)
    return response


def _answer_http_exception(error: HTTPException) -> Response:
    # Its own response has the headers that belong to it, such as Allow with a 405.
    response = error.get_response()
    body = {"error": error.description}
    if response.headers.get("Allow"):
        body["valid"] = response.headers["Allow"]
    response.data = json.dumps(body)
    response.content_type = "application/json"
    return response
