"""Callback: modules are packed for the hosts once, and not again in every run."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import marshal
import os
import pickle
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import module_loader, module_utils_loader
from ansible.release import __version__ as ansible_version
from ansible.utils.collection_loader import AnsibleCollectionConfig

DOCUMENTATION = """
name: packed_once
type: aggregate
short_description: Keeps packed modules from one run to the next
description:
  - Ansible sends a module to a host as an archive of some 60 sources, and makes that anew in every run, which takes the
    controller 80 ms a module. With this, a run takes the archives of the runs before it.
  - They are kept in C(~/.cache/greenrack/modules), in a directory for each state of all that could be packed; what
    nobody used for a week is thrown away.
  - Where nothing can be kept there, or a module could be either of two, every run packs for itself, as ever.
  - "Whoever changes a module of a released collection by hand has to remove that directory. So has whoever includes a
    role by the path of its directory, outside C(roles_path), with a module that is named as one of another role."
options:
  bytecode:
    description:
      - Whether the archives have bytecode beside the sources, so that hosts whose Python has the controller's minor
        version need not compile them in every task, which takes 60 of 140 ms.
      - They are three times as large then, 450 KB and more, and go to each host with each task, which is for networks
        that take 40 Mbit a second for each host.
    type: bool
    default: false
    ini: [{section: packed_once, key: bytecode}]
    env: [{name: GREENRACK_BYTECODE}]
"""

UNUSED_DAYS = 7


def _files(directory: str | Path) -> Iterator[Path]:
    """Yield all files below a directory that a module could be, or import."""
    for path in Path(directory).rglob("*"):
        if path.is_dir() and path.is_symlink():
            raise ValueError(f"{path} is a link, and what it leads to is not looked at")
        if path.is_file() and path.name[0] != "." and path.suffix not in (".pyc", ".md"):
            yield path


def _named(directory: Path, path: Path) -> Path:
    """Return what a file in a directory is imported by: a package may be one too."""
    name = path.relative_to(directory).with_suffix("")
    return name.parent if name.name == "__init__" else name


def sources(playbooks: Path) -> Iterator[Path]:
    """Yield all files that Ansible could pack for the playbooks it has loaded, and for others with these roles.

    playbooks: the directory of the first of them. ValueError: one name is of several files, and which of them is
    packed depends on the playbook.
    """
    places = [*constants.DEFAULT_ROLES_PATH, playbooks / "roles"]  # type: ignore[attr-defined]
    roles = {Path(path).resolve() for path in places}
    for loaded, own in (
        (module_loader._get_paths(), "library"),
        (module_utils_loader._get_paths(subdirs=False), "module_utils"),
    ):
        directories = [*loaded, *(path for role in roles for path in role.glob(f"*/{own}"))]
        seen: dict[Path, Path] = {}
        for directory in {Path(path).resolve() for path in directories}:
            for path in _files(directory):
                other = seen.setdefault(_named(directory, path), path)
                if other != path and (other.stat().st_size or path.stat().st_size):
                    raise ValueError(f"{_named(directory, path)} is both {other} and {path}")
                yield path
    for directory in map(Path, AnsibleCollectionConfig.collection_paths):
        below = "*/*" if directory.name == "ansible_collections" else "ansible_collections/*/*"
        for collection in directory.glob(below):
            released = collection / "MANIFEST.json"
            yield from [released] if released.exists() else _files(collection)


def key(playbooks: Path, *more: object) -> str:
    """Return a name for the state of all that could be packed, and of what else decides how it is."""
    known = [ansible_version, sys.implementation.cache_tag, *more]
    for path in sorted({*sources(playbooks), Path(__file__)}):
        seen = path.stat()
        known += [path, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def keep_in(place: Path) -> None:
    """Make a directory for packed modules; throw away those beside it that nobody used for long.

    OSError: it cannot be made, or others can write to it.
    """
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = place.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"others can write to {place}")
    os.utime(place)
    for other in place.parent.iterdir():
        with suppress(OSError):  # another run throws it away too
            if other.stat().st_mtime < time.time() - UNUSED_DAYS * 86400:
                shutil.rmtree(other)


@cache
def compiled(source: bytes, name: str) -> bytes:
    """Return the bytecode of a source as the content of a file that holds without a look at the source."""
    with warnings.catch_warnings(action="ignore"):
        code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    unchecked = (1).to_bytes(4, "little")
    return (
        importlib.util.MAGIC_NUMBER
        + unchecked
        + importlib.util.source_hash(source)
        + marshal.dumps(code)
    )


def with_bytecode(archive: bytes) -> bytes:
    """Return a packed module, base64 of a zip archive, with bytecode of what it imports beside the sources.

    Not of itself: what Ansible says of a module that does something deprecated follows from where its code comes from.
    """
    new = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as old,
        zipfile.ZipFile(new, "w") as both,
    ):
        for entry in old.infolist():
            source = old.read(entry)
            both.writestr(entry, source)
            if "/module_utils/" in entry.filename and entry.filename.endswith(".py"):
                beside = compiled(source, entry.filename)
                both.writestr(f"{entry.filename}c", beside, entry.compress_type)
    return base64.b64encode(new.getvalue())


def store(archive: Path, place: Path, bytecode: bool) -> None:
    """Keep what Ansible has packed in a file, whole or not at all."""
    packed = pickle.loads(archive.read_bytes())  # noqa: S301 # this run's own
    if bytecode:
        packed = replace(packed, zip_data=with_bytecode(packed.zip_data))
    with tempfile.NamedTemporaryFile(dir=place, prefix=".") as new:
        new.write(pickle.dumps(packed))
        new.flush()
        os.fsync(new.fileno())
        with suppress(FileExistsError):  # another run was first
            os.link(new.name, place / archive.name)


class CallbackModule(CallbackBase):
    """See the documentation."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "packed_once"

    def __init__(self) -> None:
        """Do nothing where that is asked for."""
        super().__init__()
        self.disabled = "GREENRACK_PLAIN" in os.environ

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Put what was packed before where Ansible looks for what it has packed."""
        self.place = None
        self.packed = Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache")  # type: ignore[attr-defined]
        self.known = Path(playbook._basedir), self.get_option("bytecode")
        try:
            self.packed.mkdir()  # it is there for the second of several playbooks, which takes what the first had
            place = Path("~/.cache/greenrack/modules").expanduser() / key(*self.known)
            keep_in(place)
            for archive in place.glob("[!.]*"):
                (self.packed / archive.name).symlink_to(archive)
            self.place = place
        except (OSError, RuntimeError, ValueError) as error:
            self._display.vv(f"Modules are packed for this run alone: {error}")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Keep what this run has packed."""
        try:
            # A role that was included has brought more, or a file was changed meanwhile.
            if self.place is None or key(*self.known) != self.place.name:
                return
            for archive in self.packed.iterdir():
                if not archive.is_symlink() and not archive.name.endswith((".lock", "-part")):
                    store(archive, self.place, self.get_option("bytecode"))
        except (OSError, ValueError) as error:
            self._display.vv(f"Modules are packed anew by the next run: {error}")
