"""What load hosts brought back becomes one result: shares, searches, and what was no fault of the server."""

import json
from pathlib import Path

import pytest
from bench_parts import left

from bench.errors import BadInput
from bench.h2load import SINCE_CONNECTED
from bench.record import record

DATA = Path(__file__).parent / "data"
CELL = {
    "engine": "h2load",
    "workload": "few",
    "server": "uwsgi_gevent",
    "command": "as used.json says",
    "url": "http://127.0.0.1/?delay=0.1",
    "requests": 20,
    "concurrency": 5,
    "delay": 0.1,
}


@pytest.fixture
def stored(tmp_path):
    def store(parts, **change):
        cell = tmp_path / "cell.json"
        cell.write_text(json.dumps(CELL | change))
        return record(tmp_path / "s", cell, parts)[2]

    return store


def part(folder, **used):
    rows = (DATA / "h2load_ok.log").read_bytes()
    return left(folder, "h2load URL", (DATA / "h2load_ok.txt").read_bytes(), rows, **used)


def opened(folder, rate, seconds, late="\tlate=0", **used):
    """Write what an open load leaves of which every request took 0.1 s since its connection stood."""
    requests = rate * seconds
    stdout = (
        (DATA / "h2load_ok.txt")
        .read_text()
        .replace("20 total requests", f"{requests} total requests")
    )
    stdout = stdout.replace("5 total client(s)", f"{requests} total client(s)")
    for word in ("total", "started", "done", "succeeded", "2xx"):
        stdout = stdout.replace(f"20 {word},", f"{requests} {word},")
    rows = "".join(
        f"{1_000_000 * number // rate}\t200\t100000{late}\n" for number in range(requests)
    )
    return left(folder, "h2load URL", stdout.encode(), rows.encode(), **used)


def test_the_engine_that_was_the_limit_is_named(tmp_path, stored):
    doc = stored([part(tmp_path / "load1", cpu_seconds=0.95)])
    assert "used 95% of a processor" in doc["generator_limited"]
    assert stored([part(tmp_path / "load1")], round=2)["generator_limited"] is None
    doc = stored([part(tmp_path / "load1", cpu_seconds=0.2, run_delay_seconds=0.3)], round=3)
    assert "waited for a processor 30% of the time" in doc["generator_limited"]


def test_requests_that_were_begun_late_are_no_fault_of_the_server(tmp_path, stored):
    lag = {"p50": 0.0, "p99": 0.06, "max": 0.4}
    doc = stored(
        [opened(tmp_path / "load1", 10, 2, lag=lag)],
        requests=20,
        concurrency=20,
        rate=10,
        kind="open",
    )
    assert "begun 0.06 s late" in doc["generator_limited"]
    assert doc["lag"] == lag
    assert doc["ceiling"]["requests_per_second"] == 10
    # Of a connection that nobody answered for a second, it is.
    late = opened(tmp_path / "load1", 10, 2, lag=lag, syn_resent=1)
    doc = stored([late], requests=20, concurrency=20, rate=10, kind="open", round=2)
    assert doc["generator_limited"] is None


def test_a_rate_that_came_within_a_bit_less_than_its_time_is_no_doubt(tmp_path, stored):
    """At 70/s, h2load opens seven connections each 100 ms: the last of 140 come after 1.9 s."""
    part = opened(tmp_path / "load1", 70, 2)
    rows = [f"{100_000 * (number // 7)}\t200\t1000\tlate=0\n" for number in range(140)]
    (part / "log").write_text("".join(rows))
    open_ = {"kind": "open", "rate": 70, "requests": 140, "concurrency": 140, "delay": 0}
    doc = stored([part], **open_)
    assert doc["ceiling"]["percent"] > 101
    assert not any("ceiling" in flag for flag in doc["flags"])


@pytest.mark.parametrize(
    ("others", "took", "told"),
    [("\tlate=20000", [0.4, 0.12], False), ("", [0.1, 0.1], True)],
    ids=["both", "one"],
)
def test_the_latency_of_an_open_load_is_since_it_was_due(tmp_path, stored, others, took, told):
    """Of all requests or of none: what one load host cannot tell is not mixed with what another can."""
    parts = [
        opened(tmp_path / "load1", 10, 2, "\tlate=300000"),
        opened(tmp_path / "load2", 10, 2, others),
    ]
    doc = stored(parts, requests=40, concurrency=40, rate=20, kind="open")
    assert [doc["latency"][key] for key in ("max", "min")] == took
    assert (SINCE_CONNECTED in doc["flags"]) is told


def test_a_static_answer_that_came_no_faster_is_the_limit(tmp_path, stored):
    assert (
        "static answer came 50 times"
        in stored([part(tmp_path / "a")], control=50)["generator_limited"]
    )
    assert stored([part(tmp_path / "a")], control=500, round=2)["generator_limited"] is None


def test_what_nginx_counted_otherwise_is_told(tmp_path, stored):
    doc = stored([part(tmp_path / "a")], served={"200": 19, "502": 1})
    differ = "the server's count of answers and h2load's differ: 200: 19 and 20; 502: 1 and 0"
    assert differ in doc["flags"]
    gone = {"200": 20, "499": 1}  # nobody was there to count that
    assert stored([part(tmp_path / "a")], served=gone, round=2)["flags"] == []


