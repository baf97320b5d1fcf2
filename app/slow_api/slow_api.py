"""A slow HTTP API: it waits as long as it is asked to, then answers.

GET /?delay=SECONDS   waits (1 second when not given), answers 200 {"delay": SECONDS}
                      or, when the delay cannot be used, 400 {"error": ..., "valid": ...}
GET /healthz          answers 200 {"status": "ok"} at once

SIGTERM stops it: nothing new is accepted, the requests it is working on are answered first.
Runs under any aiohttp from 3.8 (Debian 12's) on.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import socket

from aiohttp import web

GRACE = 5.0  # seconds a stop leaves on top of the longest delay


def parse_delay(values: list[str], max_delay: float) -> float:
    """Return the delay in seconds, from 0 to max_delay; ValueError says what is wrong with it."""
    if len(values) != 1:
        raise ValueError(f"delay was given {len(values)} times")
    text = values[0]
    try:
        # float() also reads 1_000, which is Python's notation and nobody else's.
        delay = float(text.replace("_", "?"))
    except ValueError:
        raise ValueError(f"delay is not a number: {text!r}") from None
    if not math.isfinite(delay) or delay < 0:
        raise ValueError(f"delay is not a number of seconds from 0 up: {text!r}")
    if delay > max_delay:
        raise ValueError(f"delay is above this API's limit: {text!r}")
    return delay


def create_app(max_delay: float) -> web.Application:
    """Return the application; it refuses delays above max_delay seconds."""

    async def wait(request: web.Request) -> web.Response:
        try:
            delay = parse_delay(request.query.getall("delay", ["1"]), max_delay)
        except ValueError as error:
            valid = f"delay=SECONDS, a number from 0 to {max_delay:g}, given once"
            return web.json_response({"error": str(error), "valid": valid}, status=400)
        await asyncio.sleep(delay)
        return web.json_response({"delay": delay})

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_get("/", wait)
    app.router.add_get("/healthz", healthz)
    return app


def seconds(text: str) -> float:
    """Return the option's value; argparse turns ValueError into "invalid seconds value"."""
    value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise ValueError(text)
    return value


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's options; exits with a message when one of them is wrong."""
    parser = argparse.ArgumentParser(description="An HTTP API that answers GET /?delay=SECONDS")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8081, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--descriptor",
        type=int,
        help="a listening socket it was given, instead of --host and --port",
    )
    parser.add_argument(
        "--max-delay",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="longest delay it accepts (%(default)s)",
    )
    parser.add_argument(
        "--backlog",
        type=int,
        default=4096,
        help="connections that may wait to be accepted (%(default)s; net.core.somaxconn caps it)",
    )
    return parser.parse_args(argv)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    options = parse_arguments()
    if options.descriptor is None:
        where = {"host": options.host, "port": options.port}
    else:
        where = {"sock": socket.socket(fileno=options.descriptor)}
    web.run_app(
        create_app(options.max_delay),
        **where,
        backlog=options.backlog,
        access_log=None,
        # On a stop aiohttp waits this long for each request it is working on; it returns as
        # soon as the last one is answered.
        shutdown_timeout=options.max_delay + GRACE,
    )


if __name__ == "__main__":
    main()
