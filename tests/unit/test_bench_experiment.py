"""A session read as an experiment: what is damaged is named, the rest is read, and logs are believed."""

import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from bench_sessions import edit, little, tree

from bench.__main__ import main
from bench.experiment import read_experiment
from bench.h2load import SINCE_CONNECTED
from bench.report import render
from bench.result import build_result


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return little(tmp_path_factory.mktemp("results") / "small")


@pytest.fixture
def session(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "results" / "small"))


def one(session, pattern="03.uwsgi_gevent.c5.*.json"):
    (path,) = session.glob(pattern)
    return path


@pytest.mark.parametrize("load", range(3), ids=["closed", "open", "search"])
def test_what_is_recomputed_from_raw_data_is_what_is_stored(made, load):
    experiment = read_experiment(made)
    assert experiment.damaged == []
    runs = [
        run
        for cell in experiment.cells
        for run in experiment.of(cell.name, experiment.loads[load]).values()
    ]
    assert len(runs) == 18
    for run in runs:
        stored = json.loads((made / f"{run.name}.json").read_text())
        assert run.doc == stored
        assert (run.raw is None) is (load == 2)  # a search's rates are no one load
        if load < 2:
            assert len(run.raw.latencies) == stored["counts"]["succeeded"]


def retell(session, path, log):
    """Put another log in a result's place, under its SHA-256."""
    packed = gzip.compress(log.encode())
    (session / f"{path.stem}.log.gz").write_bytes(packed)
    edit(path, lambda doc: doc["raw"].update(sha256=hashlib.sha256(packed).hexdigest()))


def test_a_result_that_says_otherwise_than_its_log_is_flagged_and_the_log_believed(session):
    path = one(session)
    log = gzip.decompress((session / f"{path.stem}.log.gz").read_bytes()).decode()
    slow = re.sub(r"\t(\d+)\n", lambda found: f"\t{2 * int(found[1])}\n", log)
    retell(session, path, slow)
    stored = json.loads(path.read_text())
    experiment = read_experiment(session)
    assert experiment.damaged == []
    doc = experiment.of("uwsgi_gevent", experiment.decides)[3].doc
    assert doc["latency"]["p50"] == pytest.approx(2 * stored["latency"]["p50"], rel=1e-5)
    assert doc["requests_per_second"] < stored["requests_per_second"]
    again = build_result(stored["cell"], stored["stdout"], slow)
    for key in ("latency", "requests_per_second", "ceiling"):
        assert doc[key] == again[key]
    html, text = render(experiment)
    assert "recomputed from raw data: min is" in html
    assert "recomputed from raw data: min is" in text


def test_a_log_of_an_older_version_says_from_when_its_latencies_are(session):
    path = one(session, "03.uwsgi_gevent.r100.*.json")
    log = gzip.decompress((session / f"{path.stem}.log.gz").read_bytes()).decode()
    retell(session, path, re.sub(r"\tlate=\d+", "", log))
    experiment = read_experiment(session)
    runs = experiment.of("uwsgi_gevent", experiment.loads[1])
    assert [n for n, run in runs.items() if SINCE_CONNECTED in run.doc["flags"]] == [3]
    assert SINCE_CONNECTED in render(experiment)[1]


def test_a_log_that_is_not_the_one_recorded_is_damage(session, capsys):
    path = session / f"{one(session).stem}.log.gz"
    path.write_bytes(path.read_bytes() + b"\0")
    assert main(["report", str(session)]) == 1
    out, err = capsys.readouterr()
    assert "SHA-256 differs" in err
    assert "uwsgi_gevent, provisionally: 5 rounds" in out
    html = (session / "report.html").read_text()
    assert "1 file could not be used" in html
    assert "5 complete of 6 planned, 1 more with gaps" in html


def cut(session):
    path = one(session)
    path.write_text(path.read_text()[:200])


def not_utf8(session):
    one(session).write_bytes(b"\xff\xfe{}")


