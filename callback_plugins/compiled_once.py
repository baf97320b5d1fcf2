"""Callback: a template is compiled once in a run, and not again for every task of every host."""

from __future__ import annotations

import marshal
import os
import struct
import sys
import tempfile
import zlib
from contextlib import suppress
from functools import wraps
from typing import Any

import jinja2
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: compiled_once
type: aggregate
short_description: Keeps compiled templates for the rest of the run
description:
  - Ansible has a process for each task of each host, and each compiles the variables it needs, and those they are made
    of, as often as one is named, which takes a sixth of the controller's time in a run without a change.
  - With this, a process takes what others have compiled before. It is kept in a file without a name, for the run alone,
    since there may be secrets in it.
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
# Of what it was compiled from and of the code, and the checksum of both.
HEAD = struct.Struct("=III")


class Compiled:
    """Code by what it was compiled from, shared by a process and all that are forked from it."""

    def __init__(self) -> None:
        # They share the place where it is written, too.
        self.file = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115
        self.known: dict[bytes, bytes] = {}
        self.read = 0

    def learn(self) -> None:
        """Take what other processes have compiled meanwhile."""
        file, start, at = self.file.fileno(), self.read, 0
        new = os.pread(file, max(0, os.fstat(file).st_size - start), start)
        while len(new) - at >= HEAD.size:
            key, code, sum_ = HEAD.unpack_from(new, at)
            record = new[at + HEAD.size : at + HEAD.size + key + code]
            if len(record) < key + code:
                break  # somebody is writing it
            if zlib.crc32(record) != sum_:
                self.read = sys.maxsize  # a full disk took only part of one: nobody learns any more
                return
            self.known[record[:key]] = record[key:]
            at += HEAD.size + len(record)
        self.read = start + at

    def take(self, compile_: Any, environment: jinja2.Environment, source: str) -> Any:
        """Return what compile_ makes of a template; it is asked where no process has asked it before."""
        settings = [type(environment), sorted(environment.extensions)]
        settings += [getattr(environment, name) for name in SETTINGS]
        key = repr((settings, str.__str__(source))).encode()
        if key not in self.known:
            self.learn()
        if key in self.known:
            return marshal.loads(self.known[key])  # noqa: S302 # this run's own
        code = compile_(environment, source)
        self.known[key] = marshal.dumps(code)
        record = key + self.known[key]
        head = HEAD.pack(len(key), len(self.known[key]), zlib.crc32(record))
        with suppress(OSError):
            self.file.write(head + record)
        return code


class CallbackModule(CallbackBase):
    """See the documentation."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "compiled_once"

    def __init__(self) -> None:
        """Put what is kept between Jinja and whoever has it compile a template."""
        super().__init__()
        self.compiled = Compiled()
        compile_ = jinja2.Environment.compile

        @wraps(compile_)
        def take(environment: jinja2.Environment, source: Any, *more: Any, **named: Any) -> Any:
            # Expressions come as trees, and files that are included with their names. What is optimized has results of
            # filters in it.
            passed_on = more or named or environment.optimized
            if passed_on or not isinstance(source, str) or "\\" in source:
                return compile_(environment, source, *more, **named)
            return self.compiled.take(compile_, environment, source)

        jinja2.Environment.compile = take  # type: ignore[method-assign, assignment]

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Let the processes of the next task begin with what those before have compiled."""
        self.compiled.learn()
