"""The wheels a lock file needs on a host, fetched by the controller: hosts never talk to an index."""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
import sys
from pathlib import Path

from ansible.module_utils.greenrack_source import Refused
from packaging.specifiers import InvalidSpecifier, SpecifierSet

ENTRY = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
# What a lock file says of indexes; uv reads it there by itself.
INDEX = re.compile(r"^(?:-i|--(?:extra-)?index-url)[ =].*$", re.M)
NO_WHEEL = re.compile(r"No matching distribution found for ([\w.-]+)==")
ONLY_WITH = {
    "psycogreen": {"psycopg2", "psycopg2-binary"}
}  # what some modes need, of some applications
READY_BUILT = {"uwsgi": "pyuwsgi", "psycopg2": "psycopg2-binary"}


def normal(name):
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked(lock):
    """Yield (name, version, text with markers and hashes) for each line that pins a version.

    A universal lock may pin several versions of one name, each for other Pythons or platforms.
    """
    for line in re.sub(r"\\\n", " ", lock).splitlines():
        match = ENTRY.match(line.strip())
        if match:
            yield normal(match[1]), match[2], line.strip()


def entries(lock):
    """Return {name: (version, text with markers and hashes)} of a lock file's text."""
    return {name: (version, text) for name, version, text in _locked(lock)}


def check_python(path, target):
    """Refuse a pyproject.toml that is not for the target's Python; uv looks at that of what it needs only."""
    wanted = re.search(
        r"^requires-python *= *[\"'](.+?)[\"']", path.read_text(encoding="utf-8"), re.M
    )
    if path.name != "pyproject.toml" or not wanted:
        return
    patches = [f"{target.python}.{patch}" for patch in range(100)]  # the host's is not known here
    with contextlib.suppress(InvalidSpecifier):  # of which uv says what is wrong
        if not list(SpecifierSet(wanted[1]).filter(patches)):
            raise Refused(
                f"{path} requires Python {wanted[1]}, and the host has {target.python}. Valid is a host with such "
                "a Python: Debian 12 has 3.11, Debian 13 has 3.13."
            )


def lock_of(path, extras, target, cache):
    """Return the path of a lock file: `path`, or what its requirements without hashes were resolved to.

    That is done once, with the extras, for what an index has changes: the same requirements stay the same
    release, until somebody locks them or changes them.
    """
    if path.name == "uv.lock":
        raise Refused(
            f"{path} is no lock file in pip's format. Set app_requirements to locked.txt, and type in {path.parent}: "
            "uv export --no-dev --no-emit-project --format requirements-txt -o locked.txt"
        )
    if not path.is_file() or "--hash=" in path.read_text(encoding="utf-8"):
        return path
    check_python(path, target)
    text = path.read_text(encoding="utf-8")
    elsewhere = re.search(r"^(-.*|dynamic *=.*dependencies.*)$", text, re.M)
    if elsewhere:
        raise Refused(
            f"{path} says '{elsewhere[1]}', and what stands elsewhere may change unnoticed. Lock it, and set "
            "app_requirements to locked.txt. Type: uv pip compile --universal --generate-hashes "
            f"{path.name} -o locked.txt"
        )
    more = "\n".join(extras) + "\n"
    name = hashlib.sha256(f"{text}\0{more}\0{target}".encode()).hexdigest()[:12]
    lock = cache / f"lock-{name}.txt"
    if not lock.exists():
        needed = lock.with_suffix(".in")
        needed.write_text(more, encoding="utf-8")
        _compile([path, needed], target, ["--generate-hashes", "--output-file", f"{lock}.partial"])
        Path(f"{lock}.partial").replace(lock)
    return lock


def _needed(name, locked):
    """Say whether what a mode needs is needed by an application with these distributions."""
    return name not in ONLY_WITH or not ONLY_WITH[name].isdisjoint(locked)


def _locking(lock_path, names):
    """Return what to type for a lock file that has these distributions too."""
    head = lock_path.read_text(encoding="utf-8")[:1000] if lock_path.is_file() else ""
    export = re.search(r"^# +(uv export .*)$", head, re.M)
    if export:
        return f"It was made from a uv.lock. Type: uv add {' '.join(names)} && {export[1]}"
    source = lock_path.with_suffix(".in")
    add = f"Add it to {source.name} and type" if names else "Make one with hashes, type"
    if names and not source.is_file():
        add = f"What it was made from, such as {source.name}, is to name it. Then type"
    return f"{add}: uv pip compile --universal --generate-hashes {source.name} -o {lock_path.name}"


def check_needs(lock_path, needs):
    """Refuse a lock file that lacks a distribution the server mode needs."""
    if not lock_path.is_file():
        raise Refused(f"There is no lock file {lock_path}. {_locking(lock_path, [])}")
    locked = entries(lock_path.read_text(encoding="utf-8"))
    missing = [name for name in map(normal, needs) if name not in locked and _needed(name, locked)]
    if missing:
        raise Refused(
            f"The server mode needs {', '.join(missing)}, which {lock_path} does not lock. "
            f"{_locking(lock_path, missing)}"
        )


