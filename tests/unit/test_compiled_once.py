"""Compiled templates are taken from whichever process was first, and are what each would have compiled itself."""

import itertools
import os
import resource
import shutil

import greenrack_modules
import jinja2
import pytest
from plays import OURS, ROOT, in_order, played, written

COMPILE = jinja2.Environment.compile
PLAIN = jinja2.Environment(optimized=False)  # noqa: S701
# Says which templates are truly compiled: it is loaded before ours, and so asked by it.
COUNTS = """
import jinja2
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "a_count"

    def __init__(self):
        super().__init__()
        before = jinja2.Environment.compile

        def counted(environment, source, *more, **named):
            with open("compiled", "a") as file:
                file.write(f"{source}\\n" if isinstance(source, str) else "expression\\n")
            return before(environment, source, *more, **named)

        jinja2.Environment.compile = counted
"""
PLAY = """
- hosts: [a, b, c]
  gather_facts: false
  vars:
    word: "{{ 'ab' | upper }}"
    path: '{{ "C:\\\\new" }}'
  tasks:
    - {name: Say it, debug: {msg: "{{ word }}, {{ path }}, {{ lookup('template', 'page.j2') }}"}}
    - {name: Say it again, debug: {msg: "{{ word }}, {{ lookup('template', 'marked.j2') }}"}}
    - {name: Say what is missing, debug: {msg: "{{ nothing | default(word) }}"}, when: word == 'AB'}
"""
ROLE = """
- {name: Say it, debug: {msg: "{{ mine }}"}, when: mine != ''}
"""
PAGE = '{% if true %}\n  a\\n{{ "b\\n" }}{{ word }}[[ word ]]\n{% endif %}\n{% include "part.j2" %}'
FILES = {
    "play.yml": PLAY,
    "page.j2": PAGE,
    "marked.j2": f"#jinja2:variable_start_string:'[[', variable_end_string:']]'\n{PAGE}",
    "part.j2": "{{ word }}, included\n",
    "callbacks/a_count.py": COUNTS,
}


@pytest.fixture(scope="module")
def compiled_once():
    return greenrack_modules.plugin("callback_plugins/compiled_once.py")


@pytest.fixture
def compiled(compiled_once):
    return compiled_once.Compiled()


def never(environment, source):
    raise AssertionError(f"{source} is compiled again")


def forked(work):
    """Do something in a process of its own, as Ansible does a task, and return it."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def ended_well(*children):
    return [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)


def rendered(environment, code, **variables):
    return environment.template_class.from_code(environment, code, {}).render(**variables)


def test_process_takes_what_another_has_compiled(compiled):
    assert ended_well(forked(lambda: compiled.take(COMPILE, PLAIN, "{{ a }}!")))
    code = compiled.take(never, PLAIN, "{{ a }}!")
    assert rendered(PLAIN, code, a=7) == "7!"
    assert ended_well(forked(lambda: compiled.take(never, PLAIN, "{{ a }}!")))


def test_processes_that_write_at_the_same_time_spoil_nothing(compiled):
    texts = [[f"{{{{ a }}}}{'x' * one}-{many}" for many in range(60)] for one in range(6)]
    children = [
        forked(lambda own=own: [compiled.take(COMPILE, PLAIN, text) for text in own])
        for own in texts
    ]
    assert ended_well(*children)
    for text in itertools.chain(*texts):
        code = compiled.take(never, PLAIN, text)
        assert rendered(PLAIN, code, a=1) == text.replace("{{ a }}", "1")
    assert len(compiled.known) == 360


@pytest.mark.parametrize(
    "settings",
    [
        {"variable_start_string": "[[", "variable_end_string": "]]"},
        {"trim_blocks": True},
        {"keep_trailing_newline": True},
        {"autoescape": True},
        {"extensions": ["jinja2.ext.do"]},
    ],
    ids=str,
)
def test_what_was_compiled_under_other_settings_is_not_taken(compiled, settings):
    text = "{% if true %}\n[[ a ]]{{ a }}\n{% endif %}\n"
    for environment in (PLAIN, jinja2.Environment(optimized=False, **settings)):  # noqa: S701
        taken = rendered(environment, compiled.take(COMPILE, environment, text), a="<")
        assert taken == environment.from_string(text).render(a="<")
    assert len(compiled.known) == 2


@pytest.mark.parametrize("room", [0, 5, 600])
def test_full_disk_costs_time_and_nothing_else(compiled, room):
    texts = [f"{{{{ a }}}}{'x' * number}" for number in range(5)]

    def take():
        for text in texts:
            code = compiled.take(COMPILE, PLAIN, text)
            assert rendered(PLAIN, code, a=7) == text.replace("{{ a }}", "7")

    def take_on_a_full_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        take()

    assert ended_well(forked(take_on_a_full_disk))
    assert ended_well(*[forked(take) for _ in range(3)])
    take()


@pytest.fixture
def play(tmp_path):
    written(tmp_path, FILES)

    def run(*callbacks):
        """Return what a play says, and which templates were compiled for it."""
        (tmp_path / "compiled").unlink(missing_ok=True)
        said = played(tmp_path, *callbacks, HOME=str(tmp_path))
        return said, (tmp_path / "compiled").read_text().splitlines()

    return run


def test_run_says_the_same_and_compiles_a_template_once(play):
    said, each = play("callbacks")
    same, once = play("callbacks", OURS)
    assert in_order(same) == in_order(said)
    word = "{{ 'ab' | upper }}"
    assert each.count(word) > 10
    assert once.count(word) == 1
    assert (each.count("expression"), once.count("expression")) == (3, 1)
    # With a backslash it is compiled as ever.
    path = r'{{ "C:\\new" }}'
    assert once.count(path) == each.count(path) == 3
    # Nothing of an operator's is left to the next run.
    assert play("callbacks", OURS)[1] == once


def test_next_run_compiles_nothing_of_our_own(play, tmp_path):
    shutil.copytree(OURS, tmp_path / "house/callback_plugins")
    house = "house/callback_plugins"
    role = {"tasks/main.yml": ROLE, "defaults/main.yml": "mine: \"{{ theirs ~ '!' }}\"\n"}
    written(tmp_path / "house/roles/r", role)
    tasks = PLAY.partition("  tasks:")[0] + "    theirs: '{{ word }}'\n  roles: [house/roles/r]\n"
    (tmp_path / "play.yml").write_text(tasks)
    said, first = play("callbacks", house)
    same, second = play("callbacks", house)
    assert (said.count("AB!"), same) == (3, said)
    ours, theirs = ["{{ theirs ~ '!' }}", "{{ mine }}", "expression"], "{{ 'ab' | upper }}"
    assert {text: first.count(text) for text in [*ours, theirs]} == dict.fromkeys(
        [*ours, theirs], 1
    )
    assert {text: second.count(text) for text in [*ours, theirs]} == {
        **dict.fromkeys(ours, 0),
        theirs: 1,
    }
    (kept,) = (tmp_path / ".cache/greenrack/templates").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert b"upper" not in kept.read_bytes()


CHANGED = """
from jinja2 import pass_context

