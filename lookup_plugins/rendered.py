"""Lookup: what a template renders to, as the lookup ansible.builtin.template has it, in a fraction of its time."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import template

# Its options are those that the lookup asks for, in whichever version of Ansible.
DOCUMENTATION = template.DOCUMENTATION


class Variables(dict[str, Any]):
    """Variables that are not copied to their last leaf, which takes longer than to render most templates.

    The lookup that asks for the copy only adds to it.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return dict(self)


class LookupModule(template.LookupModule):
    """See ansible.builtin.template."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any
    ) -> list[str]:
        """Return what each template renders to."""
        return super().run(terms, Variables(variables or {}), **options)
