"""The slow API, as a process."""

from __future__ import annotations

import json
import signal
import threading
import time

import demo_servers
import pytest
import requests
from slow_api import parse_arguments


def test_waits_as_long_as_it_is_asked_to(slow_api_url: str) -> None:
    started = time.monotonic()
    response = requests.get(slow_api_url, params={"delay": "0.3"}, timeout=10)
    assert time.monotonic() - started >= 0.3
    assert (response.status_code, response.json()) == (200, {"delay": 0.3})


def test_waits_one_second_when_not_told(slow_api_url: str) -> None:
    started = time.monotonic()
    assert requests.get(slow_api_url, timeout=10).json() == {"delay": 1.0}
    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize("delay", ["0", "0.0", ".05", "1e-3", "5e-2"])
def test_reads_numbers_as_people_write_them(slow_api_url: str, delay: str) -> None:
    response = requests.get(slow_api_url, params={"delay": delay}, timeout=10)
    assert response.json() == {"delay": float(delay)}


@pytest.mark.parametrize(
    "query",
    [
        "delay=",
        "delay=x",
        "delay=nan",
        "delay=inf",
        "delay=-inf",
        "delay=-1",
        "delay=1_0",
        "delay=1,5",
        "delay=1e999",
        "delay=5.001",
        "delay=0&delay=0",
    ],
)
def test_refuses_a_bad_delay_and_says_what_is_valid(slow_api_url: str, query: str) -> None:
    response = requests.get(f"{slow_api_url}/?{query}", timeout=10)
    assert response.status_code == 400
    assert "delay" in response.json()["error"]
    assert "from 0 to 5" in response.json()["valid"]


def test_is_alive(slow_api_url: str) -> None:
    response = requests.get(f"{slow_api_url}/healthz", timeout=10)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("arguments", [["--max-delay", "nan"], ["--max-delay", "0"], ["--port=x"]])
def test_refuses_bad_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_arguments(arguments)
    assert end.value.code == 2
    assert "invalid" in capsys.readouterr().err


def test_a_stop_answers_the_requests_it_is_working_on_first() -> None:
    answers: list[requests.Response] = []

    def ask(delay: str) -> None:
        answers.append(requests.get(url, params={"delay": delay}, timeout=20))

    with demo_servers.slow_api(environment={"PYTHONASYNCIODEBUG": "1"}) as (process, url):
        # One connection that was used before and is idle must not hold the stop up.
        idle = requests.Session()
        idle.get(f"{url}/healthz", timeout=10)
        threads = [threading.Thread(target=ask, args=(d,)) for d in ("1.0", "1.5")]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/healthz", timeout=10)
        assert not answers, "the stop came too late to show anything"
        for thread in threads:
            thread.join()
        assert process.wait(10) == 0
        output = process.stdout.read()
    assert sorted(json.loads(answer.text)["delay"] for answer in answers) == [1.0, 1.5]
    assert "Traceback" not in output
    assert "GET /" not in output, "there is no access log, even in debug mode"
