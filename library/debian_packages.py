"""Ansible module: Debian packages a host shall have; it is the action plugin of the same name that does it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: debian_packages
short_description: Debian packages a host shall have
description:
  - Installs by C(ansible.builtin.apt) what C(host_facts) has not found there, without what is only recommended. Where
    nothing is missing, neither the host nor a mirror is asked.
  - Where it fails, it says what to look at.
options:
  name: {description: The packages, type: list, elements: str, required: true}
"""
