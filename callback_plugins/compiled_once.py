"""Callback: a template is compiled once, and not again for every task of every host and in every run."""

from __future__ import annotations

import hashlib
import marshal
import os
import re
import struct
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any

import jinja2
from ansible._internal._datatag._tags import Origin
from ansible._internal._templating._jinja_common import _TemplateConfig
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader
from ansible.release import __version__ as ansible_version
from jinja2 import nodes
from jinja2.environment import TemplateExpression
from jinja2.parser import Parser
from jinja2.utils import _PassArg

DOCUMENTATION = """
name: compiled_once
type: aggregate
short_description: Keeps compiled templates for the other processes, and for the next runs
description:
  - Ansible has a process for each task of each host, and each compiles the variables it needs, and those they are made
    of, as often as one is named, which takes a sixth of the controller's time in a run without a change.
  - With this, a process takes what others have compiled before. It is kept in a file without a name, for the run alone,
    since there may be secrets in it.
  - Of Greenrack's own files, those of its roles and playbooks and C(inventories/topology.yml), it is kept in
    C(~/.cache/greenrack/templates) for the next runs too, unless it is encrypted. A file nobody used for a week is
    thrown away, as is one that grew too large.
  - "A template with a backslash is compiled as ever: what becomes of that depends on where Ansible has it from."
"""

# What decides, beside a template's text, which code comes of it.
SETTINGS = (
    "block_start_string",
    "block_end_string",
    "variable_start_string",
    "variable_end_string",
    "comment_start_string",
    "comment_end_string",
    "line_statement_prefix",
    "line_comment_prefix",
    "trim_blocks",
    "lstrip_blocks",
    "newline_sequence",
    "keep_trailing_newline",
    "autoescape",
)
# Of what it was compiled from and of the code, the checksum of both, and whether the next runs may have it.
HEAD = struct.Struct("=III?")
# Files that hold nobody's secrets.
HOUSE = Path(__file__).resolve().parents[1]
OWN = (HOUSE / "roles", HOUSE / "playbooks", HOUSE / "inventories/topology.yml")
UNUSED_DAYS = 7
MOST = 32 * 2**20  # bytes that are kept: the present ones are a tenth
# A filter or test of a collection, whose next version could take other arguments.
OF_COLLECTION = re.compile(r"(\||\bis\b|\bfilter\b)\s*(not\s+)?\w+\.\w+")


@cache
def is_own(path: str | None) -> bool:
    """Return whether a file that a template comes from is Greenrack's, and not an operator's."""
    if path is None:
        return False
    with suppress(OSError):
        real = Path(path).resolve()
        if {"group_vars", "host_vars"}.isdisjoint(real.parts) and any(
            map(real.is_relative_to, OWN)
        ):
            with real.open("rb") as file:
                return file.read(14) != b"$ANSIBLE_VAULT"
    return False


def called() -> str:
    """Return what stands for the filters and tests there are, and for what each is called with."""
    known = [
        (name, str(_PassArg.from_obj(plugin.j2_function)))
        for loader in (filter_loader, test_loader)
        for name, plugin in sorted(loader._cached_non_collection_wrappers.items())
        if hasattr(plugin, "j2_function")  # else it could not be loaded
    ]
    return hashlib.sha256(repr(known).encode()).hexdigest()


def records(content: bytes) -> tuple[list[tuple[bytes, bytes, bool]], int]:
    """Return the (key, code, own) that stand one after the other, and how many bytes they take.

    The last may be one that somebody is writing. ValueError: one is damaged.
    """
    found, at = [], 0
    while len(content) - at >= HEAD.size:
        key, code, sum_, own = HEAD.unpack_from(content, at)
        record = content[at + HEAD.size : at + HEAD.size + key + code]
        if len(record) < key + code:
            break
        if zlib.crc32(record) != sum_:
            raise ValueError("what others have compiled is damaged")
        found.append((record[:key], record[key:], own))
        at += HEAD.size + len(record)
    return found, at


def packed(key: bytes, code: bytes, own: bool) -> bytes:
    """Return one of these records."""
    return HEAD.pack(len(key), len(code), zlib.crc32(key + code), own) + key + code


class Compiled:
    """Code by what it was compiled from, shared by a process and all that are forked from it."""

    def __init__(self) -> None:
        # Forked processes share the place where it is written, too, so each record they write at once is whole.
        self.file = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115
        self.known: dict[bytes, bytes] = {}
        self.new: set[bytes] = set()  # what this run has compiled and the next may have
        self.read = 0
        self.filters: list[dict] = []

    def called(self) -> str:
        """Return what called() does, once for those there are; when a role brings more, Ansible has other dicts."""
        loaders = (filter_loader, test_loader)
        for loader in loaders:
            loader._ensure_non_collection_wrappers()
        now = [loader._cached_non_collection_wrappers for loader in loaders]
        if not self.filters or any(was is not is_ for was, is_ in zip(self.filters, now)):
            self.filters, self.how_called = now, called()
        return self.how_called

    def learn(self) -> None:
        """Take what other processes have compiled meanwhile."""
        file, start = self.file.fileno(), self.read
        try:
            found, taken = records(os.pread(file, max(0, os.fstat(file).st_size - start), start))
        except ValueError:
            self.read = sys.maxsize  # a full disk took only part of one: nobody learns any more
            return
        self.known.update((key, code) for key, code, _ in found)
        self.new.update(key for key, _, own in found if own)
        self.read = start + taken

    def take(
        self, compile_: Any, environment: jinja2.Environment, source: str, kind: str = ""
    ) -> Any:
        """Return what compile_ makes of a template; it is asked where no process has asked it before."""
        settings = [kind, type(environment), sorted(environment.extensions)]
        settings += [getattr(environment, name) for name in SETTINGS]
        settings += [_TemplateConfig.allow_embedded_templates, self.called()]
        key = repr((settings, str.__str__(source))).encode()
        if key not in self.known:
            self.learn()
        if key in self.known:
            return marshal.loads(self.known[key])  # noqa: S302 # this user's own
        code = compile_(environment, source)
        self.known[key] = marshal.dumps(code)
        own = is_own(getattr(Origin.get_tag(source), "path", None))
        own = own and not OF_COLLECTION.search(source)
        with suppress(OSError):
            self.file.write(packed(key, self.known[key], own))
        return code


