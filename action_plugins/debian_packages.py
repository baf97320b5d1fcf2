"""Action: Debian packages a host shall have; where the mirror does not give them, what to look at."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

# As long as unattended upgrades may take on a host that was just made.
OPTIONS = {
    "update_cache": True,
    "cache_valid_time": 3600,
    "install_recommends": False,
    "lock_timeout": 600,
}
UNKNOWN = "No package matching"
HINT = """
{host} could not install {names}, and other hosts may have been changed already. Valid is a Debian
mirror that the host reaches; which one it asks is said in /etc/apt/sources.list and /etc/apt/sources.list.d.
To see what it says, type there: sudo apt-get update
Then type the same command again; it goes on where it was."""


class ActionModule(ActionBase):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Install what is not there; what preflight found there, nobody asks a mirror for."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        asked = self._task.args["name"]
        names = [asked] if isinstance(asked, str) else list(asked)
        there = task_vars["ansible_facts"].get("greenrack", {}).get("packages", [])
        missing = [name for name in names if name not in there]
        if not missing:
            return {"changed": False}

        def install(**more: Any) -> dict:
            told = {**OPTIONS, "name": missing, **more}
            module = "ansible.builtin.apt"
            return self._execute_module(module, module_args=told, task_vars=task_vars)

        done = install()
        # Lists that were emptied lately, as in a fresh image, pass for young ones.
        if UNKNOWN in str(done.get("msg")):
            done = install(cache_valid_time=0)
        if done.get("failed"):
            hint = HINT.format(host=task_vars["inventory_hostname"], names=", ".join(missing))
            done["msg"] = str(done.get("msg", "")).strip() + "\n" + hint.strip()
        return done
