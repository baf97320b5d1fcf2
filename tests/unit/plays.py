"""Small plays on hosts that are none, run with and without callbacks of ours."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ROOT / "callback_plugins"


def written(directory, files):
    """Write {name: content} into a directory."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def played(directory, *callbacks, code=0, **environment):
    """Run play.yml of a directory on the hosts a, b and c, one after the other, and return what it says."""
    told = {name: os.environ[name] for name in os.environ if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "a,b,c", "-f1", "play.yml"],
        cwd=directory,
        env={
            **told,
            "ANSIBLE_CALLBACK_PLUGINS": ":".join(map(str, callbacks)) or "none",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def in_order(said):
    """Return what was said of each task, whichever host was heard of first."""
    return [sorted(part.splitlines()) for part in said.split("\nTASK ")]
