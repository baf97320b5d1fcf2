"""Several application hosts: a change goes to one of them first, and the first that fails stops it everywhere."""

import pytest

from bench.clients import Clients
from tests.stack import other_inventory
from tests.stack.conftest import boot
from tests.stack.lab import Lab

APP = "import os, socket\nfrom flask import Flask\n\napp = Flask(__name__)\n"
ROUTE = "\n\n@app.route('/healthz')\ndef health():\n    return {version!r} + socket.gethostname()\n"


def _write(source, version, more=""):
    (source / "hello.py").write_text(APP + more + ROUTE.format(version=version))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hello")
    (folder / "requirements.txt").write_text("flask\n")
    _write(folder, "first")
    return folder


@pytest.fixture(scope="module")
def two(labs, source, tmp_path_factory):
    """Two application hosts, on the first of which nginx is, and nothing else."""
    variables = {"app_name": "hello", "app_source": str(source), "app_module": "hello:app"}
    groups = {"app": {"app1": 11, "app2": 12}, "proxy": {"app1": 11}}
    path = other_inventory.write(tmp_path_factory.mktemp("inventory") / "two", groups, variables)
    yield from boot(Lab(path, labs[1].name, labs[1].prefix))


def _seen(lab):
    """Return what is answered, of several requests."""
    return {lab.get("/healthz")[1] for _ in range(8)}


def _active(lab):
    listed = "systemctl list-units --plain --no-legend --state=active --type=service 'hello-*'"
    return [lab.run(name, listed).split()[0::5] for name in ("app1", "app2")]


def test_change_on_two_hosts(two, source):
    run = two.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output
    assert _seen(two) == {"firstapp1", "firstapp2"}
    _write(source, "second")
    with Clients(f"{two.prefix}.11", "/healthz") as clients:
        run = two.play("playbooks/release.yml")
    assert run.code == 0, run.output
    assert clients.failures == []
    assert _seen(two) == {"secondapp1", "secondapp2"}
    # One host first, then the other.
    assert run.output.count("PLAY [Run the instance]") == 2, run.output


def test_first_host_that_fails_stops_it_and_those_before_are_put_back(two, source):
    before = _active(two)
    fault = "if 'GREENRACK_MODE' in os.environ and socket.gethostname() == 'app2':\n    raise SystemExit('no')\n"
    _write(source, "bad on app2", fault)
    with Clients(f"{two.prefix}.11", "/healthz") as clients:
        run = two.play("playbooks/release.yml")
    assert run.code != 0, run.output
    assert "app2: hello-" in run.output, run.output
    assert run.output.count("PLAY [Run the instance]") == 2, run.output
    assert clients.failures == []
    assert _active(two) == before
    assert _seen(two) == {"secondapp1", "secondapp2"}
