"""geventhttpclient's parser, which is written in C, over a pool of our own; for greenlets only.

Its own HTTPClient (2.6.1) makes requests wait when `concurrency` of them are under way, asks a
server that always closes `concurrency` + 2 times, and keeps no connection whose descriptor is
above 1023, as select() cannot watch those.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import gevent
from gevent import monkey, socket, ssl
from geventhttpclient import __version__
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse
from urllib3.util import parse_url

from demo.http_clients import base

# gevent's own goes through its event loop, which a look without waiting has no use for.
_poll = monkey.get_original("select", "poll")


class HttpClient:
    """See demo.http_clients.base.Client."""

    def __init__(self, url: str, pool_size: int, retry: bool = True) -> None:
        url, headers = base.split_auth(url)
        parts = parse_url(url)
        self._path = parts.path or ""
        headers = {
            "Host": parts.netloc,
            "User-Agent": f"python-geventhttpclient/{__version__}",
            "Accept-Encoding": "identity",
            **headers,
        }
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._pool = _Pool(parts.host.strip("[]"), parts.port, parts.scheme == "https", pool_size)
        self._retries = base.RETRIES if retry else 0

    def get(self, path: str, params: Mapping[str, Any], timeouts: base.Timeouts) -> base.Answer:
        """Return the answer to GET url + path, whatever its status; or raise NoAnswer."""
        target = f"{self._path}{path}" + (f"?{urlencode(params)}" if params else "")
        request = f"GET {target} HTTP/1.1\r\n{self._head}\r\n".encode("ascii")
        try:
            response = self._ask(request, timeouts)
            return base.Answer(response.status_code, response.read())
        except TimeoutError as error:
            raise base.NotInTime from error
        except (OSError, HTTPParseError) as error:
            raise base.NoAnswer from error

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.close()

    def _ask(self, request: bytes, timeouts: base.Timeouts) -> _Response:
        """Return the answer as soon as its headers are there."""
        tries = broken = 0
        while True:
            if tries > 1:
                gevent.sleep(base.BACKOFF)
            tries += 1
            try:
                sock = self._pool.get_socket(timeouts)
            except OSError as error:
                if tries > self._retries or isinstance(error, ssl.SSLError):
                    raise
                continue
            try:
                return self._exchange(sock, request)
            except TimeoutError:
                raise
            except (OSError, HTTPParseError):
                broken += 1
                if tries > self._retries or broken > base.READ_RETRIES:
                    raise

    def _exchange(self, sock: socket.socket, request: bytes) -> _Response:
        try:
            sock.sendall(request)
        except BaseException:
            sock.close()
            raise
        # From here on the connection is the response's, which gives it back to the pool.
        return _Response(sock, self._pool)


class _Response(HTTPSocketPoolResponse):
    """An answer whose interim ones, such as 103, leave the connection where it is.

    The library gives it back to the pool after them, and the next request gets in between.
    """

    def should_close(self) -> bool:
        return self.status_code < 200 or super().should_close()

    def _on_message_complete(self) -> None:
        if self.status_code < 200:
            self.message_complete = True
        else:
            super()._on_message_complete()


class _Pool:
    """Keeps up to size connections that nobody uses, and opens one when there is none."""

    def __init__(self, host: str, port: int | None, tls: bool, size: int) -> None:
        self._address = (host, port or (443 if tls else 80))
        self._context = ssl.create_default_context(cafile=base.AUTHORITIES) if tls else None
        # The last one used comes first, so that those left over from a rush grow old, and end.
        self._idle: deque[socket.socket] = deque()
        self._size = size

    def get_socket(self, timeouts: base.Timeouts) -> socket.socket:
        """Return a connection that is ready for a request; OSError when there is none."""
        while self._idle:
            sock = self._idle.pop()
            if _is_silent(sock):
                break
            sock.close()
        else:
            sock = self._connect(timeouts.connect)
        sock.settimeout(timeouts.read)
        return sock

    def return_socket(self, sock: socket.socket) -> None:
        """Take a connection back whose answer was read to its end; the response calls this."""
        if len(self._idle) < self._size:
            self._idle.append(sock)
        else:
            sock.close()

    def release_socket(self, sock: socket.socket) -> None:
        """Close a connection that cannot be used again; the response calls this."""
        sock.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def _connect(self, timeout: float) -> socket.socket:
        sock = socket.create_connection(self._address, timeout)
        if self._context is None:
            return sock
        try:
            return self._context.wrap_socket(sock, server_hostname=self._address[0])
        except BaseException:
            sock.close()
            raise


def _is_silent(sock: socket.socket) -> bool:
    """Tell whether an idle connection is still good: one that says something is closing."""
    poll = _poll()
    poll.register(sock.fileno(), select.POLLIN)
    return not poll.poll(0)
