"""The lock file's wheels, resolved by the real uv and fetched by the real pip from the real index."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest

release = greenrack_modules.load("release_build")
wheels = greenrack_modules.load("greenrack_wheels")
Refused = wheels.Refused

DEMO = greenrack_modules.REPOSITORY / "app" / "demo" / "requirements.txt"
BOOKWORM = wheels.Target("3.11", "x86_64", "2.36")
TRIXIE = wheels.Target("3.13", "x86_64", "2.41")
HASHES = r"( --hash=sha256:[0-9a-f]{64})+"

# One small distribution, the way uv locks it.
BLINKER = """\
blinker==1.9.0 \\
    --hash=sha256:b4ce2265a7abece45e7cc896e98dbebe6cead56bcf805a3d23136d145f5445bf \\
    --hash=sha256:ba0efaa9080b619ff2f3459d1d500c57bddea4a6b424b60a91141db6fd2f08bc
    # via flask
"""


def locked(folder: Path, text: str) -> Path:
    """Write a lock file and return its path."""
    path = folder / "requirements.txt"
    path.write_text(text)
    return path


def squeezed(text: str) -> str:
    return re.sub(" +", " ", text)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The package index; without it, these tests cannot be run."""
    lock = locked(tmp_path_factory.mktemp("index"), "blinker==1.9.0\n")
    try:
        wheels.resolved(lock, BOOKWORM)
    except Refused as refused:
        if re.search("connect|dns|resolve host|fetch|timed out", str(refused), re.I):
            pytest.skip(f"the package index cannot be reached: {refused}")
        raise


def test_entries_have_their_hashes_and_markers() -> None:
    text = """\
# a comment
Flask_Thing.x[async,dev]==3.1.3 ; python_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via -r requirements.in
plain==1.0
--index-url https://example.org
unpinned>=2
  # via flask==9.9
"""
    found = wheels.entries(text)
    assert found.keys() == {"flask-thing-x", "plain"}
    version, line = found["flask-thing-x"]
    wanted = "Flask_Thing.x[async,dev]==3.1.3 ; python_version < '3.12' --hash=sha256:aa --hash=sha256:bb"
    assert (version, squeezed(line)) == ("3.1.3", wanted)
    assert found["plain"] == ("1.0", "plain==1.0")


def test_what_a_mode_needs_may_be_spelt_in_any_way() -> None:
    wheels.check_needs(DEMO, ["Psycogreen", "psycopg2_binary", "zope.event"])
    with pytest.raises(Refused):
        wheels.check_needs(DEMO, ["zope"])


def test_what_a_mode_needs_and_the_lock_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        wheels.check_needs(locked(tmp_path, BLINKER), ["gevent", "blinker", "gunicorn"])
    assert "The server mode needs gevent, gunicorn, which" in str(refused.value)
    assert "requirements.in -o requirements.txt" in str(refused.value)


def test_a_lock_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"There is no lock file .*type: uv pip compile"):
        wheels.check_needs(tmp_path / "requirements.txt", [])


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("target", [BOOKWORM, TRIXIE], ids=str)
def test_the_demos_lock_is_resolved(target: Any) -> None:
    found = wheels.resolved(DEMO, target)
    all_entries = wheels.entries(DEMO.read_text())
    assert set(all_entries) - set(found) == {"cffi", "pycparser"}  # gevent wants them on Windows
    for name, (version, text) in found.items():
        assert version == all_entries[name][0]
        # Of the lock's own hashes, every one, and no marker is left.
        assert re.fullmatch(re.escape(f"{name}=={version}") + HASHES, squeezed(text)), text
        assert text.count("--hash") == all_entries[name][1].count("--hash")


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(("target", "version"), [(BOOKWORM, "8.1.7"), (TRIXIE, "8.1.8")])
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_universal_lock_may_name_one_distribution_twice(
    tmp_path: Path, target: Any, version: str, newest_first: bool
) -> None:
    lines = [
        f"click==8.1.7 ; python_full_version < '3.12' --hash=sha256:{'7' * 64}",
        f"click==8.1.8 ; python_full_version >= '3.12' --hash=sha256:{'8' * 64}",
    ]
    lock = locked(tmp_path, "\n".join(reversed(lines) if newest_first else lines) + "\n")
    ((name, (found, text)),) = wheels.resolved(lock, target).items()
    assert (name, found) == ("click", version)
    assert squeezed(text) == f"click=={version} --hash=sha256:{version[-1] * 64}"


