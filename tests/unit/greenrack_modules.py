"""Imports this repository's Ansible modules as Ansible would, and runs them in this process."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
import pytest
from ansible.module_utils.testing import patch_module_args

REPOSITORY = Path(__file__).parents[2]

# Ansible copies a role's module_utils beside its own; here, its own package is told where they are.
ansible.module_utils.__path__ += [
    str(path) for path in [REPOSITORY / "module_utils", *REPOSITORY.glob("roles/*/module_utils")]
]
sys.path += [str(REPOSITORY / "library"), *map(str, REPOSITORY.glob("roles/*/library"))]


def load(name: str) -> ModuleType:
    """Import a module of library/, of a role's library/ or of a role's module_utils/."""
    shared = any(REPOSITORY.glob(f"**/module_utils/{name}.py"))
    return importlib.import_module(f"ansible.module_utils.{name}" if shared else name)


def plugin(path: str) -> ModuleType:
    """Import a plugin, or a program, by its path in the repository."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, REPOSITORY / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run a module's main() and return its result, "failed" in it if it failed."""
    printed = io.StringIO()
    given = {**arguments, "_ansible_check_mode": check}
    with contextlib.redirect_stdout(printed), patch_module_args(given), pytest.raises(SystemExit):
        module.main()
    return json.loads(printed.getvalue())
