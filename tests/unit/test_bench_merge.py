"""A load that several hosts share: put together again without losing any of it."""

from __future__ import annotations

import pytest

from bench import h2load
from bench.errors import BadInput
from bench.merge import merged
from bench.result import build_result

CLOSED = {
    "name": "c200",
    "kind": "closed",
    "engine": "h2load",
    "requests": 2000,
    "concurrency": 200,
}
OPEN = {"name": "r100", "kind": "open", "engine": "h2load", "rate": 100, "seconds": 20}


def report(clients, requests, started, good, bad, seconds, *, plan=""):
    done = good + bad
    lost, broken = requests - good, requests - done
    return f"""starting benchmark...
spawning thread #0: {clients} total client(s). {plan}{requests} total requests
Application protocol: http/1.1
progress: 100% done

finished in {seconds}, 199.80 req/s, 29.86KB/s
requests: {requests} total, {started} started, {done} done, {good} succeeded, {lost} failed, {broken} errored, 0 timeout
status codes: {good} 2xx, 0 3xx, 0 4xx, {bad} 5xx
traffic: 29.30KB (30000) total, 29.30KB (30000) headers, 400B (400) data
                     min         max         mean         sd        +/- sd
time for request:       70us       2.21s    219.04ms    655.83ms    89.66%
"""


def log(first, good, bad, took=500_000):
    statuses = [200] * good + [503] * bad
    return "".join(f"{first + 1000 * i}\t{code}\t{took}\n" for i, code in enumerate(statuses))


ONE = (report(100, 1000, 1000, 990, 8, "10.25s"), log(5_000_000, 990, 8))
OTHER = (report(50, 500, 499, 490, 9, "852.26ms"), log(5_000_500, 490, 9))


def test_one_part_stays_as_it_is_whatever_it_is():
    assert merged([("This is ApacheBench", "starttime\n")]) == (
        "This is ApacheBench",
        "starttime\n",
    )


def test_counts_are_added_up_and_the_longest_is_the_time():
    stdout, rows = merged([ONE, OTHER])
    found = h2load.measure(stdout, rows, 1500, 150, 0.5)
    assert found.succeeded == 1480
    assert found.detail == {
        "status": {"200": 1480, "503": 17},
        "errored": 3,
        "timeout": 0,
        "not_started": 1,
    }
    assert found.engine_seconds == 10.25
    assert found.latency["samples"] == 1480
    assert [flag for flag in found.flags if "log not used" in flag] == []
    assert "finished in 10.250000s, 146.05 req/s" in stdout
    assert "status codes: 1480 2xx, 0 3xx, 0 4xx, 17 5xx" in stdout
    assert "time for request" not in stdout


def test_a_whole_result_is_built_of_it():
    cell = {
        **{"engine": "h2load", "workload": "c150", "server": "none", "command": "h2load"},
        **{"url": "http://site/", "requests": 1500, "concurrency": 150, "delay": 0.5},
    }
    doc = build_result(cell, *merged([ONE, OTHER]))
    assert (doc["counts"]["succeeded"], doc["counts"]["failed"]) == (1480, 20)
    assert doc["seconds"] == 10.25


def test_rows_are_in_order_of_their_start():
    _, rows = merged([ONE, OTHER])
    starts = [row[0] for row in h2load.parse_log(rows)]
    assert starts[:3] == [5_000_000, 5_000_500, 5_001_000]
    assert starts == sorted(starts)
    assert len(starts) == 998 + 499


def test_open_loads_have_a_plan_each():
    every = "Up to 2 client(s) will be created every 20ms "
    parts = [(report(50, 50, 50, 50, 0, "1.05s", plan=every), log(at, 50, 0)) for at in (1, 2)]
    assert h2load.measure(*merged(parts), 100, 100, 0).succeeded == 100


def test_without_one_of_the_reports_the_counts_are_the_logs():
    killed = (OTHER[0].split("finished")[0], log(5_000_500, 100, 0))
    stdout, rows = merged([ONE, killed])
    found = h2load.measure(stdout, rows, 1500, 150, 0.5)
    assert (found.succeeded, found.engine_seconds) == (1090, None)
    assert "1 of them printed no report" in stdout


@pytest.mark.parametrize("last", [" started", "status codes", " 4xx"])
def test_a_report_that_was_cut_is_none(last):
    cut = (OTHER[0][: OTHER[0].index(last)], OTHER[1])
    stdout, rows = merged([ONE, cut])
    found = h2load.measure(stdout, rows, 1500, 150, 0.5)
    assert (found.succeeded, found.engine_seconds) == (1480, None)
    assert "1 of them printed no report" in stdout


@pytest.mark.parametrize("parts", [[], [ONE, ("This is ApacheBench", "")], [ONE, ("", "")]])
def test_what_is_not_h2loads_is_refused(parts):
    with pytest.raises(BadInput, match="ran no h2load"):
        merged(parts)


def test_a_row_that_is_none_is_found_where_rows_are_read():
    with pytest.raises(BadInput, match="no row"):
        h2load.measure(*merged([ONE, (OTHER[0], "what\n")]), 1500, 150, 0.5)