@pass_context
def mark(context, word="none"):
    return f"{word}?"

class FilterModule:
    def filters(self):
        return {"mark": mark}
"""


def test_filter_that_is_called_otherwise_is_seen(play, tmp_path):
    shutil.copytree(OURS, tmp_path / "house/callback_plugins")
    role = {"tasks/main.yml": ROLE, "defaults/main.yml": "mine: \"{{ 'AB' | mark }}\"\n"}
    plain = CHANGED.replace("@pass_context\n", "").replace("context, ", "")
    written(tmp_path, {"filter_plugins/mark.py": plain})
    written(tmp_path / "house/roles/r", role)
    (tmp_path / "play.yml").write_text(PLAY.partition("  tasks:")[0] + "  roles: [house/roles/r]\n")
    assert play("callbacks", "house/callback_plugins")[0].count("AB?") == 3
    written(tmp_path, {"filter_plugins/mark.py": CHANGED})
    assert play("callbacks", "house/callback_plugins")[0].count("AB?") == 3


@pytest.mark.parametrize("content", [b"", b"x" * 100, None], ids=["empty", "damaged", "of others"])
def test_what_was_kept_and_cannot_be_used_is_compiled_again(compiled_once, tmp_path, content):
    kept = compiled_once.Kept(tmp_path / "kept")
    assert kept.load() == {}
    kept.add({b"a": b"code"})
    assert kept.load() == {b"a": b"code"}
    if content is None:
        kept.directory.chmod(0o777)
    else:
        kept.file.write_bytes(content)
    assert kept.load() == {}


def test_what_nobody_used_for_a_week_is_thrown_away(compiled_once, tmp_path):
    kept = compiled_once.Kept(tmp_path)
    kept.add({b"a": b"code"})
    old, new = tmp_path / "of an old version", tmp_path / "of another"
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    kept.load()
    assert sorted(tmp_path.iterdir()) == sorted([kept.file, new])


def test_too_much_is_not_kept(compiled_once, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_once, "MOST", 10)
    kept = compiled_once.Kept(tmp_path)
    kept.add({b"a": b"12345"})
    kept.add({b"b": b"12345"})
    assert set(kept.load()) == {b"a", b"b"}
    kept.add({b"c": b"12345"})
    assert set(kept.load()) == {b"c"}


def test_only_our_own_files_hold_no_secrets(compiled_once):
    own = ["roles/nginx/vars/main.yml", "playbooks/install.yml", "inventories/topology.yml"]
    own.append("inventories/lab/group_vars/all/00_topology.yml")
    others = ["inventories/lab/group_vars/all/app.yml", "site.yml", "/etc/passwd"]
    assert [compiled_once.is_own(str(ROOT / path)) for path in own] == [True] * 4
    assert [compiled_once.is_own(str(ROOT / path)) for path in others] == [False] * 3
    others += ["playbooks/group_vars/all.yml", "roles/nobody/vars/main.yml"]
    assert [compiled_once.is_own(str(ROOT / path)) for path in others] == [False] * 5
    assert not compiled_once.is_own(None)


def test_what_is_encrypted_is_not_kept_in_clear(compiled_once, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_once, "OWN", (tmp_path,))
    written(tmp_path, {"clear.yml": "a: 1\n", "hidden.yml": "$ANSIBLE_VAULT;1.1;AES256\n62\n"})
    assert compiled_once.is_own(str(tmp_path / "clear.yml"))
    assert not compiled_once.is_own(str(tmp_path / "hidden.yml"))


@pytest.mark.parametrize(
    "text",
    ["{{ a | of.some }}", "{{ a is not of.some.kind }}", "a|of.some", "{% filter of.some %}"],
)
def test_what_asks_a_collection_is_for_one_run(compiled_once, text):
    assert compiled_once.OF_COLLECTION.search(text)
    assert not compiled_once.OF_COLLECTION.search(
        "{{ a | map(attribute='b.c') | list if a is b and c.d }}"
    )


def test_home_of_somebody_else_is_left_alone(compiled_once, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compiled_once.home() == tmp_path
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    assert compiled_once.home() is None
