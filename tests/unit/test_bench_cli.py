"""record, show and list: what is stored, what is refused, what is reported as damaged."""

import gzip
import json
import os
from pathlib import Path

import pytest
from bench_parts import USED, left

from bench.__main__ import main
from bench.record import GENERATOR

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
    "facts": {"cores": 2},
}
AB = {"engine": "ab", "command": "ab -r -n 20 -c 5 URL"}
NAME = "01.gunicorn_gevent.closed_c5.h2load"


@pytest.fixture
def session(tmp_path):
    return tmp_path / "results" / "20261123T060000Z"


def record(session, case="h2load_ok", log=".log", **change):
    cell = session.parent.parent / "cell.json"
    cell.write_text(json.dumps(CELL | change))
    stdout = (DATA / f"{case}.txt").read_bytes()
    rows = (DATA / f"{case}{log}").read_bytes() if log else b""
    part = left(session.parent.parent / "part", (CELL | change)["command"], stdout, rows)
    argv = ["record", "--session", session, "--cell", cell, "--part", part]
    return main([str(arg) for arg in argv])


def names(session):
    return sorted(path.name for path in session.iterdir()) if session.exists() else []


def test_record_stores_the_result_and_the_raw_log(session, capsys):
    assert record(session) == 0
    assert names(session) == [f"{NAME}.json", f"{NAME}.log.gz"]
    assert capsys.readouterr().out.startswith(str(session / f"{NAME}.json"))
    doc = json.loads((session / f"{NAME}.json").read_text())
    assert doc["schema"] == 3
    generator = {key: USED[key] for key in GENERATOR}
    assert doc["cell"] == CELL | {"generators": [generator]}
    assert doc["counts"]["succeeded"] == 20
    assert doc["ceiling"]["requests_per_second"] == pytest.approx(50)
    assert doc["requests_per_second"] == pytest.approx(20 / doc["seconds"])
    assert doc["ceiling"]["percent"] == pytest.approx(2 * doc["requests_per_second"])
    assert doc["stdout"] == (DATA / "h2load_ok.txt").read_text()
    raw = gzip.decompress((session / f"{NAME}.log.gz").read_bytes())
    assert raw == (DATA / "h2load_ok.log").read_bytes()


def test_nothing_is_overwritten(session, capsys):
    record(session)
    before = {name: (session / name).read_bytes() for name in names(session)}
    assert record(session, "h2load_503") == 2
    assert {name: (session / name).read_bytes() for name in names(session)} == before
    assert "never overwritten" in capsys.readouterr().err
    assert record(session, round=2) == 0
    assert record(session, variant="duplicate") == 0
    assert f"{NAME}.duplicate.json" in names(session)


def test_a_log_is_not_added_to_a_result_stored_without_one(session):
    record(session, "ab_gave_up", None, **AB)
    assert record(session, "ab_ok", ".tsv", **AB) == 2
    assert names(session) == ["01.gunicorn_gevent.closed_c5.ab.json"]


def test_a_log_left_by_an_interrupted_record_is_kept_and_reported(session, capsys):
    record(session, round=2)
    left = session / f"{NAME}.log.gz"
    left.write_bytes(b"left")
    assert record(session) == 2
    assert f"rm {left}" in capsys.readouterr().err
    assert left.read_bytes() == b"left"
    assert main(["show", str(session)]) == 1


@pytest.mark.parametrize(("step", "nth"), [("fsync", 1), ("link", 1), ("link", 2)])
def test_a_crash_at_any_step_leaves_nothing_behind(session, monkeypatch, capsys, step, nth):
    whole, calls = getattr(os, step), []

    def crash(*args):
        calls.append(args)
        if len(calls) == nth:
            raise OSError(28, "No space left on device")
        whole(*args)

    monkeypatch.setattr(os, step, crash)
    assert record(session) == 2
    assert names(session) == []
    assert "No space left" in capsys.readouterr().err


def test_bad_input_is_told_with_what_is_valid_and_what_to_type(session, capsys):
    assert record(session, engine="wrk") == 2
    assert record(session, "ab_ok", ".tsv") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == ["error", "valid", "type"] * 2
    assert names(session) == []


