"""The document built from a cell and the engine's output."""

from pathlib import Path

import pytest

from bench.result import build_result, check_result

DATA = Path(__file__).parent / "data"
CELL = {
    "engine": "h2load",
    "workload": "closed_c5",
    "server": "gunicorn_gevent",
    "command": "h2load --h1 -t1 -c 5 -n 20 URL",
    "url": "http://127.0.0.1/?delay=0.1",
    "requests": 20,
    "concurrency": 5,
    "delay": 0.1,
}


def build(case, **change):
    stdout, log = ((DATA / f"h2load_{case}.{end}").read_text() for end in ("txt", "log"))
    return build_result(CELL | change, stdout, log)


def test_a_result_is_whole_by_its_own_check():
    check_result(build("ok"))
    check_result(build("refused"))
    check_result(build("hung"))


def test_answers_with_an_error_are_no_throughput():
    doc = build("503")
    assert doc["requests_per_second"] == pytest.approx(15 / doc["seconds"])
    assert doc["counts"]["failed"] == 5
    assert doc["flags"] == ["5 of 20 failed: 5 x 503"]


def test_percent_is_of_the_ceiling_that_the_slots_allow():
    free, held = build("ok"), build("ok", slots=4)
    assert free["ceiling"]["requests_per_second"] == pytest.approx(50)
    assert held["ceiling"]["requests_per_second"] == pytest.approx(40)
    assert held["ceiling"]["percent"] == pytest.approx(100 * held["requests_per_second"] / 40)


def test_a_killed_run_has_counts_but_no_rate():
    doc = build("hung")
    assert (doc["counts"]["succeeded"], doc["counts"]["failed"]) == (14, 6)
    assert (doc["requests_per_second"], doc["ceiling"]["percent"]) == (None, None)


def test_a_run_that_was_ended_says_when():
    assert "after 3 s (benchmark_limit)" in build("hung", limit=3)["flags"][-1]
    assert build("ok", limit=3)["flags"] == []


def test_faster_than_the_ceiling_is_flagged():
    assert build("ok")["flags"] == []
    assert "faster than its ceiling" in build("ok", delay=1.0)["flags"][0]


def test_without_a_delay_there_is_no_ceiling():
    assert build("ok", delay=0)["ceiling"] == {"requests_per_second": None, "percent": None}


def test_nothing_answered_is_a_rate_of_nought():
    doc = build("refused")
    assert (doc["requests_per_second"], doc["ceiling"]["percent"]) == (0, 0)
    assert doc["flags"] == ["20 of 20 failed: errored 20, not_started 20"]
