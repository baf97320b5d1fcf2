"""The two entries: plain, and patched for gevent. Each runs in a Python of its own."""

from __future__ import annotations

import json

import pytest

TELL = """
import json, socket, ssl, sys, threading
from psycopg2.extensions import get_wait_callback
import requests.adapters
import urllib3.util.connection
callback = get_wait_callback()
print(json.dumps({
    "app": app.name,
    "socket": socket.socket.__module__.split(".")[0],
    "urllib3": urllib3.util.connection.socket.socket.__module__.split(".")[0],
    "lock": type(threading.Lock()).__module__.split(".")[0],
    "ssl": ssl.create_default_context().verify_mode.name,
    "psycopg2": callback and callback.__module__,
    "gevent": "gevent" in sys.modules,
}))
"""


@pytest.mark.parametrize(("psycogreen", "callback"), [({}, True), ({"PSYCOGREEN": "0"}, False)])
def test_the_patched_entry(run_python, psycogreen: dict[str, str], callback: bool) -> None:
    told = json.loads(run_python("from wsgi_gevent import app" + TELL, **psycogreen))
    assert told == {
        "app": "demo",
        "socket": "gevent",
        "urllib3": "gevent",
        "lock": "gevent",
        "ssl": "CERT_REQUIRED",
        "psycopg2": "psycogreen.gevent" if callback else None,
        "gevent": True,
    }


def test_the_plain_entry(run_python) -> None:
    told = json.loads(run_python("from wsgi import app" + TELL))
    assert told["app"] == "demo"
    assert (told["psycopg2"], told["gevent"]) == (None, False)
    assert told["socket"] == "socket"


TOGETHER = """
from wsgi_gevent import app
import gevent, time
client = app.test_client
assert client().get("/db?delay=0").status_code == 200
started = time.monotonic()
jobs = [gevent.spawn(lambda: client().get("/db?delay=0.4").status_code) for _ in range(10)]
gevent.joinall(jobs)
assert [job.value for job in jobs] == [200] * 10, [job.value for job in jobs]
print(time.monotonic() - started)
"""


def test_greenlets_wait_together(run_python, cluster, slow_api_url: str) -> None:
    settings = {"DATABASE_URL": cluster.url, "UPSTREAM_URL": slow_api_url}
    # One after another, the database's halves alone take 10 x 0.2 seconds.
    assert 0.4 <= float(run_python(TOGETHER, **settings)) < 1.8
    assert float(run_python(TOGETHER, PSYCOGREEN="0", **settings)) >= 2


KILLED = """
from wsgi_gevent import app
import gevent
from demo.database import get_database
def ask(sql):
    with app.app_context(), get_database().transaction() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
ask("SELECT 1")
victim = gevent.spawn(ask, "SELECT 'not yours' FROM pg_sleep(0.5)")
gevent.sleep(0.1)
victim.kill()
print(ask("SELECT 'yours'"))
"""


def test_a_killed_greenlet_leaves_no_answer_behind(run_python, cluster) -> None:
    assert run_python(KILLED, DATABASE_URL=cluster.url, DATABASE_POOL="1") == "yours"


SILENT = """
from wsgi_gevent import app
import os, gevent, time
gevent.sleep(0.01)  # opens gevent's own descriptors
started = time.monotonic()
answers = []
def ask():
    answers.append(app.test_client().get("/stats").status_code)
before = len(os.listdir("/proc/self/fd"))
jobs = [gevent.spawn(ask) for _ in range(3)]
gevent.joinall(jobs)
took = time.monotonic() - started
assert answers == [503] * 3, answers
print(took, len(os.listdir("/proc/self/fd")) - before)
"""


def test_a_silent_database_is_given_up_by_greenlets_too(run_python, silent) -> None:
    output = run_python(
        SILENT,
        DATABASE_URL=f"postgresql://127.0.0.1:{silent.port}/demo",
        DATABASE_CONNECT_TIMEOUT="0.5",
    )
    took, left_open = output.split()
    assert 0.5 <= float(took) < 10
    assert int(left_open) <= 0, "the sockets of the failed connections are still open"