@pytest.mark.parametrize(
    ("served", "told"),
    [
        ({"200": 15, "502": 2, "503": 3}, ["502: 2 and 0; 503: 3 and 5"]),
        ({"200": 15, "503": 5}, []),
    ],
)
def test_errors_are_counted_by_status_too(tmp_path, stored, served, told):
    rows = (DATA / "h2load_ok.log").read_text().splitlines(keepends=True)
    rows[:5] = [row.replace("\t200\t", "\t503\t") for row in rows[:5]]
    stdout = (DATA / "h2load_ok.txt").read_text()
    stdout = stdout.replace("20 succeeded, 0 failed", "15 succeeded, 5 failed")
    mixed = left(tmp_path / "a", "h2load URL", stdout.encode(), "".join(rows).encode())
    flags = stored([mixed], served=served)["flags"]
    assert [flag.partition("differ: ")[2] for flag in flags if "differ: " in flag] == told


def test_hosts_that_shared_a_load_are_one_result(tmp_path, stored):
    lags = [{"p50": 0.0, "p99": 0.01, "max": 0.4}, {"p50": 0.1, "p99": 0.0, "max": 0.2}]
    parts = [part(tmp_path / f"load{n}", host=f"load{n}", lag=lags[n]) for n in (0, 1)]
    doc = stored(parts, requests=40, concurrency=10)
    assert doc["counts"]["succeeded"] == 40
    assert [used["host"] for used in doc["cell"]["generators"]] == ["load0", "load1"]
    assert doc["lag"] == {"p50": 0.1, "p99": 0.01, "max": 0.4}
    assert doc["latency"]["samples"] == 40


def test_load_hosts_that_did_not_begin_together_are_told(tmp_path, stored):
    parts = [part(tmp_path / "load1"), part(tmp_path / "load2")]
    rows = [line.split("\t", 1) for line in (parts[1] / "log").read_text().splitlines()]
    late = "".join(f"{int(start) + 3_000_000}\t{rest}\n" for start, rest in rows)
    (parts[1] / "log").write_text(late)
    (flag,) = stored(parts, requests=40, concurrency=10)["flags"]
    assert "did not begin together" in flag


def test_a_search_is_what_its_best_try_was(tmp_path, stored):
    rates = [
        {"rate": 30, "p99": 1.9, "failed": 0, "held": False},
        {"rate": 20, "p99": 0.1, "failed": 0, "held": True},
    ]
    search = {"kind": "search", "seconds": 2, "objective": 1.0, "requests": 1, "concurrency": 1}
    doc = stored([opened(tmp_path / "a", 20, 2, rates=rates, best_rate=20)], **search)
    assert (doc["best_rate"], doc["rates"], doc["counts"]["requests"]) == (20, rates, 40)
    assert doc["ceiling"] == {"requests_per_second": None, "percent": None}  # it found the limit
    none = [rates[0] | {"rate": 20}]
    doc = stored([opened(tmp_path / "a", 20, 2, rates=none, best_rate=None)], round=2, **search)
    assert (doc["best_rate"], doc["cell"]["rate"]) == (None, 20)


def test_a_search_that_the_generator_ended_says_nothing_of_the_server(tmp_path, stored):
    late = {"p50": 0.2, "p99": 0.9, "max": 1.0}
    tried = {"failed": 0, "p99": 1.9, "held": False, "lag": late, "share": 0.3, "syn_resent": 0}
    good = {"rate": 20, "p99": 0.1, "failed": 0, "held": True}
    search = {"kind": "search", "seconds": 2, "objective": 1.0, "requests": 1, "concurrency": 1}
    causes = {
        "at 30/s, 1 % of the requests": {"lag": late},
        "at 30/s, h2load on the load host used 95%": {"lag": None, "share": 0.95},
        "at 30/s, h2load on the load host waited for a processor 30%": {"lag": None, "waited": 0.3},
    }
    for number, (says, cause) in enumerate(causes.items(), 1):
        rates = [tried | {"rate": 30} | cause, good, tried | {"rate": 40}]
        part = opened(tmp_path / "a", 20, 2, rates=rates, best_rate=20)
        assert says in stored([part], round=number, **search)["generator_limited"]
    rates = [tried | {"rate": 30, "lag": None}, good, tried | {"rate": 40}]
    part = opened(tmp_path / "a", 20, 2, rates=rates, best_rate=20)
    assert stored([part], round=4, **search)["generator_limited"] is None
    ended = "the engine was ended after 600 s"
    for number, tried in enumerate((rates, [good]), 5):
        part = opened(tmp_path / "a", 20, 2, rates=tried, best_rate=20, ended=ended)
        doc = stored([part], round=number, **search)
        assert ended in doc["generator_limited"]
        assert not any("raise `to`" in flag for flag in doc["flags"])


def test_a_part_that_lacks_something_is_refused(tmp_path, stored):
    (part(tmp_path / "a") / "used.json").write_text("{}")
    with pytest.raises(BadInput, match=r"used.json"):
        stored([tmp_path / "a"])
    with pytest.raises(BadInput):
        stored([tmp_path / "nowhere"])
    assert not (tmp_path / "s").exists()
