"""What the verdict says besides who won."""

import pytest
from bench_sessions import OPEN, SEARCH, SMALL, Mode, about, edit, experiment, write

from bench.experiment import read_experiment
from bench.report import render
from bench.verdict import judge
from bench.words import in_words


@pytest.fixture
def searched(tmp_path):
    """Make an experiment of six rounds of a search that goes up to `to`."""

    def made(modes, to):
        search = SEARCH | {"delay": 0.1, "objective": 0.15, "from": 50, "to": to, "seconds": 1}
        session = about(modes, [search], rounds=6)
        return read_experiment(write(tmp_path / "s", session, modes, noise=0, drift=0))

    return made


HELD = "the highest rate of the search, {}/s, held: its limit is not known, raise `to`"


def test_cells_that_held_the_highest_rate_of_a_search_are_not_told_apart(searched):
    made = searched([Mode("slow", 0.6), Mode("fast", 1.0)], 100)
    told = in_words(made)
    assert told[0] == "Run slow, or fast: no difference between them was shown."
    assert "at least 100 requests/s (p99 at most 0.15 s)" in told[1]
    assert told[2] == (
        "Mind: slow and fast held the highest rate of the search, 100/s, so their limits are not "
        "known, nor whose is higher: raise `to`."
    )
    # Twice the highest rate is no noise of nought.
    (floor,) = (line for line in told if "Noise floor" in line)
    assert (
        "not known, no duplicate's searches came to a limit in enough rounds; 3 % is used" in floor
    )
    for runs in made.runs.values():
        assert [run.doc["flags"] for run in runs.values()] == [[HELD.format(100)]] * 6
    html, text = render(made)
    assert "<dd>\N{GREATER-THAN OR EQUAL TO} 100" in html
    assert "| \N{GREATER-THAN OR EQUAL TO} 100 |" in text


def test_a_cell_that_held_the_highest_rate_is_faster_by_at_least_so_much(searched):
    made = searched([Mode("slow", 0.6), Mode("fast", 1.0)], 250)
    assert judge(made).ranked == ["fast", "slow"]
    told = in_words(made)
    assert told[0] == "Run fast: it serves at least 25 % more than slow, the next."
    assert "Mind: fast held the highest rate of the search, 250/s, so its limit is" in told[2]
    rows = [line for line in render(made)[1].splitlines() if line.startswith("| ")]
    assert any(" slow |" in row and "| 200 |" in row for row in rows)


def test_a_search_that_found_a_limit_tells_it(searched):
    made = searched([Mode("slow", 0.6), Mode("fast", 0.8)], 400)
    told = in_words(made)
    assert "it serves 25 % more than slow" in told[0]
    assert "at most 250 requests/s" in told[1]
    assert not any("raise" in line for line in [*told, render(made)[1]])


def test_hosts_that_were_emulated_are_told():
    modes = [Mode("a"), Mode("b")]
    kinds = {"app1": "qemu", "db1": "kvm", "api1": "systemd-nspawn", "load1": "qemu"}
    hosts = {name: {"virtualization": kind} for name, kind in kinds.items()}
    emulated = about(modes) | {"fingerprint": {"controller": {}, "hosts": hosts}}
    told = in_words(experiment(emulated, modes))
    assert any("app1 and load1 ran under emulation" in sentence for sentence in told)
    assert not any("emulation" in told for told in in_words(experiment(about(modes), modes)))


def test_a_load_that_does_not_decide_says_what_it_comes_to_and_how_noisy_it_was(tmp_path):
    modes = [Mode("a", 1.0), Mode("b", 0.5, 1.005)]
    loads = [SMALL | {"name": "c5"}, SMALL | {"name": "other"}]
    path = write(tmp_path / "s", about(modes, loads, 6), modes, noise=0.001)
    for number, result in enumerate(sorted(path.glob("*.a-again.other.*.json"))):

        def doubled(doc, by=(0.3, 3.0)[number % 2]):
            doc |= {"requests_per_second": by * doc["requests_per_second"], "raw": None}

        edit(result, doubled)
    made = read_experiment(path)
    assert in_words(made)[0].startswith("Run a: it serves ")
    html, text = render(made)
    said = [line for line in text.splitlines() if line.startswith("- By this load alone: ")]
    assert len(said) == 1
    assert "run a, or b: no difference between them was shown. Noise floor: a, measured" in said[0]
    assert f"{100 * judge(made, made.loads[1]).floors['rate']:.1f} % in throughput" in said[0]
    assert text.index(said[0]) > text.index("## other")
    assert html.count("By this load alone: run a, or b") == 1


def test_an_open_load_comes_to_nothing_by_its_rate(tmp_path):
    """Whoever keeps up has the rate it was asked at."""
    modes = [Mode("a", 1.0), Mode("b", 0.5)]
    experiment_ = read_experiment(write(tmp_path / "s", about(modes, [SMALL, OPEN], 6), modes))
    assert experiment_.loads[1].kind == "open"
    assert "By this load alone" not in "".join(render(experiment_))