@pytest.mark.usefixtures("index")
def test_no_python_of_the_hosts_version_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = "3.13" if sys.version_info[:2] != (3, 13) else "3.11"
    program = tmp_path / f"python{theirs}"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = wheels.resolved(locked(tmp_path, BLINKER), wheels.Target(theirs, "x86_64", "2.36"))
    assert found["blinker"][0] == "1.9.0"
    assert not (tmp_path / "asked").exists()


@pytest.mark.usefixtures("index")
def test_what_is_locked_without_a_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "pyproject.toml").write_text('[project]\nname = "ours"\nversion = "1"\n')
    lock = locked(tmp_path, f"{BLINKER}-e {tmp_path}/ours\n")
    with pytest.raises(Refused, match=r"'-e .*ours'.* has no version on an index") as refused:
        wheels.resolved(lock, BOOKWORM)
    assert str(lock) in str(refused.value)


@pytest.mark.usefixtures("index")
def test_a_pin_nobody_can_satisfy_is_refused(tmp_path: Path) -> None:
    lock = locked(tmp_path, "flask==99.0\n")
    with pytest.raises(Refused) as refused:
        wheels.fetch(lock, BOOKWORM, tmp_path)
    said = str(refused.value)
    assert f"{lock} cannot be satisfied for cpython-3.11-x86_64-glibc-2.36" in said
    assert "flask==99.0" in said
    assert "type: uv pip compile" in said


@pytest.mark.usefixtures("index")
def test_what_takes_a_compiler_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        wheels.fetch(locked(tmp_path, "uwsgi==2.0.31\n"), BOOKWORM, tmp_path)
    assert f"uwsgi==2.0.31 has no wheel for {BOOKWORM} on the index" in str(refused.value)
    assert "Lock pyuwsgi instead, the same program ready built" in str(refused.value)


@pytest.mark.usefixtures("index")
def test_what_is_python_alone_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")  # it was built before
    wheels.fetch(locked(tmp_path, "docopt==0.6.2\n"), BOOKWORM, tmp_path)
    assert len(list(tmp_path.glob("docopt-*-none-any.whl"))) == 1


def fits(wheel: str) -> bool:
    """Say whether a wheel's name promises that it runs on Debian 12."""
    python, abi, platforms = wheel.removesuffix(".whl").split("-")[-3:]
    found = re.findall(r"manylinux_2_(\d+)_x86_64|manylinux(?:1|2010|2014)_x86_64", platforms)
    here = platforms == "any" or any(int(minor or 0) <= 36 for minor in found)
    known = {"py3", "py2.py3", "cp311", "cp36", "cp37", "cp38", "cp39"}
    return python in known and abi in {"none", "abi3", "cp311"} and here


