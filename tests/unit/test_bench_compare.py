"""Two sessions compared on the same hosts; and the plans that `list` names."""

import copy
import json
from dataclasses import replace

import pytest
from bench_compared import MODES, SESSION, made, table
from bench_sessions import CLOSED, SMALL, Mode, about, little, write

from bench.__main__ import main
from bench.compare import compare
from bench.errors import BadInput
from bench.verdict import judge


def test_the_second_is_told_as_a_ratio_to_the_first():
    better = [Mode("a"), Mode("b", 0.6, 1.0)]
    found = table(compare(made(), made(better, seed=1)))
    assert set(found) == {("cell", "load"), *((cell, "c200") for cell in ("a", "b", "a-again"))}
    rate, cpu = found["b", "c200"]
    assert float(rate[:4]) == pytest.approx(1.2, abs=0.03)
    assert float(cpu[:4]) == pytest.approx(0.5, abs=0.03)
    assert rate.endswith(" *")
    assert cpu.endswith(" *")
    assert not any(value.endswith("*") for value in found["a", "c200"])


def test_the_same_measured_again_is_not_called_different():
    for seed in range(20):
        text = compare(made(noise=0.03, seed=seed), made(noise=0.03, seed=seed + 100))
        assert ("nothing was shown to differ" in text) or text.count(" *") <= 2


def test_what_a_session_sets_by_itself_does_not_make_other_hosts():
    before, after = (copy.deepcopy(SESSION) for _ in range(2))
    load = before["fingerprint"]["hosts"]["load1"]
    load["sysctls"] |= {"net.ipv4.ip_local_port_range": "32768 60999", "net.ipv4.tcp_tw_reuse": "2"}
    load, app = (after["fingerprint"]["hosts"][name] for name in ("load1", "app1"))
    load["sysctls"] |= {"net.ipv4.ip_local_port_range": "10000 65535", "net.ipv4.tcp_tw_reuse": "1"}
    app["sysctls"]["net.core.somaxconn"] = "16000"
    app["packages"]["pgbouncer"] = "1.18"  # which a cell has installed
    app["memory"] += 4096
    text = compare(made(session=before, control=None), made(session=after, control=None))
    assert "the hosts are not the same" not in text
    assert "what differs besides: inventory's app1.packages.pgbouncer: none and 1.18" in text


def test_of_many_that_differ_it_is_said_that_there_are_more():
    other = copy.deepcopy(SESSION)
    other["fingerprint"]["hosts"]["app1"]["packages"] |= {f"p{n}": "1" for n in range(9)}
    lines = compare(made(), made(session=other)).splitlines()
    assert "what differs besides: inventory: 3 more" in lines
    assert sum("inventory's app1.packages.p" in line for line in lines) == 6


@pytest.mark.parametrize("packages", [["nginx"], "nginx", 7, [{}]])
def test_a_fingerprint_that_is_none_makes_other_hosts(packages):
    other = copy.deepcopy(SESSION)
    other["fingerprint"]["hosts"]["app1"]["packages"] = packages
    assert "the hosts are not the same" in compare(made(), made(session=other))


def test_what_is_known_of_one_alone_makes_no_same_hosts():
    other = copy.deepcopy(SESSION)
    del other["fingerprint"]["hosts"]["app1"]["kernel"]
    text = compare(made(), made(session=other))
    assert "the hosts are not the same, or not known to be" in text
    assert "app1.kernel: 6.1.0-27-amd64 and none" in text


@pytest.mark.parametrize(
    ("host", "changed", "why"),
    [
        ("app1", {"memory": 12_000_000_000}, "app1.memory: 25000000000 and 12000000000"),
        ("load1", {"sysctls": {"net.core.somaxconn": "128"}}, "somaxconn: 4096 and 128"),
        ("load1", {"packages": {"nginx": "1.26"}}, "load1.packages.nginx: 1.22.1-9 and 1.26"),
    ],
)
def test_what_no_session_sets_makes_other_hosts(host, changed, why):
    other = copy.deepcopy(SESSION)
    other["fingerprint"]["hosts"][host] |= changed
    text = compare(made(), made(session=other))
    assert "the hosts are not the same" in text
    assert why in text


def test_what_differs_besides_the_hosts_is_told_and_hinders_nothing():
    other = copy.deepcopy(SESSION)
    other["fingerprint"]["controller"]["revision"] = "ffff"
    other["fingerprint"]["hosts"]["app1"]["clock"] = True
    text = compare(made(), made(session=other))
    assert "controller's revision: ab2dd3c and ffff" in text
    assert "control (cell.control)" not in text


def test_what_the_application_was_made_of_is_told():
    both = made(), made()
    for experiment, gevent, release in zip(both, ("25.9.1", "26.1.0"), ("one", "two"), strict=True):
        for run in (run for runs in experiment.runs.values() for run in runs.values()):
            run.doc["cell"]["app"][0]["versions"] = {"gevent": gevent, "flask": "3.1.2"}
            run.doc["cell"]["facts"] = {"release": release}
    text = compare(*both)
    assert "what differs besides: application's gevent: 25.9.1 and 26.1.0" in text
    assert "what differs besides: application's release: one and two" in text
    assert "flask" not in text


def test_loads_that_are_the_same_only_in_name_are_left_out():
    other = about(MODES, [CLOSED | {"concurrency": 100}])
    says = r"of the same load: a, b and a-again, c200 \(concurrency 200 and 100\)"
    with pytest.raises(BadInput, match=says):
        compare(made(), made(session=other))
    both = [SMALL | {"name": "c5"}, CLOSED]
    changed = [SMALL | {"name": "c5", "delay": 0.2}, CLOSED]
    found = table(compare(made(session=about(MODES, both)), made(session=about(MODES, changed))))
    assert {load for _, load in found} == {"load", "c200"}


