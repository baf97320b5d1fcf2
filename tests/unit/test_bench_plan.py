"""Plans: what is shipped can be read, and nonsense is refused with its line."""

import pytest
import yaml

from bench.errors import BadInput
from bench.plan import SHIPPED, plan_path, read_plan

ROLES = SHIPPED.parents[1] / "roles"
MODES = yaml.safe_load((ROLES / "server_mode/vars/main.yml").read_text())["server_mode_table"]

GOOD = """\
title: Which one?
cells:
  - {server: uwsgi_gevent}
  - {name: small, server: uwsgi_sync, switches: {app_workers: 1}}
loads:
  - {name: c20, requests: 40, concurrency: 20, delay: 1, path: /}
  - {name: r20, kind: open, rate: 20, seconds: 5, path: /}
"""


@pytest.fixture
def plan(tmp_path):
    def read(text):
        path = tmp_path / "mine.yml"
        path.write_text(text)
        return read_plan(path, MODES)

    return read


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yml")), ids=lambda path: path.stem)
def test_what_is_shipped_is_a_plan(path):
    plan = read_plan(plan_path(path.stem), MODES)
    assert plan["name"] == path.stem
    assert [cell["duplicate_of"] for cell in plan["cells"]][-1] == plan["duplicate"]


def test_the_tutorials_plan_has_every_row_of_its_table():
    cells = read_plan(plan_path("tutorial"), MODES)["cells"]
    published = [cell["published"] for cell in cells if cell["published"]]
    assert published == [0.99, 124.69, 114.05, 148.95, 112.11, 157.67, 151.93, 1.50, 3.18]


def test_what_a_plan_leaves_out_is_filled_in(plan):
    whole = plan(GOOD)
    assert (whole["rounds"], whole["least_rounds"], whole["decides"]) == (10, 6, "c20")
    assert [cell["name"] for cell in whole["cells"]] == [
        "uwsgi_gevent",
        "small",
        "uwsgi_gevent-again",
    ]
    assert whole["cells"][1]["loads"] == ["c20", "r20"]
    assert whole["loads"][0]["kind"] == "closed"
    assert whole["loads"][1]["engine"] == "h2load"


WRONG = {
    "a mode there is not": ("server: uwsgi_gevent", "server: uwsgi_gvent", 3, "uwsgi_gevent"),
    "a misspelt key": ("concurrency: 20", "concurency: 20", 6, "concurrency"),
    "two cells of a name": ("name: small", "name: uwsgi_gevent", 4, "a name for each"),
    "fewer requests than clients": ("requests: 40", "requests: 10", 6, "20 or more"),
    "a load without a path": (", path: /}\n  - {name: r20", "}\n  - {name: r20", 6, "path"),
    "a rate h2load cannot keep": ("rate: 20", "rate: 1001", 7, "multiple of 10"),
    "no kind of load": ("kind: open", "kind: opened", 7, "closed, open, search"),
    "more clients than ab takes": (
        "requests: 40, concurrency: 20,",
        "engine: ab, requests: 40000, concurrency: 20001,",
        6,
        "20000, or engine: h2load",
    ),
    "an open load of ab": ("kind: open,", "kind: open, engine: ab,", 7, "h2load"),
    "a load that decides nothing": ("title: Which one?", "decides: c30", 1, "c20"),
    "a duplicate of nothing": ("title: Which one?", "duplicate: smal", 1, "small"),
    "rounds in words": ("title: Which one?", "title: Which?\nrounds: ten", 2, "how often"),
    "a number without digits": (
        "title: Which one?",
        'title: Which?\nrounds: !!int ""',
        2,
        "at most 18 digits",
    ),
    "a server among the switches": ("app_workers: 1", "server: x", 4, "server: MODE"),
    "a load nobody defined": (
        "server: uwsgi_gevent}",
        "server: uwsgi_gevent, loads: [c21]}",
        3,
        "c20",
    ),
    "a key twice": ("title: Which one?", "rounds: 1\nrounds: 2", 2, "each key once"),
    "a path with a space": (
        "path: /}\n  - {name: r20",
        'path: "/a b"}\n  - {name: r20',
        6,
        "percent-enc",
    ),
    "a path in another script": (
        "path: /}\n  - {name: r20",
        "path: /schön}\n  - {name: r20",
        6,
        "ASCII",
    ),
    "more rounds than anybody has": ("title: Which one?", "rounds: 10000000", 1, "from 1 to 1,000"),
    "a duplicate there is": ("name: small", "name: uwsgi_gevent-again", 3, "the duplicate one"),
    "a name too long for its duplicate": (
        "{server: uwsgi_gevent",
        f"{{server: uwsgi_gevent, name: {55 * 'a'}",
        3,
        "at most 54 letters",
    ),
    "a kind that is a list": ("kind: open", "kind: [open]", 7, "closed, open, search"),
    "no number as a switch": ("app_workers: 1", "app_workers: .nan", 4, "a number"),
    "a date as a switch": ("app_workers: 1", "a: {b: [2020-01-01]}", 4, "in quotes"),
    "a set as a switch": ("app_workers: 1", "a: !!set {x, y}", 4, "a list or a mapping"),
    "bytes as a switch": ("app_workers: 1", "a: !!binary aGk=", 4, "a text"),
    "a date for a switch": ("app_workers: 1", "2020-01-01: x", 4, "a name, in quotes"),
    "a switch in itself": ("{app_workers: 1}", "&a {b: [*a]}", 4, "values that end"),
    "a switch twice": ("app_workers: 1", "app_workers: 1, app_workers: 2", 4, "app_workers: ..."),
    "a switch nested too deep": ("app_workers: 1", f"a: {25 * '['}{25 * ']'}", 4, "switch takes"),
    "no date at all": ("title: Which one?", "title: 2020-99-99", 1, "in quotes"),
    "an int that is none": ("title: Which one?", "rounds: !!int abc", 1, "a number"),
    "a vault's text": ("title: Which one?", "title: !vault abc", 1, "a text"),
    "a name of Python's": ("title: Which one?", "title: !!python/name:os.system x", 1, "a text"),
    "a list as a key": ("title: Which one?", "? [a, b]\n: 3", 1, "a name"),
    "a merged text": ("app_workers: 1", "<<: x", 4, "an alias"),
    "a number without end": ("requests: 40", f"requests: {5000 * '1'}", 6, "18 digits"),
    "a plan without loads": (GOOD[GOOD.index("loads:") :], "", 1, "{name: c200, requests: 2000"),
    "no list of cells": (
        GOOD[GOOD.index("\n  - ") : GOOD.index("\nloads")],
        " 5",
        2,
        "a list",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_nonsense_is_refused_with_its_line(plan, name):
    before, after, line, valid = WRONG[name]
    assert before in GOOD
    text = GOOD.replace(before, after)
    if "title:" not in text:
        text = text.replace("loads:\n", "title: Which one?\nloads:\n")
    with pytest.raises(BadInput) as raised:
        plan(text)
    assert f"mine.yml, line {line}: " in str(raised.value)
    assert valid in f"{raised.value.valid} {raised.value.type}"
    assert all((raised.value.wrong, raised.value.valid, raised.value.type))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: the file is empty"),
        ("- 1", "line 1: this is not a plan"),
        ("cells: [", "cannot read the plan"),
        ("just words", "line 1: this is not a plan"),
        (f"cells: {3000 * '['}", "nested too deep"),
    ],
)
def test_what_is_no_plan_at_all_is_refused(plan, text, says):
    with pytest.raises(BadInput, match=says):
        plan(text)


