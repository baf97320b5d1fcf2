"""Whether what is measured is true: servers and generators whose faults are known beforehand.

Real h2load on loopback, run by the script that load hosts run, and made results of.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench_hosts import ANSWER, OneByOne, finished, needs, put, script, start_load

from bench import h2load
from bench.merge import merged
from bench.record import GENERATOR
from bench.result import build_result

load = script("load/lateness.py")
STALL = 2.0


@pytest.fixture(autouse=True)
def _installed() -> None:
    needs("h2load", "nghttp2-client")


def an_open(rate, seconds, url):
    spec = {"kind": "open", "engine": "h2load", "rate": rate, "seconds": seconds}
    return {**spec, "url": url, "limit": 60}


def result(spec, used, stdout, log, **more):
    """Return the whole result, as it is recorded."""
    requests = spec.get("requests") or spec["rate"] * spec["seconds"]
    cell = {
        **{"workload": "truth", "server": "none", "delay": 0, "command": used["command"]},
        **{key: spec[key] for key in ("kind", "engine", "url")},
        **{"requests": requests, "concurrency": spec.get("concurrency") or requests},
        **{key: spec[key] for key in ("rate", "seconds") if key in spec},
    }
    return build_result(cell | more, stdout, log, used["lag"])


# What was asked for again is counted of the whole machine, on which other tests lose connections: so it is given here.
def since_due(spec, outdir, resent=0):
    """Return the p99 of the wait since each request was due, as a search judges by it."""
    return load.judged(*load.told(outdir), spec, spec["rate"], resent)[1]


def lag_of(spec, outdir, resent=0):
    """Return how late requests were started, as it is recorded."""
    return load.judged(*load.told(outdir), spec, spec["rate"], resent)[2]


def test_a_stall_shows_in_the_tail_of_an_open_load(tmp_path):
    """1200 requests, 4 each 10 ms. Those that come while the server stands still wait for its end.

    12 wait longer than the p99: three bursts. So it is of the fourth, which came 30 ms after the first.
    """
    came = {}

    def behave(number):
        came[number] = time.monotonic()
        if number == 201:
            time.sleep(STALL)
        return ANSWER

    with OneByOne(behave) as server:
        spec = an_open(400, 3, server.url)
        used, stdout, log = put(spec, tmp_path)
    # Where others keep the server from its processor, those that waited are served later, one after the other.
    least, most = came[202] - came[201] - 0.03, came[250] - came[201]
    assert 0.95 * least < since_due(spec, tmp_path) < 1.05 * most
    doc = result(spec, used, stdout, log)
    assert doc["counts"]["failed"] == 0
    assert 0.95 * least < doc["latency"]["p99"] < 1.05 * most
    assert doc["latency"]["p50"] < STALL


def test_a_full_queue_shows_in_the_tail_of_an_open_load(tmp_path):
    """Some 100 of 1200 are not let in, and ask again after a second: their durations begin only then."""

    def behave(number):
        if number == 201:
            time.sleep(0.3)
        return ANSWER

    with OneByOne(behave, backlog=8) as server:
        spec = an_open(400, 3, server.url)
        used, stdout, log = put(spec, tmp_path)
    assert used["syn_resent"] > 12
    generators = [{key: used[key] for key in GENERATOR}]
    doc = result(spec, used, stdout, log, generators=generators)
    assert (doc["counts"]["failed"], doc["flags"]) == (0, [])
    assert doc["latency"]["p99"] > 1
    again = since_due(spec, tmp_path, used["syn_resent"])
    assert doc["latency"]["p99"] == pytest.approx(again, abs=0.001)
    assert doc["latency"]["p50"] < 0.3  # the others are not a second late
    durations = sorted(int(row.split("\t")[2]) for row in log.splitlines())
    assert durations[-12] < 600_000


def test_a_closed_load_hides_the_same_stall(tmp_path):
    """Which is why there are open loads: those that wait ask nothing meanwhile, so two were slow of 1200."""

    def behave(number):
        if number == 201:
            time.sleep(STALL)
        return ANSWER

    with OneByOne(behave) as server:
        spec = {"kind": "closed", "engine": "h2load", "requests": 1200, "concurrency": 2}
        spec["url"] = server.url
        doc = result(spec, *put(spec, tmp_path))
    assert doc["counts"]["failed"] == 0
    assert doc["latency"]["max"] >= STALL
    assert doc["latency"]["p99"] < STALL / 4


def test_dropped_connections_are_failed_requests_one_for_one(tmp_path):
    with OneByOne(lambda number: None if number % 20 == 0 else ANSWER) as server:
        spec = an_open(400, 1, server.url)
        used, stdout, log = put(spec, tmp_path)
    doc = result(spec, used, stdout, log)
    assert (server.seen, doc["counts"]["failed"]) == (400, 20)
    assert doc["counts"]["detail"]["status"] == {"200": 380}
    assert doc["lag"] is None  # which of the requests have no row is not known


def engine_of(pid: int) -> int:
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children and "h2load" in Path(f"/proc/{children[0]}/cmdline").read_text():
            return int(children[0])
        time.sleep(0.005)


def test_a_generator_that_was_not_let_run_is_told_by_its_lag(tmp_path):
    """It stands still for 1 s of 3: what is due then and after comes a second late, the server being idle."""
    asked = []
    with OneByOne(lambda _: asked.append(time.monotonic()) or ANSWER) as server:
        spec = an_open(100, 3, server.url)
        process = start_load(spec, tmp_path)
        engine = engine_of(process.pid)
        while server.seen < 180:
            time.sleep(0.005)
        os.kill(engine, signal.SIGSTOP)
        time.sleep(1)
        os.kill(engine, signal.SIGCONT)
        used, stdout, log = finished(process, tmp_path)
    # As the server saw it; a busy machine may let it stand still once more.
    late = max(at - asked[0] - number / 100 for number, at in enumerate(asked))
    assert late > 0.9
    lag = lag_of(spec, tmp_path)
    assert lag["p99"] == pytest.approx(late, rel=0.1)
    assert lag["p50"] < lag["p99"] / 2
    assert used["lag"] == lag_of(spec, tmp_path, used["syn_resent"])
    assert since_due(spec, tmp_path) == pytest.approx(late, rel=0.1)
    doc = result(spec, used, stdout, log, delay=1)
    assert doc["lag"] == used["lag"]
    assert "late" in doc["generator_limited"]
    # The durations alone tell nothing of it.
    assert sorted(int(row.split("\t")[2]) for row in log.splitlines())[-10] < 500_000
    assert sorted(took for _, _, took in h2load.parse_log(log))[-10] > 900_000


class Keeping(asyncio.Protocol):
    """Answers at once, on connections that are kept."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(
            ANSWER.replace(b"Connection: close\r\n", b"") * data.count(b"\r\n\r\n")
        )


