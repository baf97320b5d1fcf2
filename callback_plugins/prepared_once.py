"""Callback: what every template needs, variables and filters, is prepared once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible._internal._templating import _jinja_bits
from ansible._internal._templating._lazy_containers import (
    _AnsibleLazyTemplateDict,
    _LazyValue,
    _LazyValueSource,
)
from ansible._internal._templating._utils import LazyOptions, TemplateContext
from ansible.module_utils._internal._datatag import _try_get_internal_tags_mapping
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

DOCUMENTATION = """
name: prepared_once
type: aggregate
short_description: Prepares variables and filters once for all templates
description:
  - For each template, and for each variable that one names, Ansible wraps every variable there is, one by one. With
    this, a template gets a copy of what was wrapped for the one before it, if no variable is another since.
  - Ansible looks for each of Jinja's own filters and tests in all files that could have one of that name, in each of
    its processes. With this, all of them are found before there are processes.
"""

# Less is wrapped as fast as it is looked at.
MANY = 50
# Of a task, what it delegates to, and what a lookup hands on.
RECENT = 3


class Wrapped:
    """Variables as templates take them."""

    def __init__(self, wrap: Callable[[Mapping], Iterable[Mapping]]) -> None:
        """Wrap: what Ansible wraps them by."""
        self.wrap = wrap
        self.recent: dict[int, tuple[Mapping, list[int], dict]] = {}

    def __call__(self, mapping: Mapping) -> Iterator[Mapping]:
        """Yield what wrap yields, without its work where that was done before."""
        if type(mapping) not in (dict, _jinja_bits._AnsibleTaggedDict) or len(mapping) < MANY:
            yield from self.wrap(mapping)
            return
        now = [*map(id, mapping), *map(id, mapping.values())]
        # What is held here is still there, with all names and values, and nothing else can be where they are.
        was, then, wrapped = self.recent.get(id(mapping), (None, [], {}))
        if was is not mapping or then != now:
            wrapped = {name: _LazyValue(value) for name, value in mapping.items()}
            self.recent.pop(id(mapping), None)
            while len(self.recent) >= RECENT:
                del self.recent[next(iter(self.recent))]
            self.recent[id(mapping)] = mapping, now, wrapped
        templar = TemplateContext.current().templar
        source = _LazyValueSource(source=wrapped, templar=templar, lazy_options=LazyOptions.DEFAULT)
        tags = _try_get_internal_tags_mapping(mapping)
        yield _AnsibleLazyTemplateDict._instance_factory(source, tags)


def found(get: Any, loader: Any, of_jinja: Mapping[str, Any]) -> Any:
    """Return what does the work of a loader's get, and takes one of Jinja's own where no file has another."""

    def get_found(name: str, *more: Any, **named: Any) -> Any:
        loader._ensure_non_collection_wrappers()
        if name in of_jinja and name not in loader._cached_non_collection_wrappers:
            return of_jinja[name]
        return get(name, *more, **named)

    return get_found


class CallbackModule(CallbackBase):
    """See the documentation."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "prepared_once"

    def __init__(self) -> None:
        """Put what is prepared between templates and whoever looks for their variables, filters and tests."""
        super().__init__()
        self.disabled = "GREENRACK_PLAIN" in os.environ
        if self.disabled:
            return
        _jinja_bits._flatten_and_lazify_vars = Wrapped(_jinja_bits._flatten_and_lazify_vars)
        for loader, own in (
            (filter_loader, _jinja_bits._BUILTIN_FILTERS),
            (test_loader, _jinja_bits._BUILTIN_TESTS),
        ):
            loader.get = found(loader.get, loader, own)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Let the processes of the next task begin with all filters and tests; a role may have brought more."""
        for loader in (filter_loader, test_loader):
            loader._ensure_non_collection_wrappers()