def test_switches_may_be_merged_and_one_of_them_given_anew(plan):
    more = "  - {name: b, server: uwsgi_sync, switches: {<<: *a, app_workers: 3}}\n"
    merged = GOOD.replace("{app_workers: 1}", "&a {app_workers: 1, pooler: true}")
    cells = plan(merged.replace("loads:\n", f"{more}loads:\n"))["cells"]
    assert cells[2]["switches"] == {"app_workers": 3, "pooler": True}


def test_a_search_needs_a_range_and_an_objective_that_can_be_met(plan):
    search = "  - {name: most, kind: search, objective: %s, from: %s, to: %s, delay: 1, path: /}\n"
    assert plan(GOOD + search % (1.5, 20, 200))["loads"][2]["seconds"] == 10
    for values in ((1.0, 20, 200), (1.5, 200, 20), (1.5, 25, 200)):
        with pytest.raises(BadInput, match="line 8: load most"):
            plan(GOOD + search % values)


def test_an_open_load_decides_nothing(plan):
    with pytest.raises(BadInput, match="line 1: r20 decides"):
        plan("decides: r20\n" + GOOD)


def test_what_load_hosts_cannot_share_is_refused(tmp_path):
    search = (
        "  - {name: most, kind: search, objective: 1.5, from: 20, to: 200, delay: 1, path: /}\n"
    )
    path = tmp_path / "mine.yml"
    path.write_text(GOOD)
    assert read_plan(path, MODES, 2)["loads"][0]["requests"] == 40
    with pytest.raises(BadInput, match="line 6: load c20: 3 load hosts cannot share requests 40"):
        read_plan(path, MODES, 3)
    path.write_text(GOOD.replace("rate: 20", "rate: 30"))
    with pytest.raises(BadInput, match="line 7: load r20: 2 load hosts cannot share rate 30"):
        read_plan(path, MODES, 2)
    path.write_text(GOOD.replace("requests: 40", "engine: ab, requests: 40"))
    with pytest.raises(BadInput, match="cannot share a load of ab"):
        read_plan(path, MODES, 2)
    path.write_text(GOOD + search)
    with pytest.raises(BadInput, match="line 8: load most: a search is made by one"):
        read_plan(path, MODES, 2)


@pytest.mark.parametrize(
    ("load", "limit", "says"),
    [
        ("requests: 41, concurrency: 20, delay: 1", 2.5, "takes 3 s at least"),
        ("kind: open, rate: 20, seconds: 5, delay: 1", 5.5, "takes 6 s at least"),
        ("kind: search, objective: 1, from: 20, to: 80, seconds: 5", 14.5, "takes 15 s at least"),
    ],
)
def test_a_load_that_cannot_end_in_time_is_refused(tmp_path, load, limit, says):
    path = tmp_path / "mine.yml"
    path.write_text(GOOD.partition("loads:")[0] + f"loads:\n  - {{name: a, path: /, {load}}}\n")
    more = "" if "open" not in load else "  - {name: b, path: /, requests: 1, concurrency: 1}\n"
    path.write_text(path.read_text() + more + ("decides: b\n" if more else ""))
    read_plan(path, MODES, 1, limit + 0.5)
    with pytest.raises(BadInput, match=rf"line 6: load a: {says}") as told:
        read_plan(path, MODES, 1, limit)
    assert "-e benchmark_limit=" in told.value.valid


def test_what_to_type_for_a_key_there_is_not_is_the_nearest(plan):
    with pytest.raises(BadInput, match="line 1: a plan has no key: repetition") as raised:
        plan("repetition: 3\n" + GOOD)
    assert raised.value.type == "title"


def test_a_plan_that_is_nowhere_is_refused_with_ours():
    with pytest.raises(BadInput, match="no plan inflite") as raised:
        plan_path("inflite")
    assert "quick" in raised.value.valid
    assert raised.value.type == "-e bench_plan=inflight"
