"""Action: asks a site at a constant rate, as its clients would, while the tasks that follow are done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

PROGRAM = Path(__file__).parents[1] / "files" / "open_loop.py"
LIMITED = (
    "That was a limit on how often one client may ask, and not the change. Valid is an application whose own limit "
    "leaves app_health_path out, or a lower probe_rate (requests a second).\n"
)
PATIENCE = 60  # seconds after its end in which the last requests must have been answered


def begin(told: dict[str, Any]) -> dict[str, Any]:
    """Begin to ask; return once the first request was answered."""
    directory = Path(tempfile.mkdtemp(prefix="greenrack-probe-"))
    (directory / "going").touch()
    with (directory / "errors").open("w") as errors:
        # In a session of its own: what interrupts the run does not end it, but its limit does.
        child = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps({**told, "directory": str(directory)})],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    first = child.stdout.readline()
    child.stdout.close()
    if not first:  # it has ended
        why = (directory / "errors").read_text(encoding="utf-8").strip()
        shutil.rmtree(directory)
        raise AnsibleActionFail(f"{PROGRAM} ended before it had asked {told['url']}: {why}")
    wrong = json.loads(first)
    if not wrong:
        return {"changed": False, "directory": str(directory)}
    shutil.rmtree(directory)
    said = f"{told['url']} was not asked while the change went live. Before it, it was answered: {wrong}"
    return {"changed": False, "said": said}


def end(begun: dict[str, Any], url: str, allowed: int, back: str) -> dict[str, Any]:
    """End what was begun; return what became of its requests."""
    if "directory" not in begun:
        return {"changed": False, "said": begun["said"]}
    directory = Path(begun["directory"])
    (directory / "going").unlink(missing_ok=True)  # somebody may have emptied /tmp
    late = time.monotonic() + PATIENCE
    while not (directory / "found").exists():
        if time.monotonic() > late:
            raise AnsibleActionFail(
                f"What asked {url} while the change went live, and should have written {directory}/found, is gone, or "
                "waits for ever. The change is live."
            )
        time.sleep(0.02)
    found = json.loads((directory / "found").read_text(encoding="utf-8"))
    shutil.rmtree(directory)
    failures = found.pop("failures")
    said = (
        f"While the change went live, {url} was asked {found['sent']} times from the controller: "
        f"{len(failures)} failed, the slowest answer took {found['slowest']:.2f} s."
    )
    if len(failures) > allowed:
        first = "\n".join(failures[:10])
        limited = all(failure.endswith("status 429") for failure in failures)
        raise AnsibleActionFail(
            f"The change is live, but more than {allowed} requests failed (probe_allowed). {said}\n{first}\n"
            f"{LIMITED if limited else ''}To go back, type: {back}"
        )
    return {"changed": False, **found, "said": said}


class ActionModule(ActionBase):
    """See the module's documentation."""

    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Begin, or end what has begun."""
        super().run(tmp, task_vars)
        _, told = self.validate_argument_spec(
            {
                "url": {"type": "str", "required": True},
                "host": {"type": "str", "default": ""},
                "rate": {"type": "float", "default": 20.0},
                "limit": {"type": "float", "default": 300.0},
                "timeout": {"type": "float", "default": 30.0},
                "allowed": {"type": "int", "default": 0},
                "back": {"type": "str", "default": "playbooks/rollback.yml"},
                "begun": {"type": "dict"},
            }
        )
        begun, allowed, back = told.pop("begun"), told.pop("allowed"), told.pop("back")
        return end(begun, told["url"], allowed, back) if begun else begin(told)
