"""Real outputs of h2load 1.52 and ab 2.3, 20 requests over 5 connections, delay 0.1 s."""

from pathlib import Path

import pytest

from bench import ab, h2load
from bench.errors import BadInput

DATA = Path(__file__).parent / "data"
SIZE = {"requests": 20, "concurrency": 5, "delay": 0.1}


def text(name):
    return (DATA / name).read_text()


def run_h2load(case):
    return h2load.measure(text(f"h2load_{case}.txt"), text(f"h2load_{case}.log"), **SIZE)


def run_ab(case, log=True):
    return ab.measure(text(f"ab_{case}.txt"), text(f"ab_{case}.tsv") if log else None, **SIZE)


@pytest.mark.parametrize(
    ("case", "succeeded"),
    [("ok", 20), ("503", 15), ("302", 15), ("dropped", 11), ("cut", 10), ("refused", 0)],
)
def test_h2load_succeeded_are_the_2xx_answers(case, succeeded):
    run = run_h2load(case)
    assert run.succeeded == succeeded
    assert run.latency["samples"] == succeeded
    assert run.flags == []


def test_h2load_times_come_from_the_log():
    run = run_h2load("ok")
    rows = [[int(n) for n in line.split("\t")] for line in text("h2load_ok.log").splitlines()]
    start, end = min(row[0] for row in rows), max(row[0] + row[2] for row in rows)
    assert run.seconds == (end - start) / 1e6
    assert run.latency["max"] == max(row[2] for row in rows) / 1e6
    assert 0.4 <= run.seconds <= run.engine_seconds + 0.005


def test_h2load_tells_what_was_never_sent():
    detail = run_h2load("dropped").detail
    assert detail == {"status": {"200": 11}, "errored": 9, "timeout": 0, "not_started": 6}


@pytest.mark.parametrize("case", ["refused", "dropped", "cut"])
def test_h2load_time_of_a_run_with_requests_unanswered_is_its_own(case):
    run = run_h2load(case)
    assert run.seconds == run.engine_seconds > 0


@pytest.mark.parametrize("keep", [slice(0, 15), slice(0, 0)])
def test_h2load_log_with_rows_missing_is_flagged_and_not_used(keep):
    log = "\n".join(text("h2load_ok.log").splitlines()[keep])
    run = h2load.measure(text("h2load_ok.txt"), log, **SIZE)
    assert len(run.flags) == 1
    assert "h2load counted 20" in run.flags[0]
    assert run.seconds == run.engine_seconds
    assert run.latency["max"] is None


def test_h2load_log_appended_to_an_older_one_is_flagged_and_not_used():
    log = text("h2load_503.log") + text("h2load_ok.log")
    run = h2load.measure(text("h2load_ok.txt"), log, **SIZE)
    assert "the log has 40 answers" in run.flags[0]
    assert (run.succeeded, run.seconds) == (20, run.engine_seconds)
    assert run.latency["samples"] == 0


def test_h2load_killed_before_its_report_is_counted_from_the_log():
    run = run_h2load("hung")
    assert run.succeeded == 14
    assert run.seconds is None  # how long it would have waited nobody knows
    assert "no report" in run.flags[0]


def test_h2load_waiting_for_what_never_came_is_flagged():
    stdout = text("h2load_503.txt").replace("finished in ", "finished in 30.00s, really ")
    run = h2load.measure(stdout, text("h2load_503.log"), **SIZE)
    assert "h2load ran 30.00 s" in run.flags[0]


@pytest.mark.parametrize("line", ["1\t200", "1\t200\tx", "half a li", "1 200 3"])
def test_h2load_log_line_that_is_no_row_is_named(line):
    with pytest.raises(BadInput, match="line 2 "):
        h2load.parse_log("1\t200\t3\n" + line)


def test_h2load_may_open_its_connections_one_after_another():
    plan = "5 total client(s). 20 total requests"
    ramp = "5 total client(s). Up to 2 client(s) will be created every 10ms 20 total requests"
    assert plan in text("h2load_ok.txt")
    stdout = text("h2load_ok.txt").replace(plan, ramp)  # as -r 2 --rate-period=10ms says it
    assert h2load.measure(stdout, text("h2load_ok.log"), **SIZE) == run_h2load("ok")


