"""Which cells and which rates stand in the table of a load, where a plan has several searches."""

import pytest
from bench_sessions import OPEN, SEARCH, Mode, about, tree, write

from bench.experiment import read_experiment
from bench.report import render
from bench.report.context import context

QUICK = {"delay": 0.1, "from": 50, "to": 400, "seconds": 1}
LOADS = [
    SEARCH | QUICK | {"name": "easy", "objective": 0.15},
    SEARCH | QUICK | {"name": "hard", "objective": 0.112, "path": "/other"},
    OPEN | {"name": "same", "rate": 100, "seconds": 10, "delay": 0.1},
    OPEN | {"name": "else", "rate": 120, "seconds": 10, "delay": 0.1, "path": "/else"},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    refused = Mode("refused", more={"loads": ["hard"]})
    modes = [Mode("one", 1.0), Mode("two", 0.6)]
    session = about([*modes, refused], LOADS, rounds=1, decides="hard")
    path = write(tmp_path_factory.mktemp("results") / "s", session, [*modes, refused], noise=0)
    for file in path.glob("*.refused.*"):
        file.unlink()
    (path / "refused.refused.json").write_text('{"cell": "refused", "round": 1, "why": "no"}')
    return read_experiment(path)


@pytest.fixture(scope="module")
def told(made):
    return context(made)


def test_each_search_shows_the_rate_that_it_found(made, told):
    (first, second), cells = made.loads[:2], ("one", "two")
    best = {
        load.name: [made.of(cell, load)[1].doc["best_rate"] for cell in cells]
        for load in (first, second)
    }
    assert best["easy"] != best["hard"]
    tables = {table.load.name: table for table in told["tables"]}
    for name, rates in best.items():
        rows = {row.cell.name: row.within for row in tables[name].rows}
        assert [rows[cell] for cell in cells] == rates
    # Beside the figure of the load that decides stands its own objective.
    (tile,) = (
        term.find("dd") for term in tree(render(made)[0]).iter("div") if _titled(term, "most")
    )
    assert tile.text.strip() == f"{max(best['hard'])}"
    assert tile.find("small").text == "p99 within 0.112 s"


def _titled(element, word):
    title = element.find("dt")
    return title is not None and title.text.startswith(word)


def test_each_search_is_a_picture_with_the_open_loads_of_its_path(told):
    shown = [
        (one["search"] and one["search"].name, one["objective"], _rings(one["opened"]))
        for one in told["rates"]
    ]
    assert shown == [("hard", 0.112, []), ("easy", 0.15, [100.0]), (None, None, [120.0])]


def _rings(opened):
    return sorted({rate for points in opened.values() for rate, _ in points})


def test_a_refused_cell_is_listed_under_the_loads_it_meets(told):
    listed = {
        table.load.name: [row.cell.name for row in table.rows if row.cell.name == "refused"]
        for table in told["tables"]
    }
    assert listed == {"hard": ["refused"], "easy": [], "same": [], "else": []}
    assert [table.missing for table in told["tables"]] == [[]] * 4
