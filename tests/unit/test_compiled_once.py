"""Compiled templates are taken from whichever process was first, and are what each would have compiled itself."""

import itertools
import os
import resource
import subprocess
import sys
from pathlib import Path

import greenrack_modules
import jinja2
import pytest

ROOT = Path(__file__).parents[2]
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
                file.write(f"{source}\\n")
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
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    def run(*callbacks):
        """Return what a play says, and which templates were compiled for it."""
        (tmp_path / "compiled").unlink(missing_ok=True)
        told = {name: os.environ[name] for name in os.environ if not name.startswith("ANSIBLE_")}
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", "a,b,c", "-f1", "play.yml"],
            cwd=tmp_path,
            env={**told, "ANSIBLE_CALLBACK_PLUGINS": ":".join(map(str, callbacks))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, (tmp_path / "compiled").read_text().splitlines()

    return run


def test_run_says_the_same_and_compiles_a_template_once(play):
    said, each = play("callbacks")
    same, once = play("callbacks", ROOT / "callback_plugins")
    assert same == said
    word = "{{ 'ab' | upper }}"
    assert each.count(word) > 10
    assert once.count(word) == 1
    # With a backslash it is compiled as ever.
    path = r'{{ "C:\\new" }}'
    assert once.count(path) == each.count(path) == 3
