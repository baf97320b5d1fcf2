"""A session's rounds, summed up."""

import pytest

from bench.summary import summary_table


def result(server="gunicorn_gevent", round=1, variant=None, percent=95.0, cpu=2.0, failed=0):
    cell = {
        **{"engine": "h2load", "workload": "c5", "server": server, "round": round},
        **{"variant": variant, "requests": 20, "concurrency": 5, "delay": 1},
        "app": [
            {"cpu_seconds": cpu * (20 - failed) / 1000, "memory_before": 1e6, "memory_peak": 1.2e6}
        ],
    }
    limit = {"requests_per_second": 5.0, "percent": percent}
    doc = {"cell": cell, "counts": {"failed": failed, "succeeded": 20 - failed}, "ceiling": limit}
    return "name", {**doc, "steady": {**limit, "percent": None}}


def rows(results, against=None):
    head, *lines = summary_table(results, against).splitlines()[:-1]
    return head.split(), [line.split("  ") for line in lines]


def cells(line):
    return [cell.strip() for cell in line if cell.strip()]


def test_a_cell_is_a_line_with_median_least_and_most_of_its_rounds():
    found = [result(round=n, percent=p, failed=n) for n, p in ((1, 97.0), (2, 91.0), (3, 96.0))]
    head, (line,) = rows(found)
    assert head == [
        "server",
        "workload",
        "engine",
        "rounds",
        "failed",
        "%ceiling",
        "%steady",
        "cpu",
        "memory",
    ]
    assert cells(line) == [
        *("gunicorn_gevent", "c5", "h2load", "3", "6"),
        *("96.0 (91.0 to 97.0)", "-", "2.00 (2.00 to 2.00)", "40 (40 to 40)"),
    ]


def test_what_was_measured_once_has_no_spread():
    _, (line,) = rows([result()])
    assert cells(line)[5:] == ["95.0", "-", "2.00", "40"]


def test_cells_of_a_plan_go_by_their_names():
    found = [result(), result()]
    for (_, doc), name in zip(found, ("requests", "urllib3"), strict=True):
        doc["cell"]["name"] = name
    _, lines = rows(found)
    assert [cells(line)[0] for line in lines] == ["requests", "urllib3"]


def test_cpu_is_compared_round_by_round_with_the_variant():
    pairs = [(1, 1.0, 2.0), (2, 3.0, 4.0)]
    found = [result(round=n, cpu=ours) for n, ours, _ in pairs]
    found += [result(round=n, cpu=theirs, variant="tutorial") for n, _, theirs in pairs]
    found += [result(round=3, cpu=9.0), result("uwsgi_sync")]
    head, lines = rows(found, "tutorial")
    assert head[-1] == "cpu/tutorial"
    assert [cells(line)[-1] for line in lines] == ["0.62 (0.50 to 0.75)", "-", "-"]
    assert cells(lines[1])[0] == "gunicorn_gevent/tutorial"


@pytest.mark.parametrize("app", [None, []])
def test_what_was_not_watched_is_not_known(app):
    name, doc = result()
    doc["cell"]["app"] = app
    _, (line,) = rows([(name, doc)], "tutorial")
    assert cells(line)[7:] == ["-", "-", "-"]
