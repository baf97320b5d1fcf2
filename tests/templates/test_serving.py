"""Every mode is started as the role renders it: it answers, is what it claims, and stops gently."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import demo_servers
import greenrack_modules
import pytest
from expected import MODES, SPOKEN
from render import modes
from running import ask, group_of, serving

verify = greenrack_modules.load("app_verify")
GRACEFUL = [spoken for spoken in SPOKEN if modes()[spoken[0]]["graceful"]]


@pytest.fixture
def bind(kind: str, mode: str, folder: Path) -> str:
    path = f"unix:{folder}/app.sock"
    return path if kind == "unix" else f"127.0.0.1:{demo_servers.free_port()}"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_it_answers_and_is_what_it_is_declared_to_be(
    mode: str, protocol: str, bind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, (workers, each) = modes()[mode], MODES[mode].sizes["tutorial"]
    declared = {
        **{"unit": "demo.service", "bind": bind, "protocol": protocol, "mode": mode},
        **{"program": MODES[mode].program, "workers": workers, "slots": workers * each},
        **{"master": row["sizes"]["default"]["workers"] == 0},
        **{"patched": row["entry"] == "patched", "psycogreen": row["entry"] == "patched"},
        **{
            "concurrency": row["concurrency"],
            "reports": str(folder),
            "delay": 1.5,
            **{"host": "localhost", "scheme": ""},
            "starting": 30,
        },
        **{"http_path": "/wait?delay={delay}", "database_path": "", "database_at_once": 1},
    }
    monkeypatch.setattr(verify, "HTTP_AT_ONCE", 10)
    monkeypatch.setattr(verify, "STEADY", 0)
    with serving(mode, protocol, bind, folder) as process:
        status, answer = ask(bind, protocol, "/hello?a=1", 20)
        assert (status, answer.endswith("says: hello")) == (200, True)
        monkeypatch.setattr(verify, "processes", lambda _unit: group_of(process))
        program, reports, waits, _database, steady = verify.verify(declared)
        for report in folder.glob("*.report"):
            said = json.loads(report.read_text())["serves"]
            assert said == [row["concurrency"], None if row["program"] == "flask" else each]
    assert program == f"its main process is {MODES[mode].program}"
    assert f"{workers} workers, " in reports
    assert f"{min(10, workers * each)} requests of 1.5 s at once" in waits
    assert steady == "none of its processes has ended by itself"


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize(
    ("mode", "arguments", "said"),
    [
        ("gunicorn_sync", "--threads 13", ["threads", 13]),
        ("gunicorn_sync", "--worker-class sync --threads 1", ["SyncWorker", None]),
        ("gunicorn_gevent", "--worker-connections 13", ["greenlets", 13]),
        ("gunicorn_gevent", "--worker-class gthread", ["threads", 1]),
    ],
)
def test_it_reports_what_overrules_its_configuration(
    mode: str,
    arguments: str,
    said: list[Any],
    bind: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", arguments)  # as app_env does
    with serving(mode, "http", bind, folder):
        reports = [json.loads(path.read_text()) for path in folder.glob("*.report")]
    assert [report["serves"] for report in reports] == [said] * MODES[mode].sizes["tutorial"][0]


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize("mode", [mode for mode, protocol in SPOKEN if protocol == "http"])
def test_a_connection_is_kept_or_said_to_be_closed(mode: str, bind: str, folder: Path) -> None:
    """Else a client that asks for more on it, as HTTP/1.1 lets it, is cut off."""
    address, port = bind.split(":")
    link = http.client.HTTPConnection(address, int(port), timeout=20)
    with serving(mode, "http", bind, folder), closing(link):
        for path in ("/first", "/second"):
            link.request("GET", path)
            answer = link.getresponse()
            assert answer.read().decode().endswith(path.removeprefix("/"))
            if answer.getheader("Connection") == "close":
                return


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize("mode", ["gunicorn_gevent", "uwsgi_gevent", "pywsgi_gevent"])
def test_a_request_that_comes_late_is_answered(mode: str, bind: str, folder: Path) -> None:
    """As it is when ten thousand came at once, and this one's turn is after some seconds."""
    address, port = bind.split(":")
    link = http.client.HTTPConnection(address, int(port), timeout=20)
    with serving(mode, "http", bind, folder), closing(link):
        link.connect()
        time.sleep(2.5)
        link.request("GET", "/late")
        assert link.getresponse().status == 200


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize(("mode", "protocol"), GRACEFUL)
def test_a_stop_lets_requests_end(mode: str, protocol: str, bind: str, folder: Path) -> None:
    answers: list[Any] = []
    with serving(mode, protocol, bind, folder) as process:
        asking = threading.Thread(
            target=lambda: answers.append(ask(bind, protocol, "/wait?delay=1", 20))
        )
        asking.start()
        while asking.is_alive() and not (folder / "begun").exists():
            time.sleep(0.02)
        process.terminate()  # the main process alone, as KillMode=mixed does
        process.wait(timeout=60)
        asking.join()
        left = group_of(process)
    ((status, answer),) = answers
    assert (status, answer.endswith("says: wait")) == (200, True)
    assert (process.returncode, left) == (0, {})