def no_number(session):
    path = one(session)
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": NaN, "was": ', 1))


def wrong_shape(session):
    edit(one(session), lambda doc: doc["cell"].update(app=[{"cpu_seconds": "much"}]))


def facts_of_one(session):
    edit(one(session), lambda doc: doc["cell"].update(facts="release"))


def nested(session):
    one(session).write_text("[" * 100_000)


def outside(session):
    edit(one(session), lambda doc: doc["raw"].update(log=f"../small/{doc['raw']['log']}"))


def no_log(session):
    (session / f"{one(session).stem}.log.gz").unlink()


def twice(session):
    path = one(session)
    doc = json.loads(path.read_text()) | {"raw": None}
    (session / f"{path.stem}.again.json").write_text(json.dumps(doc))


def lone_log(session):
    (session / "09.a.b.h2load.log.gz").write_bytes(b"")


def half_written(session):
    (session / ".x.json.0a1b.tmp").write_bytes(b"{")


def wrong_refusal(session):
    (session / "x.refused.json").write_text('{"schema": 3, "cell": "y", "why": "z"}')


def wrong_plan(session):
    edit(session / "session.json", lambda doc: doc["plan"].update(cells="all"))


@pytest.mark.parametrize(
    ("damage", "rounds"),
    [
        *(
            (damage, 5)
            for damage in (
                *(cut, not_utf8, no_number, wrong_shape, facts_of_one, nested),
                *(outside, no_log),
            )
        ),
        *((damage, 6) for damage in (twice, lone_log, half_written, wrong_refusal)),
        (wrong_plan, 6),
    ],
)
def test_damage_is_named_and_the_rest_is_reported(session, capsys, damage, rounds):
    damage(session)
    assert main(["report", str(session)]) == 1
    out, err = capsys.readouterr()
    assert len([line for line in err.splitlines() if line.startswith("damaged: ")]) in (1, 2)
    assert "uwsgi_gevent" in out
    experiment = read_experiment(session)
    assert len(experiment.of("uwsgi_gevent", experiment.loads[0])) == rounds
    tree((session / "report.html").read_text())


def test_a_session_without_a_plan_and_of_schema_2_is_reported(session):
    (session / "session.json").unlink()

    def older(doc):
        doc["schema"] = 2
        for key in ("lag", "rates", "best_rate", "generator_limited"):
            del doc[key]
        for key in ("name", "kind", "rate", "seconds", "objective", "generators", "served"):
            doc["cell"].pop(key, None)
        doc["cell"]["app"] = [
            {k: use[k] for k in ("cpu_seconds", "memory_before", "memory_peak")}
            for use in doc["cell"]["app"]
        ]

    for path in session.glob("*.json"):
        if ".c5." in path.name and "-again" not in path.name:
            edit(path, older)
        else:
            path.unlink()
            (session / f"{path.stem}.log.gz").unlink()
    experiment = read_experiment(session)
    assert [cell.name for cell in experiment.cells] == ["gunicorn_sync", "uwsgi_gevent"]
    assert [load.name for load in experiment.loads] == ["c5"]
    assert experiment.damaged == []
    html, text = render(experiment)
    assert "Run uwsgi_gevent" in html
    assert "no cell was measured twice" in text
    assert "How much can each take?" not in html
    assert "This session has no fingerprint" in html
    assert "h2load URL" in html


def test_two_engines_of_one_workload_are_two_loads(session):
    (session / "session.json").unlink()
    for path in session.glob("*.uwsgi_gevent.c5.*.json"):
        doc = json.loads(path.read_text()) | {"raw": None}
        doc["cell"]["engine"] = "ab"
        (session / path.name.replace("h2load", "ab")).write_text(json.dumps(doc))
    experiment = read_experiment(session)
    assert {"c5 (h2load)", "c5 (ab)"} <= {load.name for load in experiment.loads}
    assert experiment.decides.name != "c5 (ab)"
    tree(render(experiment)[0])
