"""Packed modules are kept from one run to the next, and never longer than what they were packed from."""

import base64
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import greenrack_modules
import pytest

ROOT = Path(__file__).parents[2]
PLAY = "- hosts: localhost\n  gather_facts: false\n  tasks: [{name: Ask, %s: {}}]\n"
MODULE = """\
#!/usr/bin/python
from ansible.module_utils import basic
%s
basic.AnsibleModule({}).exit_json(msg=f"{text}, {basic.__file__.rpartition('.')[2]}")
"""


@pytest.fixture(scope="module")
def packed_once():
    return greenrack_modules.plugin("callback_plugins/packed_once.py")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.fixture
def project(tmp_path):
    """A playbook with a module of its own, and a home that is nobody's."""
    write(tmp_path / "play.yml", PLAY % "says")
    write(tmp_path / "library/says.py", MODULE % "text = 'first'")
    config = f"[defaults]\ncallback_plugins = {ROOT}/callback_plugins\nroles_path = roles\n"
    write(tmp_path / "ansible.cfg", config)
    return tmp_path


def play(project, *playbooks, **environment):
    """Return what playbooks say."""
    ours = ("ANSIBLE_", "GREENRACK_")
    told = {name: os.environ[name] for name in os.environ if not name.startswith(ours)}
    home = {"HOME": str(project / "home"), "ANSIBLE_CONFIG": "ansible.cfg"}
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-vv", *(playbooks or ["play.yml"])],
        cwd=project,
        env={**told, **home, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "callback" not in done.stderr
    return done.stdout


def kept(project):
    found = project.glob("home/.cache/greenrack/modules/*/*says-ZIP_DEFLATED-none")
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def test_second_run_takes_what_the_first_has_packed(project):
    play(project)
    (first,) = kept(project).items()
    assert '"first, py"' in play(project)
    assert [*kept(project).items()] == [first]
    first[0].write_bytes(b"")  # so that is what it takes
    with pytest.raises(AssertionError, match="Ran out of input"):
        play(project)


def test_every_playbook_takes_what_another_has_packed(project):
    write(project / "roles/one/library/ours.py", MODULE % "text = 'ours'")
    write(project / "roles/one/tasks/main.yml", "- says:\n")
    write(project / "role.yml", "- hosts: localhost\n  roles: [one]\n")
    play(project)
    first = kept(project)
    assert '"first, py"' in play(project, "role.yml")
    assert (kept(project), len(first)) == (first, 1)


def test_hosts_compile_nothing_where_they_are_told_so(project):
    play(project)
    assert '"first, py"' in play(project, GREENRACK_BYTECODE="true"), "this run packs it"
    assert '"first, pyc"' in play(project, GREENRACK_BYTECODE="true")
    assert '"first, py"' in play(project)


SAYS = MODULE % "from ansible.module_utils.words import text"
ITSELF, WORDS = MODULE % "text = '{0}'", "text = '{0}'\n"
ROLE = "- hosts: localhost\n  roles: [one]\n"
FAR = {"play.yml": "- import_playbook: far/play.yml\n"}
# What is changed, and what stands around it.
CHANGED = {
    "the module": ("library/says.py", ITSELF, {}),
    "what it imports from a package": (
        "module_utils/of/words.py",
        WORDS,
        {"module_utils/of/__init__.py": "", "library/says.py": SAYS.replace("words", "of.words")},
    ),
    "what it imports from its role": (
        "roles/one/module_utils/words.py",
        WORDS,
        {
            "roles/one/library/says.py": SAYS,
            "roles/one/tasks/main.yml": "- says:\n",
            "play.yml": ROLE,
        },
    ),
    "a module beside an imported playbook": (
        "far/library/says.py",
        ITSELF,
        {"far/play.yml": PLAY % "says", **FAR},
    ),
    "a module of a role that is included": (
        "far/roles/one/library/says.py",
        ITSELF,
        {
            "far/roles/one/tasks/main.yml": "- says:\n",
            "far/play.yml": PLAY.replace("%s: {}", "include_role: {name: one}"),
            **FAR,
        },
    ),
    "a module of a collection that is not released": (
        "collections/ansible_collections/of/mine/plugins/modules/says.py",
        ITSELF,
        {"play.yml": PLAY % "of.mine.says"},
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_was_changed_is_packed_anew(project, what):
    path, text, around = CHANGED[what]
    (project / "library/says.py").unlink()
    for name, content in around.items():
        write(project / name, content)
    for version in ("1st", "2nd"):  # of one size
        write(project / path, text.replace("{0}", version))
        assert f'"{version}, py"' in play(project)
    # What an included role brings is not known when a run begins.
    assert len(kept(project)) == (0 if "included" in what else 2)


EITHER = {
    "a module": ({"library/same.py": MODULE % "text = '{role}'"}, "same"),
    "what it imports": (
        {"library/{role}.py": SAYS, "module_utils/words.py": "text = '{role}'"},
        "words",
    ),
}


@pytest.mark.parametrize("what", EITHER)
def test_what_could_be_either_of_two_is_not_kept(project, what):
    files, name = EITHER[what]
    for role in ("one", "two"):
        for path, text in files.items():
            place = project / "roles" / role / path.replace("{role}", role)
            if role == "two" and "words" in path:  # a package is imported by the same name
                place = place.with_suffix("") / "__init__.py"
            write(place, text.replace("'{role}'", repr(role)))
        module = "same" if name == "same" else role
        write(project / f"roles/{role}/tasks/main.yml", f"- {module}:\n")
        write(project / f"{role}.yml", f"- hosts: localhost\n  roles: [{role}]\n")
    for role in ("one", "two"):
        said = play(project, f"{role}.yml")
        assert f'"{role}, py"' in said
        assert f"Modules are packed for this run alone: {name} is both" in said


def test_what_a_link_leads_to_is_not_kept(project):
    write(project / "shared/words.py", "text = 'first'")
    write(project / "shared/__init__.py", "")
    (project / "module_utils").mkdir()
    (project / "module_utils/of").symlink_to(project / "shared")
    write(project / "library/says.py", MODULE % "from ansible.module_utils.of.words import text")
    said = play(project)
    assert '"first, py"' in said
    assert "module_utils/of is a link" in said


def test_nothing_is_left_of_what_could_not_be_kept(packed_once, tmp_path, monkeypatch):
    packed, place = tmp_path / "packed", tmp_path / "place"
    packed.write_bytes(pickle.dumps("an archive"))
    place.mkdir()
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            packed_once.store(packed, place, False)
    assert [*place.iterdir()] == []
    for _ in "12":
        packed_once.store(packed, place, False)
    assert [path.name for path in place.iterdir()] == ["packed"]


def test_second_of_two_playbooks_is_played_too(project):
    write(project / "other/library/other.py", MODULE % "text = 'other'")
    write(project / "other/play.yml", PLAY % "other")
    for _ in "12":
        said = play(project, "play.yml", "other/play.yml")
        assert '"first, py"' in said
        assert '"other, py"' in said


def test_run_does_without_where_nothing_can_be_kept(project):
    write(project / "home/.cache", "no directory")
    said = play(project)
    assert '"first, py"' in said
    assert "Modules are packed for this run alone: " in said


def test_directory_that_others_write_to_is_not_taken(packed_once, tmp_path):
    place = tmp_path / "key"
    packed_once.keep_in(place)
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)
    with pytest.raises(PermissionError, match="others can write to"):
        packed_once.keep_in(place)


def test_what_nobody_used_for_a_week_is_thrown_away(packed_once, tmp_path):
    for name, days in (("old", 8), ("used", 6)):
        (tmp_path / name).mkdir()
        then = time.time() - days * 86400
        os.utime(tmp_path / name, (then, then))
    packed_once.keep_in(tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"used", "new"}


def test_host_with_another_python_takes_the_sources(packed_once, tmp_path, monkeypatch):
    sources = io.BytesIO()
    with zipfile.ZipFile(sources, "w") as archive:
        archive.writestr("of/__init__.py", "")
        archive.writestr("of/module_utils/__init__.py", "")
        archive.writestr("of/module_utils/says.py", "print(__file__)")
    for magic, expected in ((importlib.util.MAGIC_NUMBER, "says.pyc"), (b"none", "says.py")):
        monkeypatch.setattr(importlib.util, "MAGIC_NUMBER", magic)
        packed_once.compiled.cache_clear()
        path = tmp_path / "archive.zip"
        packed = packed_once.with_bytecode(base64.b64encode(sources.getvalue()))
        path.write_bytes(base64.b64decode(packed))
        script = f"import sys; sys.path.insert(0, {str(path)!r}); import of.module_utils.says"
        command = [sys.executable, "-c", script]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert Path(said.strip()).name == expected
