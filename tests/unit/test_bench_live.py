"""The engines themselves against a server on loopback: what parsers and ceilings rely on."""

import asyncio
import json
import shutil
import subprocess
import threading

import pytest
from bench_parts import left

from bench.__main__ import main

DELAY = 0.1  # seconds
REQUESTS, CONCURRENCY = 24, 5  # neither engine's last round is full


class Server:
    """Answers after DELAY; a path of /N drops every Nth connection without an answer."""

    def __init__(self):
        self.running = self.seen = self.dropped = 0
        self.running_at_arrival = []

    async def answer(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.seen += 1
                number = self.seen
                self.running += 1
                self.running_at_arrival.append(self.running)
                await asyncio.sleep(DELAY)
                self.running -= 1
                drop = int(head.split()[1].strip(b"/") or 0)
                if drop and number % drop == 0:
                    self.dropped += 1
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
                close = b"HTTP/1.0" in head or b"connection: close" in head.lower()
                writer.write(b"Connection: close\r\n\r\nok" if close else b"\r\nok")
                await writer.drain()
                if close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the engine closed
        finally:
            writer.close()

    async def serve(self, ready):
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        ready.set()
        await self.stop.wait()
        server.close()


@pytest.fixture
def server():
    server, ready = Server(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(ready)))
    thread.start()
    ready.wait()
    yield server
    server.loop.call_soon_threadsafe(server.stop.set)
    thread.join()


@pytest.fixture
def run(tmp_path):
    def run(engine, url, *options):
        if shutil.which(engine) is None:
            pytest.skip(f"{engine} is not installed: apt install nghttp2-client apache2-utils")
        log, out, cell = (tmp_path / name for name in ("log", "out.txt", "cell.json"))
        size = ["-n", str(REQUESTS), "-c", str(CONCURRENCY)]
        if engine == "ab":
            command = ["ab", "-r", *size, "-g", str(log), url]
        else:
            command = ["h2load", "--h1", "-t1", *size, f"--log-file={log}", *options, url]
        with out.open("wb") as file:
            subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=True)
        description = {
            "engine": engine,
            "workload": "live",
            "server": "none",
            "command": " ".join(command),
            "url": url,
            "requests": REQUESTS,
            "concurrency": CONCURRENCY,
            "delay": DELAY,
        }
        cell.write_text(json.dumps(description))
        session = tmp_path / "session"
        rows = log.read_bytes() if log.exists() else b""
        part = left(tmp_path / "part", description["command"], out.read_bytes(), rows)
        files = {"--session": session, "--cell": cell, "--part": part}
        assert main(["record", *(str(part) for pair in files.items() for part in pair)]) == 0
        (stored,) = session.glob("*.json")
        return json.loads(stored.read_text())

    return run


@pytest.mark.parametrize("options", [(), ("-H", "Connection: close")])
def test_h2load_does_not_wait_for_its_first_answer(server, run, options):
    doc = run("h2load", server.url, *options)
    assert doc["counts"]["failed"] == 0
    assert doc["flags"] == []
    assert doc["latency"]["samples"] == REQUESTS == server.seen
    assert server.running_at_arrival[:2] == [1, 2]
    assert max(server.running_at_arrival) <= CONCURRENCY
    assert doc["seconds"] >= 5 * DELAY * 0.99
    assert 0 < doc["ceiling"]["percent"] <= 101


def test_ab_waits_for_the_answer_to_its_first_request(server, run):
    doc = run("ab", server.url)
    assert doc["counts"]["failed"] == 0
    assert doc["flags"] == []
    assert doc["latency"]["samples"] == REQUESTS == server.seen
    assert server.running_at_arrival[:2] == [1, 1]
    assert max(server.running_at_arrival) <= CONCURRENCY
    assert doc["seconds"] >= 6 * DELAY * 0.99
    assert 0 < doc["ceiling"]["percent"] <= 101


def test_h2load_loses_more_requests_than_connections_dropped(server, run):
    doc = run("h2load", server.url + "4")
    counts = doc["counts"]
    assert counts["succeeded"] == server.seen - server.dropped
    assert counts["failed"] == REQUESTS - counts["succeeded"] > server.dropped
    assert counts["detail"]["not_started"] == REQUESTS - server.seen


def test_ab_dropped_connections_are_found_in_its_g_file(server, run):
    counts = run("ab", server.url + "4")["counts"]
    assert counts["failed"] == counts["detail"]["no_answer"] == server.dropped == REQUESTS // 4


@pytest.mark.parametrize("engine", ["h2load", "ab"])
def test_every_connection_refused_is_every_request_failed(run, engine):
    doc = run(engine, "http://127.0.0.1:1/")
    assert (doc["counts"]["succeeded"], doc["counts"]["failed"]) == (0, REQUESTS)
