"""Clients that come to a site at a steady rate while something is changed under them."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from bench.errors import BadInput

# Requests in flight; whoever comes then is late, and its time counts from when it was due. Whoever
# has not had its turn at the end has failed: to send it then would take many times as long.
MOST = 4000
TURN = 1.0  # seconds that those who came last are given to have theirs
# Seconds until a connection that is kept and not used is not used again; nginx keeps it for 75.
IDLE = 30


@dataclass(frozen=True)
class Answer:
    """What became of a request that was due at `due` (time.monotonic()), and took `seconds` from then.

    status: 0 where there was no answer. wrong: why it is not what was asked for, else empty.
    """

    due: float
    seconds: float
    status: int
    wrong: str


class Clients:
    """An open loop: every second request comes over a connection that was kept, the others over new ones.

    A context: they come from its begin, when the first has had an answer, to its end. `rate` is how many
    come a second, whatever becomes of those before. Afterwards, `answers` has what became of each, in the
    order in which that was known, and `failures` a line for each that was not answered 200. Without
    `keep` all come over new ones: nginx closes those that are kept when it is reloaded. Raises
    BadInput, having asked once, where the site does not answer 200: it may be somebody else's.
    """

    def __init__(self, address: str, path: str, rate: float = 40, keep: bool = True) -> None:
        self.address, self.path, self.rate, self.keep = address, path, rate, keep
        self.answers: list[Answer] = []
        self._begun = 0  # how many have had their turn
        self._ended = float("inf")  # who is due after that does not come
        self._kept: list[tuple[float, http.client.HTTPConnection]] = []
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._coming = threading.Thread(target=self._come, daemon=True)

    @property
    def sent(self) -> int:
        """Return how many requests there were."""
        return len(self.answers)

    @property
    def failures(self) -> list[str]:
        """Return what was wrong, and after how long, of each that failed."""
        return [f"after {one.seconds:.2f} s {one.wrong}" for one in self.answers if one.wrong]

    @property
    def slowest(self) -> float:
        """Return the seconds of the longest answer."""
        return max((one.seconds for one in self.answers), default=0.0)

    @property
    def median(self) -> float:
        """Return the seconds in which half of them were answered."""
        return statistics.median([one.seconds for one in self.answers] or [0.0])

    def __enter__(self) -> Clients:
        _, said = self._once(self._connection(), {"Connection": "close"})
        if said:
            raise BadInput(
                f"http://{self.address}{self.path} is not answered with 200, but: {said}",
                "the address of a site that is deployed and answers",
                f"curl -v 'http://{self.address}{self.path}'",
            )
        self._coming.start()
        while not self.sent and self._coming.is_alive():
            time.sleep(0.05)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = time.monotonic()
        self._stop.set()
        self._coming.join()
        for _, link in self._kept:
            link.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=60)

    def _come(self) -> None:
        began, come = time.monotonic(), 0
        pool = ThreadPoolExecutor(MOST)
        try:
            while (due := began + come / self.rate) <= self._ended:
                if self._stop.wait(max(0, due - time.monotonic())) and due > self._ended:
                    break
                asked = pool.submit(self._ask, due, self.keep and come % 2 == 1)
                asked.add_done_callback(partial(self._unsent, due))
                come += 1
        except RuntimeError as error:  # this machine has no more threads
            self.answers.append(Answer(time.monotonic(), 0.0, 0, f"could not be sent: {error}"))
        finally:
            end = time.monotonic() + TURN
            while self._begun < come and time.monotonic() < end:
                time.sleep(0.01)
            pool.shutdown(cancel_futures=True)

    def _unsent(self, due: float, asked: Future[None]) -> None:
        """Take down a request that never had its turn, as failed."""
        if asked.cancelled():
            why = f"it was never sent: {MOST} were in flight"
            with self._lock:
                self.answers.append(Answer(due, time.monotonic() - due, 0, why))

    def _ask(self, due: float, keep: bool) -> None:
        with self._lock:
            self._begun += 1
        link = self._take() if keep else self._connection()
        status, failure = self._once(link, {} if keep else {"Connection": "close"})
        took = time.monotonic() - due
        kept = "on a connection kept open" if keep else "on a new connection"
        with self._lock:
            self.answers.append(Answer(due, took, status, f"{kept}: {failure}" if failure else ""))
            if keep and not failure:
                self._kept.append((time.monotonic(), link))
        if failure or not keep:  # not every server says that it closes the connection
            link.close()

    def _take(self) -> http.client.HTTPConnection:
        """Return the connection that was not used for longest, or a new one."""
        with self._lock:
            while self._kept:
                since, link = self._kept.pop(0)
                if time.monotonic() - since < IDLE:
                    return link
                link.close()
        return self._connection()

    def _once(self, link: http.client.HTTPConnection, headers: dict[str, str]) -> tuple[int, str]:
        """Ask once; return the status, and what was wrong with the answer, or an empty string."""
        try:
            link.request("GET", self.path, headers=headers)
            answer = link.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        return answer.status, "" if answer.status == 200 else f"{answer.status} {text[:200]!r}"
