"""Callback: what needs no host is done by Ansible's own process, and not by one that is made for it."""

from __future__ import annotations

import gc
import inspect
import os
import threading
from copy import copy
from typing import Any

from ansible._internal import _task
from ansible._internal._display_utils import DeferredWarningContext
from ansible.executor import task_result
from ansible.executor.process.worker import WorkerProcess
from ansible.executor.task_executor import TaskExecutor
from ansible.playbook.task import Task
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import lookup_loader

DOCUMENTATION = """
name: done_here
type: aggregate
short_description: Makes no process for a task that is skipped or needs no host
description:
  - Ansible makes a process for each task of each host, which takes the controller 20 ms, whether there is anything to
    do or not.
  - With this, it makes none for a task that is skipped, and none for those that only look at variables or bring others,
    unless they loop, wait, or ask a lookup for more than what is in variables and files. Which lookups ask for more is
    known by their names; filters and tests are taken to be quick.
  - Processes that are made end soon, and so do without a collection of garbage. Ansible's own, nearly all of whose
    objects stay, looks for it seldom; else that is a tenth of its time.
  - With an ansible-core whose insides are others, from 2.21 on, each task has its process as ever.
"""

ACTIONS = (
    "assert",
    "debug",
    "fail",
    "include_role",
    "include_tasks",
    "set_fact",
    "validate_argument_spec",
)
# What asks no host. Of others we can only say that they are skipped.
NEED_NO_HOST = {f"ansible.builtin.{action}" for action in ACTIONS}
# They start nothing and wait for nobody.
LOOKUPS = {
    "config",
    "env",
    "file",
    "fileglob",
    "inventory_hostnames",
    "rendered",
    "same_options",
    "secret",
    "template",
    "to_type",
    "varnames",
    "vars",
}


class ProcessNeededError(BaseException):
    """A task is for a process of its own. Nobody who catches what goes wrong in a task shall catch this."""


class Attempts:
    """Does what processes were to do."""

    def __init__(self) -> None:
        self.thread: int | None = None  # that of a present attempt; callbacks have another one
        get = lookup_loader.get

        def get_harmless(name: str, *more: Any, **named: Any) -> Any:
            harmless = name.removeprefix("ansible.builtin.") in LOOKUPS
            if not harmless and self.thread == threading.get_ident():
                raise ProcessNeededError
            return get(name, *more, **named)

        lookup_loader.get = get_harmless

    def done(self, worker: WorkerProcess) -> bool:
        """Do what a process was to do, and return whether it is done; if not, nobody has seen any of it."""
        task = worker._task
        needs_no_host = task.action in NEED_NO_HOST
        if task.loop is not None or task.until or task.retries or task.async_val or task.timeout:
            return False  # items are told of one by one, and the others wait
        if not needs_no_host and not task.when:
            return False
        own, is_due = copied(task), []

        def post_validate(templar: Any) -> None:
            # Ansible fills in the arguments of a task when it is not skipped.
            is_due.append(DeferredWarningContext.current())
            if not needs_no_host:
                raise ProcessNeededError
            type(own).post_validate(own, templar)

        own.post_validate = post_validate
        try:
            self.thread = threading.get_ident()
            result = executed(worker, own)
        except ProcessNeededError:
            if is_due and not (is_due[0].get_warnings() or is_due[0].get_deprecation_warnings()):
                worker._task = asked(task, own.delegate_to)
            return False
        finally:
            self.thread = None
        fields = own.dump_attrs()
        raw = task_result._RawTaskResult(
            host=worker._host, task=own, return_data=result, task_fields=fields
        )
        try:
            worker._final_q.send_task_result(raw)
        except Exception:  # it cannot be sent; a process would say so
            return False
        return True


def copied(task: Task) -> Task:
    """Return a copy of a task for one host; what is filled into it and its block, the other hosts do not see."""
    own = task.copy(exclude_parent=True, exclude_tasks=True)
    own._parent = copy(task._parent)
    return own


def asked(task: Task, delegate_to: str | None) -> Task:
    """Return a task whose condition holds, and is not asked again: it could be answered otherwise."""
    own = copied(task)
    own.squash()
    when, own.when, own.delegate_to = own.when, [], delegate_to
    # What is told of it is as it was written.
    own.dump_attrs = lambda: {**type(own).dump_attrs(own), "when": when}
    return own


def executed(worker: WorkerProcess, task: Task) -> dict[str, Any]:
    """Return the result of a task, as its process would have had it."""
    with _task.TaskContext(task):
        return TaskExecutor(
            worker._host,
            task,
            dict(worker._task_vars),
            worker._play_context,
            worker._loader,
            worker._shared_loader_obj,
            worker._final_q,
            worker._variable_manager,
        ).run()


class CallbackModule(CallbackBase):
    """See the documentation."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "done_here"

    def __init__(self) -> None:
        """Stand before the start of a process."""
        super().__init__()
        self.disabled = "GREENRACK_PLAIN" in os.environ
        if self.disabled:
            return
        start, run = WorkerProcess.start, WorkerProcess.run

        def run_without_collection(worker: WorkerProcess) -> None:
            gc.disable()
            run(worker)

        WorkerProcess.run = run_without_collection  # type: ignore[method-assign]
        gc.freeze()  # what was imported
        gc.set_threshold(50_000, 20, 50)
        if "job_vars" not in inspect.signature(TaskExecutor).parameters:
            return
        attempts = Attempts()

        def start_unless_done(worker: WorkerProcess) -> None:
            if not attempts.done(worker):
                start(worker)

        WorkerProcess.start = start_unless_done  # type: ignore[method-assign]