def test_h2load_log_says_how_late_each_request_was():
    rows = ["1000000\t200\t50\tlate=300\n", "1000010\t-1\t70\tlate=0\n"]
    assert h2load.parse_log("".join(rows)) == [(999700, 200, 350), (1000010, -1, 70)]
    with pytest.raises(BadInput, match="line 1 is no row"):
        h2load.parse_log(rows[0].replace("300", "much"))


def test_h2load_log_may_grow_columns_and_failed_streams():
    assert h2load.parse_log("1\t-1\t3\tnew\n") == [(1, -1, 3)]


@pytest.mark.parametrize(
    ("case", "succeeded"),
    [
        ("ok", 20),
        ("503", 15),
        ("503_other_length", 15),
        ("reset", 15),
        ("dropped", 15),
        ("refused", 0),
        ("changed_length", 20),
    ],
)
def test_ab_succeeded_with_the_g_file(case, succeeded):
    assert run_ab(case).succeeded == succeeded


@pytest.mark.parametrize(
    ("case", "at_least"),
    [("ok", 20), ("503", 15), ("503_other_length", 10), ("dropped", 15), ("refused", 0)],
)
def test_ab_without_the_g_file_never_counts_too_many_successes(case, at_least):
    run = run_ab(case, log=False)
    assert run.succeeded == at_least
    assert bool(run.flags) == (run.succeeded < 20)


def test_ab_keeps_its_breakdown_of_failures():
    assert run_ab("reset").detail == {
        "connect": 0,
        "receive": 5,
        "length": 14,
        "exceptions": 5,
        "non_2xx": 0,
        "no_answer": 5,
    }


@pytest.mark.parametrize("case", ["changed_length", "cut"])
def test_ab_other_lengths_alone_are_a_flag_and_no_failure(case):
    run = run_ab(case)
    assert run.succeeded == 20
    assert "other lengths" in run.flags[0]


def test_ab_times_come_from_the_g_file():
    run = run_ab("ok")
    totals = [int(line.split("\t")[4]) for line in text("ab_ok.tsv").splitlines()[1:]]
    assert run.latency["max"] == max(totals) / 1e3
    assert run.latency["samples"] == 20
    assert run.seconds == pytest.approx(0.5, abs=0.05)


def test_ab_times_come_from_its_table_without_the_g_file():
    latency = run_ab("ok", log=False).latency
    assert latency["p50"] == pytest.approx(0.102, abs=0.002)
    assert latency["p99"] is None  # 20 requests are too few
    assert latency["max"] >= latency["p50"]
    assert set(latency) == set(run_ab("ok").latency)


def test_ab_gives_up_on_one_timeout_and_nothing_counts():
    run = ab.measure(text("ab_gave_up.txt"), None, **SIZE)
    assert (run.succeeded, run.seconds, run.detail) == (0, None, {"completed": 18})
    assert "gave up after 18 of 20" in run.flags[0]


def test_ab_g_file_of_another_run_is_flagged_and_not_used():
    shorter = "\n".join(text("ab_ok.tsv").splitlines()[:-1])
    run = ab.measure(text("ab_ok.txt"), shorter, **SIZE)
    assert "does not match" in run.flags[0]
    assert "table" in run.latency["source"]


@pytest.mark.parametrize("log", ["", "no header\n", "1\t200\t3\n"])
def test_ab_file_that_is_no_g_file_is_refused(log):
    with pytest.raises(BadInput, match="not a whole file"):
        ab.measure(text("ab_ok.txt"), log, **SIZE)


@pytest.mark.parametrize(("engine", "other"), [(h2load, "ab_ok.txt"), (ab, "h2load_ok.txt")])
def test_output_of_the_other_engine_is_refused(engine, other):
    with pytest.raises(BadInput, match="not the output of"):
        engine.measure(text(other), "", **SIZE)


@pytest.mark.parametrize(("engine", "name"), [(h2load, "h2load_ok.txt"), (ab, "ab_ok.txt")])
@pytest.mark.parametrize("change", [{"requests": 21}, {"concurrency": 4}])
def test_output_of_another_cell_is_refused(engine, name, change):
    with pytest.raises(BadInput, match=r"the cell says"):
        engine.measure(text(name), "", **(SIZE | change))


def test_h2load_report_without_its_log_is_refused():
    with pytest.raises(BadInput, match="no --log"):
        h2load.measure(text("h2load_ok.txt"), None, **SIZE)
