"""The script that puts a load on a site, with the engines themselves and servers on loopback."""

from __future__ import annotations

import os
import signal
import socket
import time
from fractions import Fraction
from pathlib import Path

import pytest
from bench_hosts import ANSWER, OneByOne, asking, finished, needs, put, script, start_load

from bench import ab, h2load

load = script("load/spec.py")
CLOSED = {"kind": "closed", "engine": "h2load", "requests": 40, "concurrency": 4}
OPEN = {"kind": "open", "engine": "h2load", "rate": 100, "seconds": 0.3}
URL = {"url": "http://127.0.0.1:1/"}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (10, (1, 100)),
        (20, (1, 50)),
        (150, (3, 20)),
        (400, (4, 10)),
        (1000, (10, 10)),
        (37.5, (3, 80)),
    ],
)
def test_a_rate_is_a_whole_number_of_connections_each_few_milliseconds(rate, expected):
    assert load.pace(rate) == expected


def test_every_pace_is_exactly_its_rate_and_what_is_refused_has_none():
    for rate in range(1, 401):
        possible = any(rate * ms % 1000 == 0 for ms in range(1, 101))
        if possible:
            number, period = load.pace(rate)
            assert Fraction(number, period) * 1000 == rate
            assert 10 <= period <= 100
        else:
            with pytest.raises(load.Wrong):
                load.pace(rate)


@pytest.mark.parametrize(
    ("rate", "valid"),
    [(13, "10 or 20"), (3, "10"), (126, "125 or 130"), (374, "370 or 375"), (10.5, "10 or 20")],
)
def test_a_rate_that_is_refused_names_those_beside_it(rate, valid):
    with pytest.raises(load.Wrong) as why:
        load.pace(rate)
    assert f"next to it {valid}\n" in str(why.value)
    for told in map(int, valid.split(" or ")):
        load.pace(told)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": "none"}, "kind"),
        ({"engine": "wrk"}, "wrk"),
        ({"kind": "open", "engine": "ab"}, "ab makes no open load"),
        ({"url": None}, "url"),
        ({"requests": "40"}, "requests is '40'"),
        ({"requests": 3}, "fewer requests"),
        ({"ramp": 150}, "ramp"),
        ({"kind": "open", "rate": 13, "seconds": 1}, "rate of 13"),
        ({"kind": "open", "rate": 0, "seconds": 1}, "rate is 0"),
        ({"kind": "open", "rate": 10, "seconds": 0.25}, "whole"),
        ({"kind": "search", "from": 51, "to": 59, "seconds": 1, "objective": 1}, "multiple of 10"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused(change, named, monkeypatch):
    monkeypatch.setattr(load.shutil, "which", lambda engine: f"/usr/bin/{engine}")
    assert load.checked({**CLOSED, **URL})
    with pytest.raises(load.Wrong) as why:
        load.checked({**CLOSED, **URL, **change})
    assert named in str(why.value)


def test_an_engine_that_is_not_there_is_named_with_its_package(tmp_path):
    process = start_load({**CLOSED, **URL}, tmp_path / "out", PATH=str(tmp_path))
    _, complaints = process.communicate()
    assert process.returncode == 2
    assert complaints.splitlines()[0] == "error: h2load is not installed on this host"
    assert "apt-get install nghttp2-client" in complaints
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spec", "engine", "package"),
    [
        (CLOSED, "h2load", "nghttp2-client"),
        (CLOSED | {"engine": "ab", "concurrency": 1}, "ab", "apache2-utils"),
        (OPEN, "h2load", "nghttp2-client"),
    ],
    ids=["closed", "ab", "open"],
)
def test_the_requests_carry_the_names_they_are_given(tmp_path, spec, engine, package):
    needs(engine, package)
    with OneByOne() as server:
        named = {"agent": "greenrack 1", "host": "site.example", "url": server.url}
        used, *_ = put({**spec, **named}, tmp_path)
    assert server.seen >= 4
    for head in server.heads:
        assert head.count("user-agent: greenrack 1") == 1
        assert [line for line in head if line.startswith("host:")] == ["host: site.example"]
    assert used["command"].startswith(f"{engine} ")
    assert "'User-Agent: greenrack 1'" in used["command"]


def test_what_a_closed_load_leaves_is_a_whole_run_and_a_second_one_replaces_it(tmp_path):
    needs()
    answer = ANSWER.replace(b"Connection: close\r\n", b"")
    with OneByOne(lambda _: answer) as server:
        spec = {**CLOSED, "requests": 6, "concurrency": 6, "ramp": 100, "url": server.url}
        for _ in range(2):
            used, stdout, log = put(spec, tmp_path)
    found = h2load.measure(stdout, log, 6, 6, 0)
    assert (found.succeeded, found.flags) == (6, [])
    assert used.keys() == {
        *("host", "command", "began", "seconds", "cpu_seconds", "busy", "syn_resent", "ended"),
        *("lag", "rates", "best_rate", "run_delay_seconds"),
    }
    assert (used["host"], used["ended"], used["lag"]) == (socket.gethostname(), None, None)
    assert 0 < used["cpu_seconds"] <= used["seconds"]
    assert 0 <= used["busy"] <= 1
    assert used["began"] + used["seconds"] <= time.time()
    assert " -c 6 -r 1 --rate-period=10ms -n 6 " in used["command"]


