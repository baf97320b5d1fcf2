"""greenrack_declared: what processes report that is not as declared; each failure names its cause and its cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import greenrack_modules
import pytest
from test_app_verify import FOUND, GOOD, declared, write

of = greenrack_modules.load("greenrack_declared")


def test_the_declared_program() -> None:
    assert of.check_program(FOUND, declared()) == "its main process is gunicorn"


@pytest.mark.parametrize(
    ("found", "runs"), [({10: "/usr/bin/uwsgi --ini c"}, "/usr/bin/uwsgi"), ({}, "nothing")]
)
def test_another_program(found: dict[int, str], runs: str) -> None:
    with pytest.raises(of.Failed) as error:
        of.check_program(found, declared())
    assert f"demo.service runs '{runs}" in str(error.value)
    assert "is not gunicorn, as gunicorn_gevent declares" in str(error.value)
    assert "-e server=gunicorn_gevent" in str(error.value)


@pytest.mark.parametrize("name", ["gunicorn", "gunicorn-x", "my-gunicorn"])
def test_an_application_that_is_called_like_the_program(name: str) -> None:
    runs = f"/srv/{name}/releases/0/.venv/bin/uwsgi --ini /etc/x.uwsgi.ini"
    with pytest.raises(of.Failed):
        of.check_program({10: runs}, declared())


def test_the_title_that_gunicorn_gives_itself() -> None:
    """Where the application's environment has setproctitle, as others' may."""
    assert of.check_program({10: "gunicorn: master [greenrack_entry:app]"}, declared())
    with pytest.raises(of.Failed):
        of.check_program({10: "gunicorn-x: master [greenrack_entry:app]"}, declared())


def test_a_worker_of_the_program_is_not_its_main_process() -> None:
    with pytest.raises(of.Failed, match="runs '/bin/sh start'"):
        of.check_program({9: "/bin/sh start", **FOUND}, declared())


def test_the_declared_workers(tmp_path: Path) -> None:
    p = write(tmp_path, p11=GOOD, p12=GOOD, p99=GOOD)  # 99 is of an earlier start
    assert of.check_workers(FOUND, p) == {11: GOOD, 12: GOOD}


@pytest.mark.parametrize("workers", [["p10", "p12"], ["p10"]])
def test_a_main_process_that_is_a_worker_itself(workers: list[str], tmp_path: Path) -> None:
    p = {**write(tmp_path, **dict.fromkeys(workers, GOOD)), "workers": len(workers)}
    with pytest.raises(of.Failed, match=r"the main process of demo\.service has imported"):
        of.check_workers(FOUND, p)
    assert of.check_workers(FOUND, {**p, "master": False})


@pytest.mark.parametrize("number", [0, 1, 3])
def test_other_workers_than_declared(number: int, tmp_path: Path) -> None:
    p = write(tmp_path, **{f"p{pid}": GOOD for pid in list(FOUND)[:number]})
    says = (
        rf"^{number} processes of demo.service have imported .* 2 are declared\. If .* app_workers "
    )
    with pytest.raises(of.Failed, match=says + ".* Else deploy again"):
        of.check_workers(FOUND, p)


@pytest.mark.parametrize(
    ("report", "changed", "says"),
    [
        (GOOD, {}, "2 workers, patched by gevent, TLS works, psycopg2 gives way"),
        (
            {**GOOD, "wait_callback": False},
            {"psycogreen": False},
            "2 workers, patched by gevent, TLS works, psycopg2 blocks",
        ),
        (
            {"patched": False, "tls": "ok", "wait_callback": False},
            {"patched": False, "psycogreen": False},
            "2 workers, not patched, TLS works, psycopg2 blocks",
        ),
    ],
)
def test_workers_that_are_what_is_declared(
    report: dict[str, Any], changed: dict[str, Any], says: str
) -> None:
    p = declared(**changed)
    assert of.check_reports({11: report, 12: report}, p) == says
    without = {**report, "wait_callback": None}  # an application without psycopg2
    said = of.check_reports({11: without, 12: without}, p)
    assert said.endswith("TLS works, there is no psycopg2")


@pytest.mark.parametrize(
    ("changed", "report", "cause", "cure"),
    [
        ({}, {"patched": False}, "gevent has patched nothing in process 12", "app_module_gevent"),
        (
            {"patched": False, "psycogreen": False},
            {},
            "gevent has patched process 12, and gunicorn_gevent is declared not to be",
            "Let app_module name",
        ),
        (
            {},
            {"tls": "RecursionError"},
            "TLS context fails in process 12 with RecursionError",
            "Patch first",
        ),
        (
            {},
            {"wait_callback": False},
            "psycopg2 blocks the event loop in process 12",
            "psycogreen.gevent.patch_psycopg()",
        ),
        (
            {"psycogreen": False},
            {},
            "psycopg2 has a wait callback in process 12, and none is declared",
            "Remove psycogreen",
        ),
    ],
)
def test_a_worker_that_is_not_what_is_declared(
    changed: dict[str, Any], report: dict[str, Any], cause: str, cure: str
) -> None:
    p = declared(**changed)
    right = {"patched": p["patched"], "tls": "ok", "wait_callback": p["psycogreen"]}
    with pytest.raises(of.Failed) as error:
        of.check_reports({11: right, 12: {**GOOD, **report}}, p)
    assert cause in str(error.value)
    assert cure in str(error.value)


@pytest.mark.parametrize(
    ("serves", "changed"),
    [
        (["greenlets", 50], {}),
        (["threads", None], {"concurrency": "threads"}),
        (["one", None], {"concurrency": "one", "slots": 2}),
    ],
)
def test_a_worker_that_takes_requests_as_declared(serves: Any, changed: dict[str, Any]) -> None:
    assert of.check_reports({11: {**GOOD, "serves": serves}}, declared(**changed))


@pytest.mark.parametrize(
    ("serves", "says"),
    [
        (["greenlets", 13], "takes 13 requests at once in greenlets, and 50 requests at once in g"),
        (["threads", 50], "takes 50 requests at once in threads, and 50 requests at once in gr"),
        (["threads", None], "takes requests at once in threads, and 50 requests"),
        (["one", None], "takes one request after the other, and 50 requests"),
        (["SyncWorker", None], "takes requests as SyncWorker does, and 50 requests"),
        (None, "takes requests in a way it does not tell, and 50 requests"),
    ],
)
def test_a_worker_that_takes_requests_otherwise(serves: Any, says: str) -> None:
    with pytest.raises(of.Failed) as error:
        of.check_reports({11: {**GOOD, "serves": serves}}, declared())
    assert says in str(error.value)
    assert "GUNICORN_CMD_ARGS" in str(error.value)
