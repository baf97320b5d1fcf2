"""The results on disk: a directory a session, in it a JSON and a compressed log a result.

Append-only. A file appears whole under its name or not at all: it is written under a temporary
name, flushed to the disk, then linked to its own (a rename would overwrite, a link refuses to).
The log comes first, so that a JSON without its log means damage, never bad timing.
"""

import gzip
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import BadInput
from bench.result import check_result
from bench.shape import check_optional, check_refused, check_session, read_json
from bench.table import server_of

LOG = ".log.gz"
DAMAGE = (OSError, ValueError, TypeError, KeyError, EOFError, zlib.error, RecursionError)
# What an experiment keeps beside its results: what it is about, and the cells that were left out.
ABOUT, REFUSED = "session.json", ".refused.json"
# There while what was deployed before the experiment is deployed again.
PUT_BACK = "put_back"


def write_result(session: Path, name: str, doc: dict[str, Any], log: bytes | None) -> Path:
    """Store `doc`, and `log` if any, in the directory `session`; return the JSON's path.

    Raises BadInput when the result is there already, or cannot be written.
    """
    path, log_path = session / f"{name}.json", session / f"{name}{LOG}"
    packed = gzip.compress(log, mtime=0) if log is not None else None
    raw = None
    if packed is not None:
        raw = {"log": log_path.name, "sha256": hashlib.sha256(packed).hexdigest()}
    text = json.dumps(doc | {"raw": raw}, indent=1, allow_nan=False) + "\n"
    try:
        session.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise FileExistsError(path)
        if packed is not None:
            publish(log_path, packed)
        try:
            publish(path, text.encode())
        except BaseException:
            if packed is not None and not path.exists():
                log_path.unlink()
            raise
    except FileExistsError as why:
        if path.exists():
            raise BadInput(
                f"{path} is already recorded, and results are never overwritten",
                "a cell not yet in this session",
                'a new session directory, or another "round" or "variant" in the cell',
            ) from why
        raise BadInput(
            f"{log_path} has no JSON beside it: left by an interrupted record",
            "a session without such a file",
            f"rm {log_path}   then record again",
        ) from why
    except OSError as why:
        raise BadInput(
            f"cannot write into {session}: {why}",
            "a directory this user may write to, with space left",
            f"ls -ld {session}; df {session}",
        ) from why
    return path


def publish(path: Path, data: bytes, anew: bool = False) -> None:
    """Make `data` appear at `path` at once; FileExistsError when something is there, unless it is written anew."""
    tmp = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with tmp.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        (os.replace if anew else os.link)(tmp, path)
    finally:
        tmp.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_files(session: Path, take: Callable[[Path, Any], None]) -> list[str]:
    """Give each JSON document of a session to `take`, in order of name; return a line for each damaged file.

    Damaged is what `take` raises for as well, and what a recording that was interrupted has left.
    """
    damaged = []
    for path in sorted(session.glob("*.json")):
        try:
            take(path, read_json(path.read_text(encoding="utf-8")))
        except BadInput as why:
            damaged.append(f"{path}: {why.wrong}")
        except DAMAGE as why:
            damaged.append(f"{path}: {why}")
    for path in sorted(session.glob(f"*{LOG}")):
        if not (session / f"{path.name.removesuffix(LOG)}.json").exists():
            damaged.append(f"{path}: a log without its JSON, its recording was interrupted")
    return damaged + [f"{path}: half-written" for path in sorted(session.glob(".*.tmp"))]


def is_result(path: Path, doc: Any) -> bool:
    """Return whether a session's document is a result, and not what it is about or a cell that was left out.

    Raises BadInput, ValueError, TypeError or KeyError for one that is not as it was written.
    """
    if path.name == ABOUT:
        check_session(doc)
    elif path.name.endswith(REFUSED):
        cell = check_refused(doc)["cell"]
        if f"{cell}{REFUSED}" != path.name:
            raise ValueError(f"it is about {cell}")
    else:
        check_result(doc)
        check_optional(doc)
        return True
    return False


def read_session(session: Path) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """Return ((name, result), ...) in order of name, and a line for each damaged file."""
    results = []
    first: dict[tuple[Any, ...], str] = {}

    def take(path: Path, doc: Any) -> None:
        if not is_result(path, doc):
            return
        if doc.get("raw"):
            read_log(session, doc["raw"])
        cell = doc["cell"]
        key = (server_of(doc), cell["workload"], cell["engine"], cell.get("round") or 1)
        if first.setdefault(key, path.stem) != path.stem:
            raise ValueError(f"the same cell, load and round as {first[key]}")
        results.append((path.stem, doc))

    damaged = read_files(session, take)
    return results, damaged


def read_log(session: Path, raw: dict[str, str]) -> bytes:
    """Return the log named by `raw`, compressed; raise ValueError or OSError if it is not the one recorded."""
    if Path(raw["log"]).name != raw["log"]:
        raise ValueError(f"its log {raw['log']!r} is no file of this session")
    packed = (session / raw["log"]).read_bytes()
    if hashlib.sha256(packed).hexdigest() != raw["sha256"]:
        raise ValueError(f"its log {raw['log']} is not the one recorded (SHA-256 differs)")
    return packed