def test_what_is_not_in_both_is_told():
    both = about(MODES, [SMALL | {"name": "c5"}, CLOSED])
    less = about(MODES[:1], [SMALL | {"name": "c5", "requests": 10}, CLOSED], twin=False)
    lines = compare(made(session=both), made(MODES[:1], session=less)).splitlines()
    assert [line for line in lines if line.startswith("left out: ")] == [
        "left out: a, b and a-again, c5 (requests 20 and 10)",
        "left out: b and a-again, c200 (only in made)",
    ]
    assert not any(line.startswith("left out") for line in compare(made(), made()).splitlines())


def planned(**load):
    return about(MODES, [CLOSED | load])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"ramp": None}, {"ramp": 200}, False),
        ({"ramp": 200}, {"ramp": 400}, False),
        ({}, {"ramp": 200}, False),  # of before there were ramps
        ({"ramp": 200}, {"ramp": 200}, True),
        ({}, {"ramp": None}, True),
    ],
)
def test_clients_that_come_otherwise_are_another_load(one, other, same):
    first, second = (made(session=planned(**load)) for load in (one, other))
    if same:
        assert ("a", "c200") in table(compare(first, second))
    else:
        with pytest.raises(BadInput, match="no cell with a result of the same load"):
            compare(first, second)


def test_the_ramp_of_a_load_in_no_plan_is_not_known_and_its_command_is_told():
    first, second = made(session=planned(ramp=200)), made(session=planned())
    for side, ramp, agent in ((first, "-r 2 --rate-period=10ms ", 1), (second, "", 2)):
        for run in (run for runs in side.runs.values() for run in runs.values()):
            run.doc["cell"]["command"] = (
                f"h2load -c 200 {ramp}-n 2000 -H 'User-Agent: greenrack-{agent}' http://10.0.0.2/"
            )
        side.session["plan"]["loads"] = []
        side.loads[0] = replace(side.loads[0], facts=run.doc["cell"])
    text = compare(first, second)
    assert ("a", "c200") in table(text)
    told = "what differs besides: load c200's command: -r 2 --rate-period=10ms and none"
    assert told in text.splitlines()
    assert "User-Agent" not in text


def test_cells_and_options_that_are_others_under_the_same_name_are_told():
    other = copy.deepcopy(SESSION)
    other["plan"]["cells"][1] |= {"server": "c", "switches": {"app_client": "urllib3"}}
    other["command"] += " -e app_tls=true"
    lines = compare(made(), made(session=other)).splitlines()
    assert [line for line in lines if line.startswith("what differs besides: ")] == [
        "what differs besides: session's command: none and -e app_tls=true",
        "what differs besides: cell b's server: b and c",
        "what differs besides: cell b's app_client: none and urllib3",
    ]
    assert "what differs besides" not in compare(made(), made(seed=1))


def test_the_legend_names_the_greatest_noise_floor():
    session = about(MODES, [CLOSED, SMALL | {"name": "c5"}])
    first, second = made(session=session), made(session=session, seed=1)
    for number, run in first.runs["a-again", "c5"].items():
        run.doc["cell"]["app"][0]["cpu_seconds"] *= 1.2 if number % 2 else 0.8
    floor = judge(first, first.loads[1]).floors["cpu"]
    assert f"noise floor, 3.0 to {100 * floor:.1f} %" in compare(first, second)


def test_few_rounds_have_no_interval_and_failures_are_told():
    few = about(MODES, rounds=3)
    text = compare(made(session=few), made([Mode("a"), Mode("b", failed=2)], session=few))
    assert "(no interval, 3 pairs)" in text
    assert "0 and 6" in text
    assert "not ranked in made: b, 6 of 6,000 requests failed (rounds 1 to 3)" in text


def test_the_command_prints_the_table_and_names_damage(tmp_path, capsys):
    first, second = (little(tmp_path / name) for name in ("one", "two"))
    assert main(["compare", str(first), str(second)]) == 0
    assert "two as a ratio to one" in capsys.readouterr().out
    (second / ".x.tmp").write_text("")
    assert main(["compare", str(first), str(second)]) == 1
    out, err = capsys.readouterr()
    assert "uwsgi_gevent  " in out
    assert "half-written" in err
    assert main(["compare", str(first), str(tmp_path / "nowhere")]) == 2


def test_the_report_command_says_the_verdict_and_where_it_is(tmp_path, capsys):
    session, out = little(tmp_path / "one"), tmp_path / "out"
    assert main(["report", str(session), "--out", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Run uwsgi_gevent: ")
    assert told[-2:] == [str(out / "report.html"), str(out / "report.md")]
    assert not (session / "report.html").exists()
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty")]) == 2
    (tmp_path / "file").write_text("")
    assert main(["report", str(session), "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("  type:  ") == 2


def test_list_names_the_plan_where_there_is_one(tmp_path, capsys):
    results = tmp_path / "results"
    for name in ("1", "2", "3"):
        write(results / name, about(MODES[:1], [SMALL], 1), MODES[:1])
    (results / "2" / "session.json").unlink()
    assert main(["list", str(results)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["session", "results", "damaged", "plan", "servers"]
    assert [row[3] for row in rows[1:]] == ["quick", "-", "quick"]
    (results / "3" / "session.json").write_text(json.dumps({"schema": 9}))
    assert main(["list", str(results)]) == 1
    assert "session.json" in capsys.readouterr().err