class Target:
    """The Python and platform the wheels are for."""

    def __init__(self, python, machine, libc):
        self.python, self.machine = python, machine
        self.minor = int(libc.split(".")[1])

    def __str__(self):
        return f"cpython-{self.python}-{self.machine}-glibc-2.{self.minor}"

    def uv_options(self):
        """Return the options that make uv resolve for it; uv knows glibc up to 2.40."""
        platform = f"{self.machine}-manylinux_2_{min(self.minor, 40)}"
        return ["--python-version", self.python, "--python-platform", platform]

    def pip_options(self):
        """Return the options that make pip download for it."""
        older = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.minor, 4, -1)]
        legacy = [
            f"{name}_{self.machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1")
        ]
        chosen = [f"--platform={name}" for name in [*older, *legacy, f"linux_{self.machine}"]]
        return [
            "--only-binary=:all:",
            "--implementation=cp",
            f"--python-version={self.python}",
            *chosen,
        ]


def _run(command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _compile(paths, target, options):
    """Resolve requirement files for the target, the first of them the operator's; return what uv prints."""
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "compile", "--quiet", "--no-header", "--no-annotate", *options]
    # With a Python named, uv neither looks for one of the host's version nor downloads it.
    command += ["--python", sys.executable]
    done = _run([*command, *target.uv_options(), *map(str, paths)])
    if done.returncode != 0:
        raise Refused(
            f"{paths[0]} cannot be satisfied for {target}:\n{done.stderr.strip()}\n"
            "If that is about the network, cure it and type the same command again. Else cure the file; where it is "
            "a lock, its source, and type: uv pip compile --universal --generate-hashes "
            f"requirements.in -o {'locked.txt' if paths[0].suffix in ('.toml', '.lock') else paths[0].name}"
        )
    return done.stdout


def resolved(lock_path, target):
    """Return the lock's entries that apply to the target, {name: (version, text without markers)}."""
    out = _compile([lock_path], target, ["--no-deps"])
    strange = [line for line in out.splitlines() if not ENTRY.match(line)]
    if strange:
        raise Refused(
            f"'{strange[0]}' in {lock_path} has no version on an index, and hosts get wheels of exact "
            "versions. Move its code into app_source, or publish it and lock NAME==VERSION."
        )
    lock = lock_path.read_text(encoding="utf-8")
    locked = {(name, version): text for name, version, text in _locked(lock)}
    # The lock's own text, for its hashes are the ones somebody looked at; its markers are settled now.
    return {
        name: (version, re.sub(r"\s*;.*?(?=\s--hash|$)", "", locked[name, version]))
        for name, version, _ in _locked(out)
    }


def fetch(lock_path, target, directory):
    """Fill `directory` with the wheels of the lock file for `target`, and a requirements.txt."""
    wanted = resolved(lock_path, target)
    indexes = INDEX.findall(lock_path.read_text(encoding="utf-8"))
    sources = {}
    while True:
        lines = [text for name, (_, text) in wanted.items() if name not in sources]
        done = _pip("download", target.pip_options(), indexes + lines, directory)
        if done.returncode == 0:
            break
        lacking = NO_WHEEL.search(done.stderr)
        name = normal(lacking[1]) if lacking else None
        if name not in wanted or name in sources:
            raise Refused(f"{lock_path} cannot be satisfied for {target}:\n{done.stderr.strip()}")
        sources[name] = wanted[name]
    for name, (version, text) in sources.items():
        _build(name, version, [*indexes, text], directory, target)
    pins = [f"{name}=={version}" for name, (version, _) in sorted(wanted.items())]
    (directory / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")


def _pip(verb, options, lines, directory):
    """Run pip over requirement lines, quietly; hashes in them are checked."""
    wanted = directory / "wanted.txt"
    wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
    into = "--dest" if verb == "download" else "--wheel-dir"
    command = [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check"]
    done = _run(
        [*command, "--no-deps", into, str(directory), *options, "--requirement", str(wanted)]
    )
    wanted.unlink()
    return done


def _build(name, version, lines, directory, target):
    """Build a distribution that comes as source only; refuse it if that takes a compiler."""
    other = READY_BUILT.get(name)
    said = ""
    if not other:
        # Older ones say nothing of what builds them, and pip would take for it what this environment has.
        done = _pip("wheel", ["--use-pep517"], lines, directory)
        wheels = [path.name for path in directory.glob("*.whl")]
        built = [wheel for wheel in wheels if normal(wheel.split("-")[0]) == name]
        if done.returncode == 0 and built and built[0].endswith("-none-any.whl"):
            return
        if "(from versions: none)" in done.stderr and "require a different" not in done.stderr:
            raise Refused(
                f"pip finds no {name}=={version}. If that is about the network, cure it and type the same command "
                "again. Where it is on an index of your own, pip is to know that as uv does: by a line "
                "--extra-index-url URL of the lock file, or here, by: export UV_INDEX=URL PIP_EXTRA_INDEX_URL=URL\n"
                + done.stderr.strip()[-500:]
            )
        if done.returncode != 0:
            said = (
                "To build it here, as Python alone, has failed. If that is about the network, cure it and type the "
                f"same command again:\n{done.stderr.strip()[-500:]}"
            )
    advice = (
        f"Lock {other} instead, the same program ready built"
        if other
        else ("Lock a version that has one, or a ready-built twin of it")
    )
    raise Refused(
        f"{name}=={version} has no wheel for {target} on the index, and hosts get no compiler. {advice}.\n"
        + said
    )
