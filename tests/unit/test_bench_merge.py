"""A load that several hosts share: divided without losing any of it, and put together again."""

from __future__ import annotations

from fractions import Fraction

import pytest
from bench_hosts import script

from bench import h2load
from bench.errors import BadInput
from bench.merge import merged, share
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


@pytest.mark.parametrize("parts", [[], [ONE, ("This is ApacheBench", "")], [ONE, ("", "")]])
def test_what_is_not_h2loads_is_refused(parts):
    with pytest.raises(BadInput, match="ran no h2load"):
        merged(parts)


def test_a_row_that_is_none_is_found_where_rows_are_read():
    with pytest.raises(BadInput, match="no row"):
        h2load.measure(*merged([ONE, (OTHER[0], "what\n")]), 1500, 150, 0.5)


def shares(load, hosts):
    return [share(load, hosts, number) for number in range(hosts)]


@pytest.mark.parametrize("hosts", [1, 2, 3, 7, 200])
@pytest.mark.parametrize("requests", [200, 1999, 2000, 2133])
def test_nothing_of_a_closed_load_is_lost(hosts, requests):
    parts = shares(CLOSED | {"requests": requests}, hosts)
    assert sum(part["requests"] for part in parts) == requests
    clients = [part["concurrency"] for part in parts]
    assert sum(clients) == 200
    assert max(clients) - min(clients) <= 1
    for (
        part
    ) in parts:  # each client has as many requests as it had, or is one of those with one more
        least, most = (
            part["concurrency"] * each for each in (requests // 200, -(-requests // 200))
        )
        assert least <= part["requests"] <= most
        assert (part["name"], part["kind"]) == ("c200", "closed")


def test_a_ramp_is_shared_too():
    load = CLOSED | {"requests": 30_000, "concurrency": 10_000, "ramp": 1000}
    assert [part["ramp"] for part in shares(load, 3)] == [400, 300, 300]
    with pytest.raises(BadInput, match="ramp"):
        share(load | {"ramp": 100}, 2, 0)
    assert "ramp" not in share(CLOSED, 2, 0)


@pytest.mark.parametrize(
    ("rate", "hosts", "expected"),
    [
        (100, 2, [50, 50]),
        (100, 3, [40, 30, 30]),
        (150, 4, [37.5] * 4),
        (250, 2, [125, 125]),
        (75, 3, [25, 25, 25]),
        (20, 2, [10, 10]),
    ],
)
def test_a_rate_is_divided_into_rates_that_are_kept(rate, hosts, expected):
    parts = shares(OPEN | {"rate": rate}, hosts)
    assert [part["rate"] for part in parts] == expected
    for part in parts:
        script("load").pace(part["rate"])
        assert (part["rate"] * part["seconds"]) % 1 == 0


def test_every_rate_is_divided_whole_into_what_the_load_host_takes_or_refused():
    pace, refused = script("load").pace, []
    for rate in (*range(10, 400, 10), 25, 75, 125, 375):
        for hosts in (2, 3, 4):
            try:
                parts = shares(OPEN | {"rate": rate}, hosts)
            except BadInput:
                refused.append((rate, hosts))
                continue
            assert sum(Fraction(str(part["rate"])) for part in parts) == rate
            for part in parts:
                pace(part["rate"])
    assert refused == [
        *((10, 2), (10, 3), (10, 4), (20, 3), (20, 4), (30, 4)),
        *((25, 3), (25, 4), (75, 4)),
    ]


@pytest.mark.parametrize(
    ("load", "hosts", "number", "why"),
    [
        (OPEN | {"rate": 10}, 2, 0, "its rate is 10"),
        (OPEN | {"rate": 125, "seconds": 0.1}, 2, 0, "rate is 125"),
        (CLOSED | {"concurrency": 1}, 2, 0, "1 clients"),
        (CLOSED | {"engine": "ab"}, 2, 0, "ab"),
        ({"name": "most", "kind": "search", "from": 50, "to": 400}, 2, 0, "search"),
        (CLOSED, 2, 2, "no load host 2 of 2"),
    ],
)
def test_what_cannot_be_divided_is_refused(load, hosts, number, why):
    with pytest.raises(BadInput, match=why):
        share(load, hosts, number)


def test_one_host_does_all_of_it():
    load = {"kind": "search", "engine": "h2load", "from": 50, "to": 400}
    assert share(load, 1, 0) == load
