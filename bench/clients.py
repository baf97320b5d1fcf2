"""Clients that ask a site all the time while something is changed under them."""

from __future__ import annotations

import http.client
import threading
import time
from types import TracebackType

from bench.errors import BadInput


class Clients:
    """Some that keep their connections, and as many that open one for each request.

    A context: they ask from its begin, when each has had an answer, to its end. Afterwards, `sent` is how
    many requests there were, `failures` a line for each that was not answered 200, and `slowest` the
    seconds of the longest answer. Raises BadInput, having asked once, where the site does not answer 200:
    it may be somebody else's.
    """

    def __init__(self, address: str, path: str, each: int = 8) -> None:
        self.address, self.path = address, path
        self.sent, self.slowest = 0, 0.0
        self.failures: list[str] = []
        self._stop, self._lock = threading.Event(), threading.Lock()
        kinds: list[dict[str, str]] = [{}, {"Connection": "close"}]
        self._threads = [
            threading.Thread(target=self._ask, args=(headers,), daemon=True)
            for headers in kinds * each
        ]

    def __enter__(self) -> Clients:
        said = self._once(
            http.client.HTTPConnection(self.address, timeout=60), {"Connection": "close"}
        )
        if said:
            raise BadInput(
                f"http://{self.address}{self.path} is not answered with 200, but: {said}",
                "the address of a site that is deployed and answers",
                f"curl -v 'http://{self.address}{self.path}'",
            )
        for thread in self._threads:
            thread.start()
        while self.sent < len(self._threads) and not self.failures:
            time.sleep(0.05)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, headers: dict[str, str]) -> None:
        link = http.client.HTTPConnection(self.address, timeout=60)
        while not self._stop.is_set():
            began = time.monotonic()
            failure = self._once(link, headers)
            self._count(time.monotonic() - began, failure, headers)
            if failure:
                time.sleep(0.1)  # refused at once, it would ask thousands of times
        link.close()

    def _once(self, link: http.client.HTTPConnection, headers: dict[str, str]) -> str:
        """Ask once; return what was wrong with the answer, or an empty string."""
        try:
            link.request("GET", self.path, headers=headers)
            answer = link.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            link.close()
            return repr(error)
        if headers:  # not every server says that it closes the connection
            link.close()
        return "" if answer.status == 200 else f"{answer.status} {text[:200]!r}"

    def _count(self, took: float, failure: str, headers: dict[str, str]) -> None:
        with self._lock:
            self.sent += 1
            self.slowest = max(self.slowest, took)
            if failure:
                kept = "on a new connection" if headers else "on a connection kept open"
                self.failures.append(f"after {took:.2f} s {kept}: {failure}")
