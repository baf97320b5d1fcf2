"""What needs no host is done without a process, and says what it would have said from one."""

import inspect
import re

import pytest
from ansible.executor.task_executor import TaskExecutor
from plays import OURS, in_order, played, written

# Says which tasks had a process: it is loaded before ours, and so asked by it.
COUNTS = """
from ansible.executor.process.worker import WorkerProcess
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "a_count"

    def __init__(self):
        super().__init__()
        start = WorkerProcess.start

        def counted(worker):
            with open("processes", "a") as file:
                file.write(f"{worker._task.name} {worker._host.name}\\n")
            start(worker)

        WorkerProcess.start = counted
"""
PLAY = """
- hosts: [a, b, c]
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    mine: "{{ inventory_hostname | upper }}"
  tasks:
    - {name: Debug, debug: {msg: "{{ mine }}"}}
    - {name: Fact, set_fact: {kept: "{{ [mine] }}", "named_{{ mine }}": 1}}
    - {name: Assert, assert: {that: ["kept == [mine]", "lookup('vars', 'named_' ~ mine) == 1"]}}
    - {name: Fail, fail: {msg: no}, when: "kept == []"}
    - {name: Loop, debug: {msg: "{{ item }} of {{ mine }}"}, loop: [1, 2], when: item > 1 or mine == 'A'}
    - {name: Skipped, command: "false", when: mine == 'Z', register: unsaid, notify: Handler}
    - {name: Skipped in part, command: "echo {{ mine }}", when: mine == 'B', register: said, notify: Handler}
    - {name: Registered, debug: {msg: "{{ unsaid.skipped }} {{ said.stdout | default(said.skip_reason) }}"}}
    - {name: Skipped items, command: "echo {{ item }}", loop: [1, 2], when: item > 2}
    - name: Included
      include_tasks: more.yml
      loop: [x, y]
      loop_control: {loop_var: word}
      when: word == 'x' or mine == 'C'
    - {name: Undefined, debug: {msg: "{{ nothing }}"}, ignore_errors: true}
    - {name: Undefined condition, command: "true", when: nothing, ignore_errors: true}
    - {name: Once, set_fact: {all_have: "{{ mine }}"}, run_once: true}
    - {name: What all have, debug: {msg: "{{ all_have }}"}, delegate_to: b}
    - {name: Secret, debug: {msg: "hidden from all"}, no_log: true}
    - {name: Until, debug: {msg: "{{ mine }}"}, register: tried, until: tried is success, retries: 1}
    - block:
        - {name: Wrong, fail: {msg: "{{ mine }} is wrong"}, when: mine != 'A'}
      rescue:
        - {name: Rescued, debug: {msg: "{{ ansible_failed_result.msg }} in {{ ansible_failed_task.name }}"}}
    - block:
        - {name: Fails, stat: {}, when: mine != 'Z'}
      rescue:
        - {name: Of which, debug: {msg: "{{ ansible_failed_task.when }} held"}}
    - {name: Odd condition, command: "true", when: "'{{ mine }}' != 'Z'"}
    - name: "block {{ only_a }}"
      when: mine != 'C'
      block:
        - {name: In it, debug: {msg: "in {{ mine }}"}, ignore_errors: true}
      vars: {only_a: "{{ {'A': 'a'}[mine] }}"}
    - {name: Last, assert: {that: mine != 'C', fail_msg: "not {{ mine }}"}}
    - {name: After it, debug: {msg: "{{ mine }}"}}
  handlers:
    - {name: Handler, debug: {msg: "told by {{ mine }}"}}
"""
MORE = """
- {name: More, debug: {msg: "{{ word }} {{ mine }}"}}
"""
PROCESSES = ["Asks", "Asks first", "Asks and is skipped", "Pauses", "Retries", "Rolls dice"]
# As we name them.
FULL = re.compile(r"\b(assert|command|debug|fail|include_tasks|set_fact|stat):")


