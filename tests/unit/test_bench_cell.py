"""What a cell may hold, and the name its result gets."""

import json

import pytest

from bench.cell import cell_name, read_cell
from bench.errors import BadInput

CELL = {
    "engine": "ab",
    "workload": "tutorial",
    "server": "gunicorn_gevent",
    "command": "ab -r -n 2000 -c 200 URL",
    "url": "http://10.0.0.2/?delay=1",
    "requests": 2000,
    "concurrency": 200,
    "delay": 1,
}
OPTIONAL = {"slots": 400, "round": 2, "variant": "duplicate", "facts": {"cores": 2}}


@pytest.mark.parametrize("extra", [{}, OPTIONAL, dict.fromkeys(OPTIONAL)])
def test_a_good_cell_is_returned_as_it_is(tmp_path, extra):
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(CELL | extra))
    assert read_cell(path) == CELL | extra


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (json.dumps(CELL | {"engine": "wrk"}), '"engine" is "wrk"'),
        (json.dumps(CELL | {"engine": []}), '"engine" is \\[]'),
        (json.dumps(CELL | {"requests": "20"}), '"requests" is "20"'),
        (json.dumps(CELL | {"requests": True}), '"requests" is true'),
        (json.dumps(CELL | {"delay": -1}), '"delay" is -1'),
        (json.dumps(CELL | {"delay": float("nan")}), '"delay" is NaN'),
        (json.dumps(CELL | {"delay": float("inf")}), '"delay" is Infinity'),
        (json.dumps(CELL | {"workload": "../etc"}), '"workload" is "../etc"'),
        (json.dumps(CELL | {"server": "a.b"}), '"server" is "a.b"'),
        (json.dumps(CELL | {"facts": 1}), '"facts" is 1'),
        (json.dumps(CELL | {"app": [{"cpu_seconds": 1}]}), '"app" is '),
        (json.dumps(CELL | {"slot": 50}), "not part of a cell: slot"),
        (json.dumps(CELL | {"requests": 4}), "concurrency 200 is above requests 4"),
        ("[]", "not part of a cell: no object"),
        ("{}", '"engine" is missing'),
        ("{", "cannot read the cell"),
    ],
)
def test_a_bad_cell_is_refused_by_key(tmp_path, text, told):
    path = tmp_path / "cell.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=told):
        read_cell(path)


def test_a_cell_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot read the cell"):
        read_cell(tmp_path / "cell.json")


def test_the_name_tells_cells_of_a_session_apart():
    assert cell_name(CELL) == "01.gunicorn_gevent.tutorial.ab"
    assert cell_name(CELL | OPTIONAL) == "02.gunicorn_gevent.tutorial.ab.duplicate"
