"""Wheels from an index of the operator's own, which wants a password, by the real uv and the real pip."""

from __future__ import annotations

import base64
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import greenrack_modules
import pytest

wheels = greenrack_modules.load("greenrack_wheels")

TARGET = wheels.Target("3.11", "x86_64", "2.36")
WHEEL = "ours-1.0-py3-none-any.whl"
PASSWORD = "never-to-be-shown"  # noqa: S105
LOGIN = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
PARTS = {
    "ours.py": "",
    "ours-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n",
    "ours-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "ours-1.0.dist-info/RECORD": "",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Shows a folder to who knows the password."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] == LOGIN:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def digest(tmp_path: Path) -> str:
    """The hash of what the index has: one distribution, which nobody else has so."""
    page = tmp_path / "index/simple/ours/index.html"
    page.parent.mkdir(parents=True)
    with zipfile.ZipFile(page.with_name(WHEEL), "w") as wheel:
        for name, text in PARTS.items():
            wheel.writestr(name, text)
    found = hashlib.sha256(page.with_name(WHEEL).read_bytes()).hexdigest()
    page.write_text(f'<a href="{WHEEL}#sha256={found}">{WHEEL}</a>')
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[str]:
    """Where the index is."""

    def handler(*told: object) -> Handler:
        return Handler(*told, directory=str(tmp_path / "index"))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file, which says of no index; what this machine has of one, or of passwords, is left out."""
    for name in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NETRC", "PIP_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    path = tmp_path / "requirements.txt"
    path.write_text(f"ours==1.0 --hash=sha256:{digest}\n")
    return path


def fetched(lock: Path) -> list[str]:
    """Return what was fetched of a lock file."""
    folder = lock.with_name("fetched")
    folder.mkdir()
    wheels.fetch(lock, TARGET, folder)
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "says",
    [
        "-i {url}",  # as pipenv writes it
        "--index-url {url}",
        "--index-url=http://{there}/none/\n--extra-index-url {url}",
    ],
)
def test_an_index_that_the_lock_file_names_is_asked(lock: Path, place: str, says: str) -> None:
    told = says.format(url=f"http://me:{PASSWORD}@{place}/simple/", there=f"me:{PASSWORD}@{place}")
    lock.write_text(f"{told}\n{lock.read_text()}")
    assert fetched(lock) == [WHEEL, "requirements.txt"]
    assert (lock.parent / "fetched/requirements.txt").read_text() == "ours==1.0\n"


def test_the_password_may_be_where_others_look_for_it(
    lock: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = lock.with_name("netrc")
    kept.write_text(f"machine 127.0.0.1 login me password {PASSWORD}\n")
    monkeypatch.setenv("NETRC", str(kept))
    lock.write_text(f"--index-url http://{place}/simple/\n{lock.read_text()}")
    assert fetched(lock) == [WHEEL, "requirements.txt"]


def test_an_index_may_be_typed_and_what_only_uv_is_told_is_refused(
    lock: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://me:{PASSWORD}@{place}"
    monkeypatch.setenv("UV_INDEX", f"{url}/simple/")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{url}/none/")
    monkeypatch.setenv("PIP_INDEX_URL", f"{url}/none/")
    with pytest.raises(wheels.Refused) as refused:
        wheels.fetch(lock, TARGET, lock.parent)
    assert "pip finds no ours==1.0." in str(refused.value)
    assert "export UV_INDEX=URL PIP_EXTRA_INDEX_URL=URL" in str(refused.value)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{url}/simple/")
    assert fetched(lock) == [WHEEL, "requirements.txt"]


@pytest.mark.parametrize("hashed", [True, False])
def test_no_password_is_told(lock: Path, place: str, hashed: bool) -> None:
    """Neither by uv, which finds nothing there, nor by us, who take no such line without hashes."""
    text = lock.read_text() if hashed else "ours==1.0\n"
    lock.write_text(f"--index-url http://me:{PASSWORD}@{place}/none/\n{text}")
    with pytest.raises(wheels.Refused) as refused:
        wheels.fetch(wheels.lock_of(lock, [], TARGET, lock.parent), TARGET, lock.parent)
    assert PASSWORD not in str(refused.value)
    assert hashed or f"http://********@{place}" in str(refused.value)