def test_show_prints_every_result_with_its_notes(session, capsys):
    record(session)
    record(session, "h2load_dropped", server="uwsgi_gevent")
    record(session, "ab_reset", ".tsv", **AB)
    record(session, "ab_gave_up", None, round=2, **AB)
    record(session, "h2load_ok", delay=0, workload="no_delay")
    capsys.readouterr()
    assert main(["show", str(session)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:3] == ["round", "server", "workload"]
    table = {(row[0], row[1], row[2], row[3]): row for row in rows if row[0] in ("01", "02")}
    assert len(table) == 5
    ok = table["01", "gunicorn_gevent", "closed_c5", "h2load"]
    assert (ok[4], ok[5], ok[8]) == ("20", "0", "50.0")
    assert (ok[10], ok[11][:3], ok[12]) == ("98.4", "0.1", "(1.02x)")
    assert table["01", "uwsgi_gevent", "closed_c5", "h2load"][5] == "9"
    assert table["01", "gunicorn_gevent", "closed_c5", "ab"][8] == "40.0"
    assert table["02", "gunicorn_gevent", "closed_c5", "ab"][5:8] == ["20", "-", "-"]
    assert table["01", "gunicorn_gevent", "no_delay", "h2load"][8:11] == ["-", "-", "-"]
    assert sum(row[0] == "note:" for row in rows) == 5  # dropped 1, reset 2, gave up 2


def edit(session, old, new):
    path = session / f"{NAME}.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def damage_json(session):
    edit(session, "\n}\n", "")


def damage_schema(session):
    edit(session, '"schema": 3', '"schema": 4')


def damage_shape(session):
    edit(session, '"p95": null', '"p95": "fast"')


def damage_use(session):
    edit(session, '"generators": [', '"app": [{"cpu_seconds": "much"}], "generators": [')


def damage_number(session):
    edit(session, '"p95": null', '"p95": NaN')


def damage_depth(session):
    (session / f"{NAME}.json").write_text("[" * 100_000)


def damage_place(session):
    edit(session, f'"{NAME}.log.gz"', f'"../{session.name}/{NAME}.log.gz"')


def damage_log(session):
    (session / f"{NAME}.log.gz").write_bytes(b"\x1f\x8b")


def damage_no_log(session):
    (session / f"{NAME}.log.gz").unlink()


def damage_tmp(session):
    (session / f"{NAME}.json").rename(session / f".{NAME}.json.0a1b.tmp")
    damage_no_log(session)


@pytest.mark.parametrize(
    "damage",
    [
        *(damage_json, damage_schema, damage_shape, damage_use, damage_number, damage_depth),
        *(damage_place, damage_log, damage_no_log, damage_tmp),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_shown(session, capsys, damage):
    record(session)
    record(session, server="uwsgi_gevent")
    damage(session)
    capsys.readouterr()
    for argv in (["show", str(session)], ["list", str(session.parent)]):
        assert main(argv) == 1
        out, err = capsys.readouterr()
        assert NAME in err
        assert "uwsgi_gevent" in out
        assert "gunicorn_gevent" not in out


@pytest.mark.parametrize("name", ["session.json", "uwsgi_gevent.refused.json"])
@pytest.mark.parametrize("command", ["show", "summary", "list"])
def test_what_is_no_result_is_looked_at_too(session, capsys, command, name):
    record(session)
    (session / name).write_text("{}")
    capsys.readouterr()
    assert main([command, str(session if command != "list" else session.parent)]) == 1
    assert f"{session / name}: " in capsys.readouterr().err


def test_a_result_that_is_there_twice_counts_once(session, capsys):
    record(session)
    doc = json.loads((session / f"{NAME}.json").read_text())
    doc["counts"] |= {"succeeded": 0, "failed": 20}
    (session / f"{NAME}.old.json").write_text(json.dumps(doc))
    assert record(session, variant="other") == 0  # is none of them
    capsys.readouterr()
    for command, failed in (("show", 5), ("summary", 4)):
        assert main([command, str(session)]) == 1
        out, err = capsys.readouterr()
        rows = [line.split() for line in out.splitlines() if "gunicorn_gevent" in line]
        assert sorted(row[failed] for row in rows) == ["0", "0"]
        assert f"{NAME}.old.json: the same cell, load and round as {NAME}" in err


def test_what_is_not_known_of_the_memory_is_not_told(session, capsys):
    use = {"cpu_seconds": 0.02, "memory_before": 10**7, "memory_peak": 10**7 + 25_000}
    record(session, app=[use])
    edit(session, '"memory_before": 10000000', '"memory_before": null')
    capsys.readouterr()
    for command in ("show", "summary"):
        assert main([command, str(session)]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if "closed_c5" in line)
        assert line.split()[-2:] == ["1.00", "-"]


def test_list_has_a_line_a_session(session, capsys):
    record(session)
    record(session.with_name("20261124T060000Z"), round=2)
    (session.with_name(".incoming")).mkdir()
    (session.with_name(".incoming") / "cell.json").write_text(json.dumps(CELL))
    capsys.readouterr()
    assert main(["list", str(session.parent)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [
        ["20261123T060000Z", "1", "0", "gunicorn_gevent"],
        ["20261124T060000Z", "1", "0", "gunicorn_gevent"],
    ]


@pytest.mark.parametrize("command", ["show", "list"])
def test_a_directory_without_results_is_told(tmp_path, capsys, command):
    assert main([command, str(tmp_path)]) == 2
    assert main([command, str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("  type:  python -m bench") == 2


def test_what_the_application_used_is_told_for_one_request(session, capsys):
    use = {"cpu_seconds": 0.02, "memory_before": 10**7, "memory_peak": 10**7 + 25_000}
    assert record(session, app=[use, use]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    assert line.split()[-2:] == ["2.00", "10"]  # ms of 20 requests, KB of 5 in flight
