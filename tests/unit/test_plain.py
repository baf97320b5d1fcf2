"""GREENRACK_PLAIN, for who suspects a callback of ours: a run does all as Ansible does by itself."""

import pytest
import test_done_here
import test_prepared_once
from plays import OURS, played, written

PLAY = """
- hosts: [a, b]
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    word: "{{ inventory_hostname }}"
  tasks:
    - {name: Debug, ansible.builtin.debug: {msg: "{{ word }}"}}
    - {name: Ask, ansible.builtin.ping: {}}
"""


@pytest.fixture
def play(tmp_path):
    files = {"play.yml": PLAY, "group_vars/all.yml": test_prepared_once.MANY}
    for name, of in {"a_process": test_done_here, "a_wrap": test_prepared_once}.items():
        files[f"callbacks/{name}.py"] = of.COUNTS.replace("a_count", name)
    written(tmp_path, files)

    def run(*callbacks, **environment):
        """Return what is said, the processes there were, and whether variables were wrapped and something kept."""
        for name in ("processes", "wrapped"):
            (tmp_path / name).write_text("")
        said = played(tmp_path, "callbacks", *callbacks, HOME=str(tmp_path), **environment)
        processes = sorted((tmp_path / "processes").read_text().splitlines())
        kept = (tmp_path / ".cache/greenrack").exists()
        return said, processes, (tmp_path / "wrapped").stat().st_size, kept

    return run


def test_a_run_does_without_what_is_kept_and_prepared(play):
    plain = play()
    assert play(OURS, GREENRACK_PLAIN="true")[1:] == plain[1:]
    assert play(OURS)[1:] != plain[1:], "it proves nothing"