class Kept:
    """What runs leave to the next ones, in a file of the user's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        what = [ansible_version, jinja2.__version__, sys.implementation.cache_tag]
        what += [Path(__file__).read_bytes()]
        self.file = directory / hashlib.sha256(repr(what).encode()).hexdigest()[:16]

    def check(self) -> None:
        """Make the directory; throw away what nobody used for long. OSError: others can write to it."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.directory.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError(f"others can write to {self.directory}")
        for other in self.directory.iterdir():
            with suppress(OSError):  # another run throws it away too
                if other.stat().st_mtime < time.time() - UNUSED_DAYS * 86400:
                    other.unlink()

    def load(self) -> dict[bytes, bytes]:
        """Return the code that runs before have left."""
        try:
            self.check()
            os.utime(self.file)
            return {key: code for key, code, _ in records(self.file.read_bytes())[0]}
        except (OSError, ValueError):
            return {}

    def add(self, new: dict[bytes, bytes]) -> None:
        """Leave more to the next runs, whole or not at all; what is too much goes.

        Of two runs that do so at the same moment, one leaves nothing.
        """
        both = {**self.load(), **new}
        self.check()
        if sum(map(len, both.values())) > MOST:
            both = new
        with tempfile.NamedTemporaryFile(dir=self.directory, prefix=".", delete=False) as file:
            file.writelines(packed(key, code, True) for key, code in both.items())
        Path(file.name).replace(self.file)


def home() -> Path | None:
    """Return the user's home directory, unless it is somebody else's, as with sudo, or none."""
    with suppress(OSError, RuntimeError):
        path = Path.home()
        return path if path.stat().st_uid == os.geteuid() else None
    return None


class CallbackModule(CallbackBase):
    """See the documentation."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "compiled_once"

    def __init__(self) -> None:
        """Put what is kept between Jinja and whoever has it compile a template."""
        super().__init__()
        self.disabled = "GREENRACK_PLAIN" in os.environ
        if self.disabled:
            return
        self.compiled = Compiled()
        self.kept = Kept(own / ".cache/greenrack/templates") if (own := home()) else None
        self.compiled.known = self.kept.load() if self.kept else {}
        compile_, expression_ = jinja2.Environment.compile, jinja2.Environment.compile_expression

        @wraps(compile_)
        def take(environment: jinja2.Environment, source: Any, *more: Any, **named: Any) -> Any:
            # Files that are included come with their names, and expressions as trees. What is optimized has results of
            # filters in it.
            passed_on = more or named or environment.optimized
            if passed_on or not isinstance(source, str) or "\\" in source:
                return compile_(environment, source, *more, **named)
            return self.compiled.take(compile_, environment, source)

        def compile_expression(environment: jinja2.Environment, source: str) -> Any:
            expression = Parser(environment, source, state="variable")
            value = expression.parse_expression()
            if not expression.stream.eos:
                raise jinja2.TemplateSyntaxError("more than an expression", 1)
            result = nodes.Assign(nodes.Name("result", "store"), value, lineno=1)
            tree = nodes.Template([result], lineno=1)
            return compile_(environment, tree.set_environment(environment))

        @wraps(expression_)
        def take_expression(
            environment: jinja2.Environment, source: str, undefined_to_none: bool = True
        ) -> Any:
            if environment.optimized or "\\" in source:
                return expression_(environment, source, undefined_to_none)
            try:
                code = self.compiled.take(compile_expression, environment, source, "expression")
            except jinja2.TemplateError:
                return expression_(
                    environment, source, undefined_to_none
                )  # which says what is wrong
            names = environment.make_globals(None)
            template = environment.template_class.from_code(environment, code, names)
            return TemplateExpression(template, undefined_to_none)

        jinja2.Environment.compile = take  # type: ignore[method-assign, assignment]
        jinja2.Environment.compile_expression = take_expression  # type: ignore[method-assign, assignment]

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Let the processes of the next task begin with what those before have compiled."""
        self.compiled.learn()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Leave to the next runs what this one has compiled of our own."""
        self.compiled.learn()
        if self.kept and self.compiled.new:
            with suppress(OSError):
                self.kept.add({key: self.compiled.known[key] for key in self.compiled.new})