def _ask_on_and_on(link: http.client.HTTPConnection) -> None:
    """Ask for more on a connection, as soon as there is an answer, until it ends."""
    with suppress(OSError, http.client.HTTPException):
        while True:
            link.request("GET", "/wait?delay=0.1")
            answer = link.getresponse()
            answer.read()
            if answer.getheader("Connection") == "close":
                return


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize("mode", sorted({mode for mode, _ in GRACEFUL}))
def test_a_stop_waits_for_requests_and_not_for_who_may_send_one(
    mode: str, bind: str, folder: Path
) -> None:
    address, port = bind.split(":")
    # An hour that a request may take is what a stop would wait, if it waited for clients that stay.
    with ExitStack() as stack:
        process = stack.enter_context(serving(mode, "http", bind, folder, app_timeout=3600))
        idle = [http.client.HTTPConnection(address, int(port), timeout=20) for _ in range(6)]
        for link in idle:
            stack.enter_context(closing(link))
            link.request("GET", "/hello")
            assert link.getresponse().read().endswith(b"hello")
        busy = stack.enter_context(
            closing(http.client.HTTPConnection(address, int(port), timeout=20))
        )
        busy.request("GET", "/wait?delay=1")
        while not (folder / "begun").exists():
            time.sleep(0.02)
        eager = [threading.Thread(target=_ask_on_and_on, args=[link]) for link in idle[:4]]
        for one in eager:
            one.start()
        process.terminate()
        answer = busy.getresponse()
        assert (answer.status, answer.read().endswith(b"wait")) == (200, True)
        process.wait(timeout=60)
        for one in eager:
            one.join()
        assert group_of(process) == {}


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize("mode", MODES)
def test_it_takes_what_nginx_lets_through(mode: str, bind: str, folder: Path) -> None:
    """One line of 8 KiB, and as much in headers; uWSGI by its own protocol is sent no more."""
    address, port = bind.split(":")
    with (
        serving(mode, "http", bind, folder),
        closing(http.client.HTTPConnection(address, int(port), timeout=20)) as link,
    ):
        link.request("GET", f"/hello?a={'a' * 8000}", headers={"X-Long": "b" * 8000})
        answer = link.getresponse()
        assert (answer.status, answer.read().endswith(b"says: hello")) == (200, True)


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize("mode", ["pywsgi_gevent"])
@pytest.mark.parametrize("sent", [b"", b"GET /hello HTTP/1.1\r\nHost: a\r\n"])
def test_a_client_that_went_silent_is_let_go(
    sent: bytes, mode: str, bind: str, folder: Path
) -> None:
    address, port = bind.split(":")
    with (
        serving(mode, "http", bind, folder, app_timeout=1),
        socket.create_connection((address, int(port)), timeout=60) as link,
    ):
        link.sendall(sent)
        answer = b"".join(iter(lambda: link.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 400") if sent else answer == b""


@pytest.mark.parametrize("mode", sorted(MODES.keys() - {mode for mode, _ in GRACEFUL}))
@pytest.mark.parametrize("kind", ["tcp"])
def test_what_drops_requests_ends_at_once(mode: str, bind: str, folder: Path) -> None:
    with serving(mode, "http", bind, folder) as process:
        process.terminate()
        process.wait(timeout=60)
        assert group_of(process) == {}


@pytest.mark.parametrize("kind", ["unix"])
@pytest.mark.parametrize("mode", MODES)
def test_a_process_that_the_application_starts_is_no_server(
    mode: str, bind: str, folder: Path
) -> None:
    """Python begins one with what began its parent."""
    spoken = MODES[mode].speaks[0]
    with serving(mode, spoken, bind, folder) as process:
        before, socket_ = group_of(process).keys(), (folder / "app.sock").stat().st_ino
        status, answer = ask(bind, spoken, "/count", 100)
        assert (status, answer.endswith("says: count 4 4")) == (200, True)
        assert (folder / "app.sock").stat().st_ino == socket_
        assert group_of(process).keys() >= before


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize("mode", MODES)
def test_a_program_that_the_application_starts_can_be_ended(
    mode: str, bind: str, folder: Path
) -> None:
    """Whichever thread starts it: what that one holds back, it inherits."""
    workers, each = MODES[mode].sizes["tutorial"]
    many = 1 if each == 1 else 4 * workers
    with serving(mode, "http", bind, folder), ThreadPoolExecutor(many) as pool:
        for status, answer in pool.map(lambda _: ask(bind, "http", "/held", 100), range(many)):
            held = {n for n in signal.valid_signals() if int(answer.split()[-1], 16) >> n - 1 & 1}
            assert (status, held - {signal.SIGHUP}) == (200, set())
        for path in ("/fail", "/later"):
            status, answer = ask(bind, "http", path, 100)
            assert (status, "Internal Server Error" in answer) == (500, True), (path, answer)


@pytest.mark.parametrize("kind", ["tcp"])
@pytest.mark.parametrize("mode", [mode for mode in MODES if MODES[mode].program == "flask"])
def test_a_developers_own_settings_let_no_stranger_run_code(
    mode: str, bind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with serving(mode, "http", bind, folder):
        assert ask(bind, "http", "/console", 100)[1].endswith("says: console")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize(("mode", "protocol"), SPOKEN)
def test_behind_nginx_the_application_knows_which_site_was_asked(
    mode: str, protocol: str, bind: str, folder: Path
) -> None:
    with serving(mode, protocol, bind, folder):
        for host, scheme, told in [
            ("shop.example", "http", "http shop.example 80"),
            ("shop.example", "https", "https shop.example 443"),
            ("[::1]:8443", "https", "https [::1] 8443"),
        ]:
            answer = ask(bind, protocol, "/asked", 100, host, None, scheme)[1]
            assert answer.endswith(f"says: {told}")


@pytest.mark.parametrize("kind", ["unix"])
@pytest.mark.parametrize("mode", MODES)
def test_its_unix_socket_is_for_its_group_and_nobody_else(
    mode: str, bind: str, folder: Path
) -> None:
    with serving(mode, MODES[mode].speaks[0], bind, folder):
        made = (folder / "app.sock").stat()
        # Over it, a client has no address; not to have one at all is what applications do not expect.
        assert ask(bind, MODES[mode].speaks[0], "/address", 100)[1].endswith("says: str")
    assert made.st_mode & 0o067 == 0o060  # connecting takes writing
    assert mode.startswith("devserver") or made.st_mode & 0o777 == 0o660
    assert made.st_gid == os.getegid()
