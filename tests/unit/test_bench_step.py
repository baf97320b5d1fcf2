"""A step of an experiment as its role takes it, with something in place of the playbooks within it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import schedule

ROOT = Path(__file__).parents[2]
OUTER = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Take a step
      ansible.builtin.include_role: {name: experiment, tasks_from: TASKS, rolespec_validate: false}
"""
# Says which playbook it is run for, and ends as it is told to, one time after the other.
INNER = """\
import json, sys
from pathlib import Path
*_, variables, playbook = sys.argv
with Path("ran").open("a") as ran:
    ran.write(f"{playbook} {json.loads(variables)['server']}\\n")
ends, *left = Path("ends").read_text().split()
Path("ends").write_text(" ".join(left))
print(Path("said").read_text())
sys.exit(int(ends))
"""
# What ansible-core 2.19 says of a deploy that one of 14 hosts refuses.
SAID = """\
PLAY [Instance] ****************************************************************

TASK [app_server : Run the application] ****************************************
ok: [application-07.example.org]
[ERROR]: Task failed: Module failed: non-zero return code
Origin: /srv/greenrack/roles/app_server/tasks/main.yml:18:7

16 - name: Run the instance, and stop it again if it is not what it is declared to be
17   block:
18     - name: Run the application
         ^ column 7

fatal: [application-08.example.org]: FAILED! =>
    changed: true
    msg: non-zero return code
    rc: 1
    stderr: 'the gate said no'

NO MORE HOSTS LEFT *************************************************************

PLAY RECAP *********************************************************************
"""
SAID += "".join(
    f"application-{number:02}.example.org : ok=52   changed=3    unreachable=0    failed=0    "
    "skipped=41   rescued=0    ignored=0   \n"
    for number in range(28)
)
BEFORE = {"server": "a", "release": "r1"}
CELL = {"server": "b", "switches": {}, "duplicate_of": None, "loads": ["one"]}
LOAD = {"name": "one", "kind": "closed", "engine": "h2load"}
PLAN = {"rounds": 1, "least_rounds": 1, "seed": 1, "cells": [{"name": "b", **CELL}]}
PLAN |= {"loads": [LOAD]}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "inner.py").write_text(INNER)
    (tmp_path / "said").write_text(SAID)
    schedule.begin(tmp_path / "s", PLAN, {"command": "", "before": {}, "fingerprint": {}})
    return tmp_path


def step(project, *ends, tasks="step"):
    """Let the playbooks within end so; return what the step said, its exit code, and which ran."""
    (project / "outer.yml").write_text(OUTER.replace("TASKS", tasks))
    (project / "ends").write_text(" ".join(map(str, ends)))
    variables = {
        **{"experiment_directory": str(project / "s"), "__experiment_before": BEFORE},
        **{"__experiment_root": str(project), "__experiment_play": [sys.executable, "inner.py"]},
        "__experiment_bench": [sys.executable, "-m", "bench"],
    }
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local"]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables), "outer.yml"],
        cwd=project,
        env={
            **{key: os.environ[key] for key in os.environ if not key.startswith("ANSIBLE_")},
            **{"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PYTHONPATH": str(ROOT)},
            "HOME": str(project),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.returncode, (project / "ran").read_text().splitlines()


def test_a_failure_that_has_passed_refuses_no_cell(project):
    said, code, ran = step(project, 2, 0, 0, 0)
    assert code == 0, said
    assert ran == ["site.yml b", "site.yml a", "site.yml b", "playbooks/measure.yml b"]
    assert not (project / "s/b.refused.json").exists()


def test_hosts_that_take_nothing_end_the_run_and_refuse_no_cell(project):
    said, code, ran = step(project, 2, 2)
    assert code != 0
    assert ran == ["site.yml b", "site.yml a"], said
    assert not (project / "s/b.refused.json").exists()


def test_a_cell_that_is_left_out_is_told_with_its_reason(project):
    said, code, ran = step(project, 2, 0, 2)
    assert code == 0, said
    assert ran == ["site.yml b", "site.yml a", "site.yml b"]
    refused = project / "s/b.refused.json"
    why = json.loads(refused.read_text())["why"]
    assert "the gate said no" in why
    assert "unreachable=0" not in why
    assert "the gate said no" in said
    assert f"rm {refused}" in " ".join(said.split())
    said, code, then = step(project)
    assert (code, then) == (0, ran), said


def test_a_cell_that_cannot_be_measured_is_left_out_the_second_time(project):
    said, code, ran = step(project, 0, 2)
    assert code != 0
    assert ran == ["site.yml b", "playbooks/measure.yml b"], said
    assert "b was deployed, and could not be measured: [ERROR]: Task failed" in said
    assert not (project / "s/b.refused.json").exists()
    said, code, _ = step(project, 0, 2)
    assert code == 0, said
    refused = project / "s/b.refused.json"
    assert json.loads(refused.read_text())["deployed"] is True
    assert "b could not be measured, and is left out" in said
    assert f"rm {refused}" in " ".join(said.split())
    assert "why" in schedule.upcoming(project / "s")
    # It is tried again, and is not blamed for what was before.
    refused.unlink()
    assert step(project, 0, 2)[1] != 0
    assert not refused.exists()


def test_hosts_that_cannot_be_reached_are_not_taken_for_a_cell_that_cannot_be_measured(project):
    for _ in range(3):
        assert step(project, 0, 4)[1] != 0
    assert not (project / "s/b.refused.json").exists()


def test_what_was_deployed_is_put_back_with_its_mode_and_its_release(project):
    said, code, ran = step(project, 0, 0, tasks="put_back")
    assert code == 0, said
    assert ran == ["site.yml a", "playbooks/rollback.yml a"]
    assert (project / "s/put_back").exists()
    (project / "s/put_back").unlink()
    assert step(project, 0, 2, tasks="put_back")[1] != 0
    assert not (project / "s/put_back").exists()
