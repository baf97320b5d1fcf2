"""What templates need is prepared once, and they are what they would be otherwise."""

import pytest
from plays import OURS, in_order, played, written

# Says how often Ansible wraps all variables: it is loaded before ours, and so asked by it.
COUNTS = """
from ansible._internal._templating import _jinja_bits
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "a_count"

    def __init__(self):
        super().__init__()
        before = _jinja_bits._flatten_and_lazify_vars

        def counted(mapping):
            if len(mapping) > 50:
                with open("wrapped", "a") as file:
                    file.write("x")
            yield from before(mapping)

        _jinja_bits._flatten_and_lazify_vars = counted
"""
FILTERS = """
class FilterModule:
    def filters(self):
        return {"upper": lambda word: f"ours: {word}"}
"""
LOOKUP = """
from ansible.plugins.lookup import LookupBase

class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        said = []
        for term in terms:
            variables["word"] = term
            said.append(self._templar.template(variables["shown"]))
        return said
"""
PLAY = """
- hosts: [a, b, c]
  connection: local
  gather_facts: false
  vars:
    word: "{{ inventory_hostname }}"
    words: ["{{ word }}", "{{ word }}"]
    shown: "<{{ word }}>"
    sentence: "{{ words | join(' ') }} {{ word }}"
    items: "{{ item | default('none') }} {{ word }}"
    tries: "{{ tried.attempts | default(0) }}"
    local: "{% set word = 'local' %}{{ word }} {{ sentence }}"
    page: "{{ lookup('ansible.builtin.template', 'page.j2', template_vars={'word': 'given'}) }}"
    missing: "{{ nothing }}"
    list: [3, 4]
    more: "{% set own = list %}{% set _ = own.append(9) %}{{ own | join('+') }}"
  tasks:
    - {name: One argument, debug: {msg: "{{ sentence }}, {{ words }}, {{ word | upper }}, {{ word | length }}"}}
    - {name: Items, debug: {msg: "{{ items }} {{ items }}"}, loop: [1, 2]}
    - {name: Tries, debug: {msg: "{{ tries }}"}, register: tried, until: tries | int == 2, retries: 3, delay: 0}
    - {name: Own, debug: {msg: "{{ word }} {{ sentence }}"}, vars: {word: own}}
    - name: Local
      debug: {msg: "{{ local }} {{ word }} {% for word in [1, 2] %}{{ word }} {{ sentence }}{% endfor %}"}
    - {name: Page, debug: {msg: "{{ page }} {{ sentence }} {{ hostvars['b'].shared }}"}}
    - {name: Appended, debug: {msg: "{{ more }} {{ list | join('+') }} {{ list }}"}}
    - {name: Changed by a lookup, debug: {msg: "{{ query('inplace', 'one', 'two') }} {{ word }} {{ shown }}"}}
    - {name: Fact, set_fact: {word: "{{ word }}2"}}
    - {name: Afterwards, debug: {msg: "{{ sentence }}"}}
    - {name: Missing, debug: {msg: "{{ missing | default('nothing') }} {{ missing }}"}, ignore_errors: true}
"""
MANY = "".join(f"variable_{number}: {number}\n" for number in range(60))


@pytest.fixture
def play(tmp_path):
    files = {"play.yml": PLAY, "page.j2": "{{ word }}: {{ sentence }}\n"}
    files["group_vars/all.yml"] = f"{MANY}shared: '{{{{ inventory_hostname }}}} shares'\n"
    files["lookup_plugins/inplace.py"] = LOOKUP
    files["callbacks/a_count.py"] = COUNTS
    written(tmp_path, {**files, "filter_plugins/upper.py": FILTERS})

    def run(*callbacks):
        """Return what the play says, and how often Ansible wrapped all variables."""
        (tmp_path / "wrapped").write_text("")
        said = played(tmp_path, "callbacks", *callbacks)
        return said, (tmp_path / "wrapped").stat().st_size

    return run


def test_run_says_the_same_and_wraps_what_has_changed(play):
    said, often = play()
    same, never = play(OURS)
    assert in_order(same) == in_order(said)
    for line in (
        *("a a a, ", "b shares", "ours: a", "1 a 1 a", "2 b 2 b", "own own own own"),
        *("given: given", "3+4+9 3+4 [3, 4]", "<one>", "<two>", "c2 c2 c2"),
    ):
        assert line in said
    assert often > 100
    assert never == 0