@pytest.fixture
def play(tmp_path):
    written(
        tmp_path,
        {
            "play.yml": FULL.sub(r"ansible.builtin.\1:", PLAY),
            "more.yml": FULL.sub(r"ansible.builtin.\1:", MORE),
            "callbacks/a_count.py": COUNTS,
        },
    )

    def run(*callbacks, code=2):
        """Return what the play says, and which tasks of which hosts had a process."""
        (tmp_path / "processes").unlink(missing_ok=True)
        said = played(tmp_path, "callbacks", *callbacks, code=code)
        return said, (tmp_path / "processes").read_text().splitlines()

    return run


ALONE = pytest.mark.skipif(
    "job_vars" not in inspect.signature(TaskExecutor).parameters,
    reason="this ansible-core has a process for each task",
)


@ALONE
def test_run_says_the_same_with_fewer_processes(play):
    said, each = play()
    same, few = play(OURS)
    assert in_order(same) == in_order(said)
    for line in ("told by B", "B is wrong in Wrong", "not C", "x A", "y C", "1 of A", "2 of B"):
        assert line in said
    assert "hidden from all" not in said
    assert len(each) > 55
    due = ["Loop", "Skipped items", "Included", "Until", "Fails", "Odd condition"]
    had = ["Skipped in part b", *(f"{name} {host}" for name in due for host in "abc")]
    assert sorted(few) == sorted(had)


WAITING = """
- hosts: [a, b]
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    asked: "{{ lookup('ansible.builtin.pipe', 'echo asked >> asked; echo x') }}"
    file: "{{ lookup('ansible.builtin.file', 'play.yml') | length }}"
  tasks:
    - {name: Asks, ansible.builtin.set_fact: {answer: "{{ asked }}"}}
    - {name: Asks first, ansible.builtin.command: "true", when: asked == 'x'}
    - {name: Asks and is skipped, ansible.builtin.command: "true", when: asked != 'x'}
    - {name: Reads, ansible.builtin.debug: {msg: "{{ file }}"}}
    - {name: Pauses, ansible.builtin.debug: {msg: x}, loop: [1, 2], loop_control: {pause: 0.01}}
    - {name: Retries, ansible.builtin.debug: {msg: x}, retries: 1, delay: 0}
    - {name: Rolls dice, ansible.builtin.command: "true", when: [1 | odds, 2 | odds]}
"""
ODDS = """
def odds(word):
    with open("odds", "a") as file:
        file.write("rolled ")
    return True

class FilterModule:
    def filters(self):
        return {"odds": odds}
"""


@ALONE
def test_what_takes_time_has_a_process_and_a_condition_is_asked_once(play, tmp_path):
    written(tmp_path, {"play.yml": WAITING, "filter_plugins/odds.py": ODDS})
    for callbacks, alone in ([], ["Reads"]), ([OURS], []):
        had = [f"{name} {host}" for name in PROCESSES + alone for host in "ab"]
        assert sorted(play(*callbacks, code=0)[1]) == sorted(had)
        for name, times in ("asked", 6), ("odds", 4):
            assert len((tmp_path / name).read_text().split()) == times
            (tmp_path / name).unlink()


# Says how often garbage was collected, in Ansible's own process.
COLLECTED = """
import gc
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "z_collected"

    def v2_playbook_on_play_start(self, play):
        self.before = sum(one["collections"] for one in gc.get_stats())

    def v2_playbook_on_stats(self, stats):
        after = sum(one["collections"] for one in gc.get_stats())
        self._display.display(f"collected {after - self.before} times")
"""
MUCH = """
- hosts: [a, b, c]
  gather_facts: false
  tasks:
    - {name: Fact, ansible.builtin.set_fact: {many: "{{ range(2000) | map('string') | map('list') | list }}"}}
"""


def test_garbage_is_looked_for_seldom(tmp_path):
    written(tmp_path, {"play.yml": MUCH, "callbacks/z_collected.py": COLLECTED})
    ours, plain = [
        int(re.search(r"collected (\d+) times", played(tmp_path, *given, "callbacks"))[1])
        for given in ([OURS], [])
    ]
    assert 5 * ours < plain