@pytest.mark.usefixtures("index")
def test_the_demos_wheels_are_all_that_a_host_needs(tmp_path: Path) -> None:
    wheels.fetch(DEMO, BOOKWORM, tmp_path)
    names = sorted(path.name for path in tmp_path.glob("*.whl"))
    assert [name for name in names if not fits(name)] == []
    (psycogreen,) = [name for name in names if name.startswith("psycogreen-")]
    assert psycogreen.endswith("-none-any.whl")  # it comes as source, and is built here
    assert [name for name in names if re.match("pyuwsgi-.*cp311-manylinux", name)]
    pins = (tmp_path / "requirements.txt").read_text().splitlines()
    assert len(pins) == len(names) == len(list(tmp_path.iterdir())) - 1
    # As the host does it: nothing but the folder, and every dependency must be there.
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "install", "--dry-run", "--no-index", f"--find-links={tmp_path}"]
    command += [*BOOKWORM.uv_options(), f"--target={tmp_path / 'installed'}"]
    command += ["--requirement", str(tmp_path / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"Would install {len(pins)} packages" in done.stderr


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """What the module is told about a small application."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "wsgi.py").write_text("def app(environ, start_response):\n    return []\n")
    locked(source, BLINKER)
    return {
        "source": str(source),
        "requirements": "requirements.txt",
        "callables": ["wsgi:app"],
        "needs": ["blinker"],
        "cache": str(tmp_path / "cache"),
        "python": "3.11",
        "machine": "x86_64",
        "libc": "2.36",
    }


def names(archive: str) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def contents(archive: Path) -> dict[str, bytes]:
    """Return {name: content} of an archive, which must be whole."""
    with tarfile.open(archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar.getmembers()}


@pytest.mark.usefixtures("index")
def test_a_release_is_built_once(given: dict[str, Any]) -> None:
    first = greenrack_modules.run(release, **given)
    assert first["changed"] is True
    assert names(first["release_archive"]) == ["requirements.txt", "wsgi.py"]
    assert names(first["environment_archive"]) == [
        "blinker-1.9.0-py3-none-any.whl",
        "requirements.txt",
    ]
    assert greenrack_modules.run(release, **given) == {**first, "changed": False}
    # Other code is another release with the same environment.
    (Path(given["source"]) / "new.py").touch()
    second = greenrack_modules.run(release, **given)
    assert second["changed"] is True
    assert second["environment"] == first["environment"]
    assert second["release"] != first["release"]
    cached = {path.name for path in Path(given["cache"]).iterdir() if path.suffix != ".sha256"}
    assert cached == {
        "lock",
        f"environment-{first['environment']}.tar.gz",
        f"release-{first['release']}.tar.gz",
        f"release-{second['release']}.tar.gz",
    }


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("kind", ["release_archive", "environment_archive"])
def test_a_file_of_the_cache_that_is_not_whole_is_made_again(
    given: dict[str, Any], kind: str
) -> None:
    first = greenrack_modules.run(release, **given)
    archive = Path(first[kind])
    before = contents(archive)
    archive.write_bytes(archive.read_bytes()[:-20])
    assert greenrack_modules.run(release, **given) == {**first, "changed": True}
    assert contents(archive) == before
    release.checksum_of(archive).unlink()
    assert greenrack_modules.run(release, **given) == {**first, "changed": True}
    assert greenrack_modules.run(release, **given) == {**first, "changed": False}


@pytest.mark.usefixtures("index")
def test_a_wrong_hash_is_refused_and_leaves_nothing_behind(given: dict[str, Any]) -> None:
    lock = Path(given["source"]) / "requirements.txt"
    lock.write_text(f"blinker==1.9.0 --hash=sha256:{'0' * 64}\n")
    result = greenrack_modules.run(release, **given)
    assert result["failed"]
    assert f"{lock} cannot be satisfied" in result["msg"]
    assert "DO NOT MATCH THE HASHES" in result["msg"]
    assert [path.name for path in Path(given["cache"]).iterdir()] == ["lock"]


def test_what_is_refused_is_not_built(given: dict[str, Any]) -> None:
    result = greenrack_modules.run(release, **{**given, "needs": ["gevent"]})
    assert "The server mode needs gevent" in result["msg"]
    result = greenrack_modules.run(release, **{**given, "callables": ["nowhere:app"]})
    assert "There is no module 'nowhere'" in result["msg"]
    assert [path.name for path in Path(given["cache"]).iterdir()] == ["lock"]
