"""The rules of the house: what is true of every role, playbook, inventory and document."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = [ROOT / "site.yml", *sorted((ROOT / "playbooks").glob("*.yml"))]
TASK_FILES = sorted(ROOT.glob("roles/*/tasks/*.yml"))
INVENTORIES = sorted(path.parent for path in ROOT.glob("inventories/*/hosts.yml"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def files_of_git(*patterns: str) -> list[Path]:
    """Return the files git tracks, or would if they were added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"this is no git checkout: {done.stderr}")
    return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]


def tasks_in(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield all tasks of a list of tasks or plays, those in blocks too."""
    for item in items or []:
        if "hosts" not in item and "ansible.builtin.import_playbook" not in item:
            yield item
        for key in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from tasks_in(item.get(key, []))


def all_tasks() -> list[dict[str, Any]]:
    return [task for path in [*TASK_FILES, *PLAYBOOKS] for task in tasks_in(loaded(path))]


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_a_roles_defaults_and_argument_specs_say_the_same(role: Path) -> None:
    text = (role / "defaults" / "main.yml").read_text(encoding="utf-8")
    specs = loaded(role / "meta" / "argument_specs.yml")["argument_specs"]
    main = next(iter(specs.values()))["options"]
    # A required variable stands in the defaults as a comment: "# name:" or "# name: an example".
    commented = set(re.findall(r"^# ([a-z][a-z0-9_]*):(?: |$)", text, re.M))
    required = {name for name, option in main.items() if option.get("required")}
    optional = {name: option.get("default") for name, option in main.items()}
    assert commented == required
    assert {name: optional[name] for name in main if name not in required} == (
        yaml.safe_load(text) or {}
    )
    assert [name for name in required if "default" in main[name]] == []
    for entry, spec in specs.items():
        own = {name: option for name, option in spec["options"].items() if main.get(name) != option}
        assert own == {}, f"{entry} says otherwise than main"


@pytest.mark.parametrize("path", [*TASK_FILES, *PLAYBOOKS], ids=name_of)
def test_a_task_file_is_a_screen_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80


def test_a_python_file_has_at_most_300_lines() -> None:
    files = files_of_git("*.py")
    assert Path(__file__) in files
    lines = {name_of(path): len(path.read_bytes().splitlines()) for path in files}
    assert {name: number for name, number in lines.items() if number > 300} == {}


def test_what_python_runs_is_named_so() -> None:
    """Ruff, and the limit above, find it by its name."""
    unnamed = [path for path in files_of_git() if path.suffix != ".py"]
    assert len(unnamed) > 50
    heads = {name_of(path): path.read_bytes()[:80].partition(b"\n")[0] for path in unnamed}
    assert [name for name, head in heads.items() if re.match(rb"#!.*\bpython", head)] == []


def test_conditions_are_few() -> None:
    named = [task for task in all_tasks() if "name" in task]
    conditional = [task["name"] for task in named if "when" in task]
    assert len(named) > 50
    assert len(conditional) / len(named) <= 0.25, conditional


def test_every_task_and_every_play_has_a_name() -> None:
    assert [task for task in all_tasks() if "name" not in task] == []
    plays = [play for path in PLAYBOOKS for play in loaded(path)]
    assert [play for play in plays if not play.get("name")] == []


def test_preflight_knows_what_roles_set_on_hosts() -> None:
    """A run with several playbooks checks the variables again, when they are there: they are no typos."""
    told = loaded(ROOT / "roles/preflight/vars/main.yml")["__preflight_remembered"]
    tasks = [task for path in TASK_FILES for task in tasks_in(loaded(path))]
    registered = {task["register"] for task in tasks if "register" in task}
    named = registered.union(*(task.get("ansible.builtin.set_fact", {}) for task in tasks))
    assert told == sorted(name for name in named if not name.startswith("_"))


def test_the_controller_is_not_told_what_an_inventory_tells_its_hosts() -> None:
    """An inventory's ansible_become, and its Python, win over what a task says of itself."""
    own = {"ansible_become": False, "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    there = [task for task in all_tasks() if task.get("delegate_to") == "localhost"]
    assert len(there) > 5
    assert [task["name"] for task in there if task.get("vars") != own] == []
    plays = [play for path in sorted((ROOT / "playbooks").glob("*.yml")) for play in loaded(path)]
    # The lab's become root there, task by task.
    here = [play for play in plays if play.get("hosts") == "localhost" and "lab" not in str(play)]
    assert len(here) > 1
    assert [play["name"] for play in here if play["vars"]["ansible_become"]] == []


def test_the_controllers_python_is_a_word_of_its_own() -> None:
    """It is in the folder this is in, whose name may have spaces."""
    commands = [task.get("ansible.builtin.command", {}) for task in all_tasks()]
    told = [command for command in commands if "ansible_playbook_python" in str(command)]
    assert [command for command in told if not isinstance(command.get("argv"), list)] == []
    files = files_of_git("roles", "playbooks", "inventories")
    assert lines_with(r"ansible_playbook_python ~", files) == []


def test_no_error_is_ignored() -> None:
    assert [task for task in all_tasks() if "ignore_errors" in task] == []
    plays = [play for path in PLAYBOOKS for play in loaded(path)]
    assert [play for play in plays if "ignore_errors" in play] == []


def test_packages_are_installed_in_one_way() -> None:
    """It says what to look at where a mirror is lost. The lab's hosts have nobody else's."""
    files = [path for path in TASK_FILES if path.parent.parent.name != "lab"]
    assert lines_with(r"ansible\.builtin\.(apt|package):", files) == []
    assert lines_with("policy_rc_d", files) == []


def lines_with(pattern: str, files: list[Path]) -> list[str]:
    """Return the lines in which a pattern is found, each after its file and its number."""
    return [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_templates_are_rendered_without_a_copy_of_all_variables() -> None:
    files = files_of_git("*.yml", "*.j2")
    assert lines_with(r"lookup\(['\"](ansible\.builtin\.)?template['\"]", files) == []


def test_what_messages_tell_to_type_meets_the_same_hosts() -> None:
    """Written out, a command is for the inventory that is taken without -i: the lookup to_type says it."""
    files = files_of_git("roles", "playbooks", "site.yml", "inventories/*.yml")
    # The one of benchmark.yml is no message: a session is known by it.
    told = r"^[^#]*(ansible-playbook (site|playbooks/(?!benchmark\.yml -i))|ansible-inventory -|make lab-)"
    assert lines_with(told, files) == []


GROUPS = r"\bgroups(?:\[|\.[a-z])|\bgroup_names\b"


def test_roles_do_not_know_the_inventorys_groups() -> None:
    files = files_of_git("roles")
    assert len(files) > 50
    assert lines_with(GROUPS, files) == []


def test_playbooks_know_groups_only_as_their_hosts() -> None:
    assert lines_with(GROUPS, PLAYBOOKS) == []


def test_every_inventory_has_all_parts_of_the_stack() -> None:
    program = Path(sys.executable).with_name("ansible-inventory")
    asked = {
        path.name: subprocess.Popen(
            [str(program), "-i", str(path), "--list"],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for path in INVENTORIES
    }
    assert {"example", "lab", "single"} <= asked.keys()
    for name, process in asked.items():
        listed, complaints = process.communicate()
        assert (process.returncode, complaints) == (0, ""), name
        groups = json.loads(listed)
        for part in ("proxy", "app", "api", "database", "load"):
            assert groups[part]["hosts"], f"{name} has no host in {part}"


def test_requirements_name_every_collection_that_is_used() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in files_of_git("roles/*.yml", "playbooks/*.yml", "molecule/*.yml", "site.yml")
    )
    used = set(re.findall(r"^[- ]*([a-z_]+\.[a-z_]+)\.[a-z_]+:", text, re.M)) - {"ansible.builtin"}
    assert {needed["name"] for needed in loaded(ROOT / "requirements.yml")["collections"]} == used


def installed(collection: str) -> str:
    """Return the version of a collection that comes with the package `ansible`."""
    path = Path(ansible.__file__).parents[1] / "ansible_collections" / collection.replace(".", "/")
    return json.loads((path / "MANIFEST.json").read_text())["collection_info"]["version"]


def test_requirements_are_what_the_locked_ansible_brings() -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (oldest,) = re.findall(r"^ansible==(\S+) ; python_full_version < '3\.12'", lock, re.M)
    for needed in loaded(ROOT / "requirements.yml")["collections"]:
        here, pinned = installed(needed["name"]), needed["version"]
        if importlib.metadata.version("ansible") == oldest:
            assert here == pinned
            continue
        here_parts, pinned_parts = (
            tuple(int(number) for number in version.split(".")) for version in (here, pinned)
        )
        assert here_parts >= pinned_parts
        assert here_parts[0] == pinned_parts[0]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_what_a_document_links_to_exists(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    relative = [link.split("#")[0] for link in links if not re.match(r"\w+:|#", link)]
    assert [link for link in relative if not (path.parent / link).exists()] == []


def test_no_path_of_somebodys_machine() -> None:
    here = re.escape(f"{ROOT}/") if len(ROOT.parts) > 2 else "$^"
    assert lines_with(rf"/Users/\w|/home/[a-z]\w*/|/root/\.|{here}", files_of_git()) == []
