"""Fixtures of the demo application's and the slow API's tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import demo_clients
import demo_postgres
import demo_servers
import pytest
from demo import create_app
from demo.http_clients import CLIENTS
from demo.settings import load
from flask.testing import FlaskClient


@pytest.fixture(scope="session")
def slow_api_url() -> Iterator[str]:
    """The real slow API; it accepts delays up to 5 seconds."""
    with demo_servers.slow_api("--max-delay", "5") as (_process, url):
        yield url


@pytest.fixture
def scripted() -> Iterator[Callable[..., demo_servers.ScriptedServer]]:
    """Start servers that do what the test tells."""
    servers = []

    def start(behave: Callable[..., None], *context: Any) -> demo_servers.ScriptedServer:
        servers.append(demo_servers.ScriptedServer(behave, *context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def silent(scripted: Any) -> demo_servers.ScriptedServer:
    """A server that accepts connections and never answers."""
    return scripted(lambda connection, _number: connection.hang())


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and stays ours meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def out_of_reach() -> Iterator[int]:
    """A port whose connections are never established: its queue is full."""
    with socket.socket() as server, socket.socket() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting.connect(server.getsockname())
        yield server.getsockname()[1]


@pytest.fixture
def make_client(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FlaskClient]:
    """Make a client of an application with the given settings, the environment's left out."""
    for name in load({}):
        monkeypatch.delenv(name, raising=False)
    return lambda **settings: create_app(settings).test_client()


@pytest.fixture(scope="session")
def patched_process() -> Iterator[demo_clients.PatchedProcess]:
    process = demo_clients.PatchedProcess()
    yield process
    process.close()


@pytest.fixture(params=CLIENTS)
def client_name(request: pytest.FixtureRequest) -> str:
    """Each of the HTTP clients the upstream can be asked by."""
    return request.param


@pytest.fixture
def make_asker(
    client_name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Make clients as make_client does, of an application whose HTTP client is client_name."""
    for name in load({}):
        monkeypatch.delenv(name, raising=False)

    def make(**settings: Any) -> Any:
        settings["UPSTREAM_CLIENT"] = client_name
        if CLIENTS[client_name].greenlets_only:
            return demo_clients.Patched(request.getfixturevalue("patched_process"), settings)
        return demo_clients.Plain(settings)

    return make


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[demo_postgres.Cluster]:
    binaries = demo_postgres.find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server here (/usr/lib/postgresql/*/bin): apt install postgresql")
    cluster = demo_postgres.Cluster(binaries)
    yield cluster
    cluster.remove()


@pytest.fixture
def cluster(running_cluster: demo_postgres.Cluster) -> demo_postgres.Cluster:
    """A real PostgreSQL, its table empty."""
    running_cluster.empty()
    return running_cluster


@pytest.fixture
def run_python(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a script in a Python of its own, in the application's folder; return its output."""
    for name in load({}):
        monkeypatch.delenv(name, raising=False)

    def run(script: str, **settings: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=demo_servers.DEMO,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run