@contextmanager
def keeping():
    """Serve in a thread; give the URL."""
    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(loop.create_server(Keeping, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}/"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        made.close()
        loop.run_until_complete(made.wait_closed())
        loop.close()


@contextmanager
def crowded(number):
    """Keep one processor busy with so many others; give the first of a command that runs there too."""
    on_it = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))]
    busy = [
        subprocess.Popen([*on_it, "sh", "-c", "while :; do :; done"], start_new_session=True)
        for _ in range(number)
    ]
    try:
        yield on_it
    finally:
        for one in busy:
            one.kill()
            one.wait()


def test_a_generator_that_others_keep_from_the_processor_is_told(tmp_path):
    """Also of a closed load, whose clients only ask later then: it looks as if the server were slow."""
    spec = {"kind": "closed", "engine": "h2load", "requests": 20000, "concurrency": 20}
    with keeping() as url, crowded(15) as on_it:
        used, stdout, log = finished(start_load(spec | {"url": url}, tmp_path, on_it), tmp_path)
    doc = result(
        spec | {"url": url}, used, stdout, log, generators=[{key: used[key] for key in GENERATOR}]
    )
    assert doc["counts"]["failed"] == 0
    assert "waited for a processor" in doc["generator_limited"]
    assert used["cpu_seconds"] / used["seconds"] < 0.5


@pytest.mark.parametrize(
    ("half", "requests", "concurrency"),
    [
        ({"kind": "closed", "requests": 52, "concurrency": 4}, 104, 8),
        ({"kind": "open", "rate": 100, "seconds": 0.4}, 80, 80),
    ],
    ids=["closed", "open"],
)
def test_two_generators_that_share_a_load_make_all_of_it(tmp_path, half, requests, concurrency):
    at = time.time() + 0.7
    outdirs = [tmp_path / "one", tmp_path / "other"]
    with OneByOne() as server:
        spec = {**half, "engine": "h2load", "url": server.url, "at": at}
        started = [start_load(spec, outdir) for outdir in outdirs]
        parts = [finished(*pair) for pair in zip(started, outdirs, strict=True)]
    stdout, log = merged([part[1:] for part in parts])
    size = {"requests": requests, "concurrency": concurrency}
    doc = result({**spec, **size}, parts[0][0], stdout, log)
    assert server.seen == requests
    assert (doc["counts"]["succeeded"], doc["counts"]["failed"]) == (requests, 0)
    assert doc["latency"]["samples"] == requests
    assert [flag for flag in doc["flags"] if "log" in flag] == []
    starts = [int(row.split("\t")[0]) / 1e6 for row in log.splitlines()]
    assert starts == sorted(starts)
    assert starts[0] >= at
    assert [used["began"] >= at for used, _, _ in parts] == [True, True]
    assert min(len(part[2].splitlines()) for part in parts) >= requests // 2 - 8
