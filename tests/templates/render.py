"""Renders what a deploy would write, in this process: Ansible's own templating over a role's variables."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).parents[2] / "roles"

# What an inventory, a host and earlier tasks give a role.
GIVEN: dict[str, Any] = {
    "inventory_hostname": "host1",
    "ansible_facts": {"greenrack": {"cpus": 2, "release": "12", "codename": "bookworm"}},
    "app_name": "demo",
    "app_module": "wsgi:app",
    "app_module_gevent": "wsgi_gevent:app",
    "app_release_build": {"release": "0123456789ab"},
    "nginx_instances": {
        "blue": {"backends": ["10.0.0.21:8000"], "protocol": "http"},
        "green": {"backends": ["10.0.0.21:8001"], "protocol": "http"},
    },
    "postgresql_database": "demo",
    "postgresql_password": "secret",
    "pgbouncer_database": "demo",
    "pgbouncer_user": "demo",
    "pgbouncer_password": "secret",
    "backup_passphrase": "secret",
    "__backup_job": {"does": "Back up", "command": "/bin/true"},
    "__backup_timer": {"calendar": "04:00"},
    "lab_hosts": {"app1": "10.89.0.21", "db1": "10.89.0.41"},
    "__lab_machines": {"host_keys": {"app1": "ssh-ed25519 AAAA1", "db1": "ssh-ed25519 AAAA2"}},
    "__lab_status": {"running": {"app1": True, "db1": True}},
}

BINDS = ["10.0.0.21:8000", "unix:/run/demo-blue/app.sock"]

_loader = DataLoader()
init_plugin_loader()  # without it no lookup is found

OPTIONS = {
    *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string"),
    *("comment_start_string", "comment_end_string", "line_statement_prefix", "line_comment_prefix"),
    *("trim_blocks", "lstrip_blocks", "newline_sequence", "keep_trailing_newline"),
}


def compile_once() -> None:
    """Have Ansible keep what it has compiled of a template: it does so anew for each one that is rendered.

    That is most of the work here. These parts are ansible-core's own; where they are no more, all is only slower.
    """
    try:
        from ansible._internal._templating._jinja_bits import (
            AnsibleEnvironment,
            _TemplateCompileContext,
        )
    except ImportError:
        return
    compile_anew, compiled = AnsibleEnvironment.compile, {}

    def kept(self: Any, source: Any, *told: Any, **named: Any) -> Any:
        if not isinstance(source, str):  # a tree that was parsed already
            return compile_anew(self, source, *told, **named)
        options = tuple(getattr(self, name) for name in sorted(OPTIONS))
        context = _TemplateCompileContext.current(optional=True)
        escape = context and context.escape_backslashes
        key = (source, told, tuple(named.items()), options, escape)
        if key not in compiled:
            compiled[key] = compile_anew(self, source, *told, **named)
        return compiled[key]

    AnsibleEnvironment.compile = kept


compile_once()


@cache
def _read(path: Path) -> Any:
    return _loader.load_from_file(str(path), cache="none", trusted_as_template=True)


def _copied(value: Any) -> Any:
    """Return containers of their own, for Ansible changes what it is given; they hold the same strings."""
    if isinstance(value, dict):
        return {name: _copied(held) for name, held in value.items()}
    return [_copied(held) for held in value] if isinstance(value, list) else value


def of_role(role: str, kind: str) -> dict[str, Any]:
    """Return a role's defaults or vars; empty if it has none."""
    path = ROLES / role / kind / "main.yml"
    return _copied(_read(path)) if path.exists() else {}


def of_topology() -> dict[str, Any]:
    """Return what every inventory has of who talks to whom."""
    return _copied(_read(ROLES.parent / "inventories/topology.yml"))


def of_inventory(name: str) -> dict[str, Any]:
    """Return what one of our inventories says of the application."""
    return _copied(_read(ROLES.parent / f"inventories/{name}/group_vars/all/app.yml"))


def variables(role: str, **overrides: Any) -> dict[str, Any]:
    """Return what a role's templates see; overrides win over everything, as extra vars do."""
    path = ROLES / role
    return {
        **of_role("service_sandbox", "defaults"),
        **of_role("server_mode", "defaults"),
        **of_role(role, "defaults"),
        **GIVEN,
        **of_role("server_mode", "vars"),
        **of_role("service_socket", "vars"),
        **of_role(role, "vars"),
        "role_path": str(path),
        "ansible_search_path": [str(path)],
        **overrides,
    }


def evaluate(role: str, expression: str, **overrides: Any) -> Any:
    """Return the value of a Jinja expression in a role; raise an AnsibleError if it is undefined."""
    templar = Templar(loader=_loader, variables=variables(role, **overrides))
    return templar.template(trust_as_template("{{ %s }}" % expression))  # noqa: UP031


def render(role: str, template: str, **overrides: Any) -> str:
    """Return a role's template as a deploy would write it, an undefined variable being an error."""
    return evaluate(role, f"lookup('rendered', '{template}')", **overrides)


def of_bind(bind: str) -> dict[str, Any]:
    """Return the variables that let the application listen at `bind`."""
    return {"app_server_bind": bind}


def of_mode(mode: str, protocol: str = "", profile: str = "default") -> dict[str, Any]:
    """Return the variables that choose a mode, and what goes with it, as -e does."""
    given = {"server": mode, "profile": profile}
    return {**given, "protocol": protocol} if protocol else given


def modes() -> dict[str, dict[str, Any]]:
    """Return the table of server modes."""
    return of_role("server_mode", "vars")["server_mode_table"]
