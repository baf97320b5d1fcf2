"""What a session puts back when it goes on: what it found, unless something newer has been deployed since."""

import json

import pytest
from bench_sessions import SMALL, Mode, about, edit, write

from bench import schedule
from bench.errors import BadInput

MODES = [Mode(name, more={"loads": ["c200"]}) for name in "ab"]
BEFORE = {"server": "a", "variant": "", "release": "one"}


@pytest.fixture
def going_on(tmp_path):
    """Return a session of which some was measured with release two, and how to go on with release `live` there."""
    told = about(MODES, [SMALL], rounds=2) | {"before": BEFORE}
    told["command"] = "ansible-playbook playbooks/benchmark.yml -i hosts -e bench_plan=quick"
    session = write(tmp_path / "s", told, MODES, rounds=1)
    for path in session.glob("01.*.json"):
        edit(path, lambda doc: doc["cell"].update(facts={"release": "two"}))

    def go(live, server="b"):
        now = told | {"before": {"server": server, "variant": "", "release": live}}
        schedule.begin(session, told["plan"], now)
        return schedule.read_about(session)["before"]

    return session, go


@pytest.mark.parametrize("live", ["one", "two", ""])
def test_what_was_found_is_put_back_where_the_session_itself_has_made_live_what_is(going_on, live):
    assert going_on[1](live) == BEFORE


def test_a_release_deployed_since_is_not_replaced_by_what_was_found(going_on):
    session, go = going_on
    before = (session / "session.json").read_text()
    with pytest.raises(BadInput, match=r"release three is live, .* would put back one") as told:
        go("three")
    typed = "ansible-playbook playbooks/rollback.yml -e release=one -e server=a -i hosts"
    assert told.value.type.endswith(typed)
    assert (session / "session.json").read_text() == before


@pytest.mark.parametrize("live", ["one", "two", "three"])
def test_what_is_live_is_put_back_where_the_session_has_left_nothing_behind(going_on, live):
    session, go = going_on
    schedule.put_back(session)
    kept = json.loads((session / "session.json").read_text())
    assert go(live) == {"server": "b", "variant": "", "release": live}
    about = json.loads((session / "session.json").read_text())
    assert about | {"before": BEFORE} == kept
    # What it deploys from here on is its own again.
    assert go("two") == {"server": "b", "variant": "", "release": live}
