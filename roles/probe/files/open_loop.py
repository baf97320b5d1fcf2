"""Asks a site at a constant rate until a file is removed: the program of action site_probed, which documents it.

Its only argument is JSON: url, host, rate, limit, timeout, directory. It prints, as JSON, what was wrong with
its first answer, an empty string if nothing; and if nothing was, asks while DIRECTORY/going exists, and
writes DIRECTORY/found: {sent, slowest, failures}.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit


def ask(url: str, host: str, timeout: float) -> str:
    """Ask once; return what was wrong with the answer, or an empty string."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        import ssl  # takes as long as all the rest

        # The site is asked by its address, which no certificate names.
        unverified = ssl._create_unverified_context()  # noqa: S323
        link: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=timeout, context=unverified
        )
    else:
        link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    headers = {"Connection": "close", **({"Host": host} if host else {})}
    try:
        link.request(
            "GET", url[url.index(parts.netloc) + len(parts.netloc) :] or "/", headers=headers
        )
        answer = link.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        link.close()
    return "" if 200 <= answer.status < 300 else f"status {answer.status}"


class Probe:
    """Requests on their way, and what became of the others."""

    def __init__(self, url: str, host: str, timeout: float) -> None:
        self.url, self.host, self.timeout = url, host, timeout
        self.sent, self.slowest = 0, 0.0
        self.failures: list[str] = []
        self.lock = threading.Lock()

    def one(self, due: float) -> None:
        """Ask once, for a request due at a monotonic time."""
        wrong = ask(self.url, self.host, self.timeout)
        took = time.monotonic() - due
        with self.lock:
            self.slowest = max(self.slowest, took)
            if wrong:
                self.failures.append(f"after {took:.2f} s: {wrong}")

    def run(self, rate: float, going: Path, limit: float) -> None:
        """Send requests while there is the file, `limit` seconds at most; return when all have been answered."""
        threads, began = [], time.monotonic()
        while going.exists() and time.monotonic() < began + limit:
            due = began + self.sent / rate
            time.sleep(max(due - time.monotonic(), 0))
            self.sent += 1
            threads.append(threading.Thread(target=self.one, args=(due,)))
            threads[-1].start()
        for thread in threads:
            thread.join()


def main() -> None:
    """Run the program."""
    told = json.loads(sys.argv[1])
    site = told["url"], told["host"], told["timeout"]
    wrong = ask(*site)
    print(json.dumps(wrong), flush=True)
    if wrong:
        return
    directory, probe = Path(told["directory"]), Probe(*site)
    probe.run(told["rate"], directory / "going", told["limit"])
    found = {"sent": probe.sent, "slowest": probe.slowest, "failures": probe.failures}
    (directory / "finding").write_text(json.dumps(found), encoding="utf-8")
    (directory / "finding").replace(directory / "found")  # whole, for somebody waits for it


if __name__ == "__main__":
    main()