def test_ab_leaves_its_report_and_its_file(tmp_path):
    needs("ab", "apache2-utils")
    with OneByOne() as server:
        _, stdout, log = put({**CLOSED, "engine": "ab", "url": server.url}, tmp_path)
    found = ab.measure(stdout, log, 40, 4, 0)
    assert (found.succeeded, found.flags) == (40, [])


def test_an_open_load_sends_one_request_a_connection_at_its_rate(tmp_path):
    needs()
    with OneByOne() as server:
        used, stdout, log = put({**OPEN, "url": server.url}, tmp_path)
    found = h2load.measure(stdout, log, 30, 30, 0)
    assert (found.succeeded, server.seen) == (30, 30)
    assert all("connection: close" in head for head in server.heads)
    assert used["seconds"] >= 0.29
    assert used["lag"].keys() == {"p50", "p99", "max"}
    assert 0 <= used["lag"]["p50"] <= used["lag"]["p99"] <= used["lag"]["max"]


def test_a_load_begins_when_it_is_told(tmp_path):
    needs()
    at = time.time() + 0.7
    with OneByOne() as server:
        used, _, log = put({**OPEN, "url": server.url, "at": at}, tmp_path)
    assert used["began"] >= at
    assert min(int(row.split("\t")[0]) for row in log.splitlines()) / 1e6 >= at


def test_slow_connections_show_in_how_late_the_starts_were_not_in_the_durations(tmp_path):
    """The queue is full when they come: the kernel asks again after a second, for every one of them."""
    needs()
    server = OneByOne(backlog=0)
    with socket.create_connection(server.socket.getsockname()):
        process = start_load({**OPEN, "seconds": 0.1, "url": server.url}, tmp_path)
        while asking(server.socket.getsockname()[1]) < 10:
            time.sleep(0.01)
    server.socket.listen(100)
    with server:
        used, _, log = finished(process, tmp_path)
    rows = h2load.parse_log(log)
    assert len(rows) == 10
    assert max(int(row.split("\t")[2]) for row in log.splitlines()) < 500_000
    assert min(took for _, _, took in rows) > 800_000
    assert used["syn_resent"] >= 10
    assert used["lag"]["p50"] > 0.8


def test_a_load_that_takes_too_long_is_ended_and_what_it_has_is_kept(tmp_path):
    needs()
    with OneByOne(lambda number: ANSWER if number < 5 else time.sleep(1.2)) as server:
        used, stdout, log = put({**OPEN, "url": server.url, "limit": 1}, tmp_path)
    assert used["ended"] == "the engine was ended after 1 s"
    assert used["seconds"] >= 1
    assert used["lag"] is None
    assert len(log.splitlines()) == 4
    assert h2load.measure(stdout, log, 30, 30, 0).succeeded == 4


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_engine_too(tmp_path, number):
    needs()
    with OneByOne(lambda _: None) as server, socket.create_server(("127.0.0.1", 0)) as silent:
        server.url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        process = start_load({**CLOSED, "url": server.url}, tmp_path)
        silent.accept()  # by the engine, which now waits for its answer
        (engine,) = children(process.pid)
        assert os.getpgid(engine) == engine
        process.send_signal(number)
        assert process.wait() == 128 + number
        process.stderr.close()
    assert not Path(f"/proc/{engine}").exists()
    assert not (tmp_path / "used.json").exists()


def test_a_search_ends_at_the_highest_rate_that_is_served_well(tmp_path):
    """The 101st of a rate's requests is answered 3 s late, so 60/s hold (90 in 1.5 s), and 70/s (105) do not."""
    needs()
    number = 0

    def slow(_: int) -> bytes:
        nonlocal number
        waiting_for_calm = any("greenrack-idle" in line for line in server.heads[-1])
        number = 0 if waiting_for_calm else number + 1
        if number == 101:
            time.sleep(3)
        return ANSWER

    # Far from a busy machine's pauses, and from the second that another test's lost connection counts.
    spec = {"kind": "search", "engine": "h2load", "from": 15, "to": 110, "seconds": 1.5}
    with OneByOne(slow) as server:
        used, stdout, log = put({**spec, "objective": 2.5, "url": server.url}, tmp_path)
    assert used["best_rate"] == 60
    tried = [
        (rate["rate"], rate["held"], rate["p99"] <= 2.5, rate["failed"]) for rate in used["rates"]
    ]
    assert tried == [(60, True, True, 0), (90, False, False, 0), (70, False, False, 0)]
    assert h2load.measure(stdout, log, 90, 90, 0).succeeded == 90
    assert " -n 90 " in used["command"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "stdout", "used.json"]


def test_a_search_in_which_nothing_holds_keeps_the_lowest_rate(tmp_path):
    needs()
    spec = {"kind": "search", "engine": "h2load", "from": 20, "to": 40, "seconds": 0.5}
    with OneByOne(lambda _: ANSWER.replace(b"200 OK", b"503 No")) as server:
        used, _, log = put({**spec, "objective": 9, "url": server.url}, tmp_path)
    assert used["best_rate"] is None
    assert [(tried["rate"], tried["p99"], tried["held"]) for tried in used["rates"]] == [
        (30, None, False),
        (20, None, False),
    ]
    assert [tried["failed"] for tried in used["rates"]] == [15, 10]
    assert len(log.splitlines()) == 10
