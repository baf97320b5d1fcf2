"""One of several application hosts is lost, or slow: the others serve, and nothing is done twice."""

import http.client
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.felt import suffering
from tests.faults.hosts import plug, power_off
from tests.faults.memory import bounded
from tests.stack import other_inventory
from tests.stack.conftest import boot
from tests.stack.lab import Lab

APP = """
import socket, time
from flask import Flask, request
app = Flask(__name__)

@app.get("/healthz")
def health():
    return socket.gethostname()

@app.get("/wait")
def wait():
    time.sleep(float(request.args["delay"]))
    return "waited"

@app.post("/eat")
def eat():
    taken = []
    while True:
        taken.append(b"x" * 20_000_000)
        time.sleep(0.05)

@app.post("/order")
def order():
    time.sleep(0.2)
    with open("orders/taken", "a") as taken:
        taken.write(request.args["number"] + "\\n")
    return "taken"
"""
ROUTES = {"page": "/wait?delay=0.2", "unrelated": "/healthz"}
PROMISE = (
    "only what it was doing fails, after `nginx_timeout` at the latest; no order is taken twice"
)
HOSTS = ("app1", "app2")
MEMORY = 400  # MiB that an instance may take
# To the application itself, for nginx would send it on.
EAT = """python3 -c 'import urllib.request as u
u.urlopen(u.Request("http://{address}:8000/eat", method="POST"))' 2>&1 | tail -1"""


@pytest.fixture(scope="module")
def two(labs, tmp_path_factory):
    """An nginx before two application hosts."""
    source = tmp_path_factory.mktemp("hello")
    (source / "requirements.txt").write_text("flask\n")
    (source / "hello.py").write_text(APP)
    variables = {
        "app_name": "hello",
        "app_source": str(source),
        "app_module": "hello:app",
        "app_shared": ["orders"],
        "app_timeout": 5,  # so that nginx gives up after 15
        "app_memory_max": f"{MEMORY}M",
    }
    groups = {"app": {"app1": 21, "app2": 22}, "proxy": {"proxy1": 11}, "load": {"proxy1": 11}}
    path = other_inventory.write(tmp_path_factory.mktemp("inventory") / "two", groups, variables)
    for lab in boot(Lab(path, labs[1].name, labs[1].prefix)):
        run = lab.play("site.yml", "-e", "server=uwsgi_gevent")
        assert run.code == 0, run.output
        yield lab


class Orders:
    """A context, of clients who give ten orders a second, and none again; `said` is {number: (due, status)}."""

    def __init__(self, lab):
        self.address, self.said = lab.address("proxy1"), {}
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(500)

    def __enter__(self):
        self._pool.submit(self._come)
        return self

    def __exit__(self, *told):
        self._over.set()
        self._pool.shutdown()

    def _come(self):
        for number in itertools.count():
            if self._over.wait(0.1):
                return
            self._pool.submit(self._give, number, time.monotonic())

    def _give(self, number, due):
        link = http.client.HTTPConnection(self.address, timeout=60)
        try:
            link.request("POST", f"/order?number={number}")
            self.said[number] = (due, link.getresponse().status)
        except (OSError, http.client.HTTPException):
            self.said[number] = (due, 0)
        link.close()


def _taken(lab):
    """Return the numbers of the orders that were taken, each as often as it was."""
    return [
        int(number)
        for name in HOSTS
        for number in lab.run(name, "cat /srv/hello/shared/orders/taken || true").split()
    ]


def _power_on(lab):
    up = lab.play("playbooks/lab_up.yml")
    assert up.code == 0, up.output


LOST = {
    "loses its power": (power_off, lambda lab, name: _power_on(lab)),
    "is cut off": (
        lambda lab, name: plug(lab, name, "down"),
        lambda lab, name: plug(lab, name, "up"),
    ),
}


@pytest.mark.parametrize("how", LOST)
def test_one_of_two_hosts_is_lost(two, told, how):
    strike, heal = LOST[how]
    two.run("app1", "rm -f /srv/hello/shared/orders/taken")
    two.run("app2", "rm -f /srv/hello/shared/orders/taken")
    with Orders(two) as orders:
        felt = suffering(two, told)(
            f"one of two application hosts {how} for 30 s",
            PROMISE,
            lambda: strike(two, "app2"),
            lambda: heal(two, "app2"),
            routes=ROUTES,
        )
    for route in ROUTES:
        assert len(felt.after(route)) <= felt.in_flight(route) + 1, felt
    failed = {number: one for number, one in orders.said.items() if one[1] != 200}
    late = {number: due - felt.struck for number, (due, _) in failed.items() if due > felt.struck}
    taken = _taken(two)
    told(
        "the same",
        "no order is taken twice",
        f"{len(orders.said)} orders given, {len(failed)} not told that they were taken, {len(taken)} taken, "
        f"{len(taken) - len(set(taken))} of them twice",
    )
    assert len(taken) == len(set(taken)), "an order was taken twice"
    assert {n for n, one in orders.said.items() if one[1] == 200} <= set(taken)
    assert len(late) <= 1, f"orders failed that were given later: {late}\n{felt}"


def test_requests_that_hang_take_no_host_away(two, told):
    """Of what is not answered in time, nginx could think that the host is lost: of several at once, all hosts."""
    gone = []

    def strike():
        with ThreadPoolExecutor(4) as pool:
            gone.extend(pool.map(lambda _: two.get("/wait?delay=60")[0], range(4)))

    felt = suffering(two, told)(
        "four requests that hang in the application",
        "504 after `nginx_timeout`; no effect on others",
        strike,
        lambda: None,
        routes=ROUTES,
        lasts=50,
    )
    assert gone == [504] * 4, felt
    assert [felt.failed(route) for route in ROUTES] == [[], []], felt


def test_application_that_takes_all_memory(two, told):
    ids = "systemctl show --value --property=MainPID hello-blue"
    ids = f"{ids}; pgrep --parent $({ids})"
    main, *workers = two.run("app2", ids).split()
    with bounded(two, "app2", "hello-blue", MEMORY) as by:
        felt = suffering(two, told)(
            f"the application takes all memory it can get, bounded by {by}",
            "one worker is killed, and what it was doing fails; its master starts another",
            lambda: two.run("proxy1", EAT.format(address=f"{two.prefix}.22")),
            lambda: None,
            routes=ROUTES,
            lasts=15,
        )
        after, *others = two.run("app2", ids).split()
    assert after == main, "its unit was restarted"
    assert len(set(workers) - set(others)) == 1, (workers, others)
    for route in ROUTES:
        assert len(felt.failed(route)) <= 2, felt
