"""The report: pure, whole, offline, escaped, small, and readable in a browser of any width."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from bench_sessions import CLOSED, OPEN, SEARCH, SMALL, Mode, about, edit, little, tree, write

from bench.experiment import read_experiment
from bench.report import render, write_report

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return little(tmp_path_factory.mktemp("results") / "small")


@pytest.fixture
def session(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "results" / "small"))


def page(session):
    return render(read_experiment(session))[0]


def test_the_page_is_well_formed_and_loads_nothing(session):
    root = tree(page(session))
    loading = [
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "input",
        "audio",
        "video",
    ]
    assert not {element.tag for element in root.iter()} & {*loading}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "action", "data", "poster")
            if name == "href":
                assert not re.match(r"[a-z]+:|//", value), value
            assert "url(" not in value
    style = root.find("head/style").text
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r",\s*\{|,\s*,|, {2}", style), "a part of a rule was lost"
    policy = root.find("head/meta[@http-equiv='Content-Security-Policy']").get("content")
    assert "default-src 'none'" in policy


def test_the_sections_come_in_the_order_in_which_one_decides(session):
    root = tree(page(session))
    found = [heading.text for heading in root.iter("h2")]
    assert found[0].startswith("Run uwsgi_gevent: ")
    assert found[1:] == [
        "Results",
        "How sure is the order?",
        "How much can each take?",
        "Who waits longest?",
        "How many wait for another turn?",
        "Is it steady?",
        "Each against each",
        "How it was measured",
        "Where it was measured",
        "Do it again",
    ]


def test_every_chart_says_what_is_to_be_seen(session):
    root = tree(page(session))
    charts = list(root.iter("svg"))
    assert len(charts) == 2 + 3 + 2 + 3 + 3
    for number, chart in enumerate(charts):
        assert chart.get("role") == "img"
        assert len(chart.get("aria-label")) > 20
        titles = [t.text for t in chart.iter("text") if "title" in t.get("class").split()]
        assert len(titles) == (1 if number < 2 else 2)  # the ratios have but one axis
    for figure in root.iter("figure"):
        assert "".join(figure.find("figcaption").itertext()).strip()


def test_what_the_application_was_made_of_stands_beside_the_hosts(session):
    cards = {
        card.find("h3").text: card
        for card in tree(page(session)).iter("div")
        if card.find("h3") is not None
    }
    told = [line.text for line in cards["application"].iter() if line.tag in ("dt", "dd")]
    assert told == ["flask", "3.1.2", "gevent", "25.9.1"]


def test_the_same_session_gives_the_same_report(session, tmp_path):
    first = [path.read_bytes() for path in write_report(session, read_experiment(session))]
    again = [path.read_bytes() for path in write_report(session, read_experiment(session))]
    assert first == again
    assert sorted(path.name for path in session.iterdir() if path.name.startswith(".")) == []


def test_a_report_that_cannot_be_written_leaves_nothing_half_written(session):
    (session / "report.html").mkdir()
    with pytest.raises(IsADirectoryError):
        write_report(session, read_experiment(session))
    assert list(session.glob(".*")) == []


def test_figures_stand_beside_their_limit_and_the_tutorials(session):
    html, text = render(read_experiment(session))
    assert "% of<br/>the limit" in html
    assert re.search(r"\d\.\d\d\N{MULTIPLICATION SIGN}", html)
    row = next(line for line in text.splitlines() if line.startswith("| uwsgi_gevent | c5 | 40.00"))
    assert re.fullmatch(r"\| uwsgi_gevent \| c5 \| 40\.00 \| \d+\.\d\d \| 50\.0 \|", row)
    assert "| 1 | uwsgi_gevent |" in text


def test_cells_without_a_result_are_named_below_the_table(session):
    for path in session.glob("*.gunicorn_sync.c5.*"):
        path.unlink()
    html, text = render(read_experiment(session))
    assert "No result: gunicorn_sync." in html
    assert "- no result: gunicorn_sync" in text


def test_links_lead_to_the_files_that_are_there(session, tmp_path):
    out = tmp_path / "elsewhere" / "deep"
    for place in (session, out):
        write_report(session, read_experiment(session), place)
        root = tree((place / "report.html").read_text())
        links = [a.get("href") for a in root.iter("a") if not a.get("href").startswith("#")]
        assert len(links) > 2 * 6 * 3
        assert [link for link in links if not (place / link).is_file()] == []
        assert any(link.endswith(".log.gz") for link in links)


@pytest.mark.parametrize("keep", [["c5"], ["r100"], ["most"]])
def test_sections_without_data_are_left_out(made, tmp_path, keep):
    session = tmp_path / "part"
    session.mkdir()
    for path in made.iterdir():
        if path.name == "session.json" or path.name.split(".")[2] in keep:
            shutil.copy(path, session)
    edit(session / "session.json", lambda doc: doc["plan"].update(loads=[]))
    headings = [h.text for h in tree(page(session)).iter("h2")]
    assert ("Is it steady?" in headings) is (keep != ["most"])
    assert ("How much can each take?" in headings) is (keep != ["c5"])


def test_every_text_is_escaped(tmp_path):
    modes = [Mode("a"), Mode("b", 0.8)]
    plain = about(modes, [SMALL | {"name": "c5"}], 6)
    session = write(tmp_path / "s", plain, modes)
    told = json.loads(json.dumps(plain).replace('"uwsgi', '"x'))
    told |= {"command": f"{EVIL}\x1b[31m", "started": EVIL, "before": {EVIL: EVIL}}
    told["plan"] |= {"title": EVIL, "name": EVIL}
    told["plan"]["cells"][0] |= {
        "name": EVIL,
        "server": EVIL,
        "switches": {EVIL: EVIL},
        "published": 1,
    }
    told["plan"]["cells"][-1] |= {"duplicate_of": EVIL}
    told["plan"]["loads"][0] |= {"path": EVIL}
    told["fingerprint"] = {"hosts": {EVIL: {EVIL: EVIL, "packages": {EVIL: EVIL}}}}
    told["fingerprint"]["controller"] = {EVIL: [EVIL]}
    (session / "session.json").write_text(json.dumps(told))
    (session / "c.refused.json").write_text(
        json.dumps({"schema": 3, "cell": "c", "round": 1, "why": f"{EVIL}\0\ud800\x1b[1m"})
    )
    for path in session.glob("*.a.c5.*.json"):

        def evil(doc):
            doc["cell"] |= {"name": EVIL, "command": EVIL}
            doc["cell"]["app"][0]["versions"] = {EVIL: EVIL}
            doc["flags"].append(f"{EVIL} | [x](http://elsewhere) ![y](http://elsewhere/z.png)")

        edit(path, evil)
    html, text = render(read_experiment(session))
    root = tree(html)
    assert html.count("&lt;script&gt;") > 20
    assert not [element for element in root.iter() if element.tag == "script"]
    shown = [line for line in text.splitlines() if not line.startswith("    ")]  # that is code
    assert "<" not in "".join(shown).replace(r"\<", "")
    assert "](http" not in text.replace(r"\](http", "")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Return the page of a plan of 9 cells, 3 loads of 2,000 requests and 10 rounds."""
    modes = [Mode(f"mode_{n}", 0.97 - 0.02 * n, 1 + 0.2 * n, 0.01 * n) for n in range(8)]
    modes[-1].failed = 3
    session = about(modes, [CLOSED, OPEN, SEARCH])
    path = write(tmp_path_factory.mktemp("results") / "full", session, modes)
    (path / "devserver.refused.json").write_text(
        json.dumps({"schema": 3, "cell": "devserver", "round": 1, "why": "fatal: no"})
    )
    write_report(path, read_experiment(path))
    return path / "report.html"


def test_it_says_how_a_cell_that_could_not_be_deployed_is_tried_again(full):
    said = " ".join("".join(tree(full.read_text()).itertext()).split())
    assert "devserver could not be deployed fatal: no To have it tried again: rm" in said
    assert "rm results/full/devserver.refused.json, and then" in said
    assert "with -e bench_session=full." in said


def test_a_full_plan_stays_below_a_megabyte(full):
    assert len(full.read_bytes()) < 1_000_000
    root = tree(full.read_text())
    assert sum(1 for _ in root.iter("svg")) == 2 + 9 + 2 + 9 + 9
    assert full.with_name("report.md").stat().st_size < 30_000


PROBE = """<script>parent.postMessage([
  document.documentElement.scrollWidth, innerWidth, document.querySelector('.scroll table').scrollWidth,
  getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0]].join(" "), "*")</script></body>"""
WINDOW = """<body><pre>nothing</pre><script>onmessage = (said) => {
  document.querySelector("pre").textContent = said.data }</script>
<iframe src="copy.html" width="WIDTH" height="900" style="border:0"></iframe></body>"""


def seen(html, folder, width, probe, dark=False):
    """Return the numbers that a script on the page says in a browser's window of a width."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    # In a frame, since a browser's own window is never narrower than 500; and the page's own policy
    # would not let the probe run.
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    (folder / "copy.html").write_text(html.replace("</body>", probe))
    window = folder / "window.html"
    window.write_text(WINDOW.replace("WIDTH", str(width)))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    flags += (
        " --disable-background-networking --disable-component-update --virtual-time-budget=5000"
    )
    flags += f" --window-size=1400,1000 --blink-settings=preferredColorScheme={int(not dark)}"
    done = subprocess.run(
        [
            *(chromium, *flags.split(), f"--user-data-dir={folder / 'profile'}"),
            *("--dump-dom", window.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r"<pre>([\d. -]+)</pre>", done.stdout)
    assert found, done.stdout[:500] + done.stderr[-2000:]
    return list(map(float, found[1].split()))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it_no_wider_than_its_window(full, tmp_path, width, dark):
    page_width, window_width, table, red = seen(full.read_text(), tmp_path, width, PROBE, dark)
    assert window_width == width
    assert page_width <= window_width
    assert (red < 128) is dark
    assert (table > window_width) is (width == 390)  # it scrolls in a box of its own


NAMES = """<script>const said = []
for (const head of document.querySelectorAll('tbody th:has(.rank)')) {
  const range = document.createRange()
  range.setStartAfter(head.querySelector('.key'))
  range.setEndBefore(head.querySelector('sup, small') || head.lastChild)
  const lines = [...range.getClientRects()], rank = head.querySelector('.rank').getBoundingClientRect()
  said.push(Math.min(...lines.map((line) => line.left)) - rank.left, new Set(lines.map((line) => line.top)).size) }
parent.postMessage(said.join(" "), "*")</script></body>"""


def test_a_name_that_is_broken_goes_on_beside_its_rank(session, tmp_path):
    found = seen(page(session), tmp_path, 390, NAMES)
    lefts, lines = found[::2], found[1::2]
    assert max(lines) > 1
    assert min(lefts) > 10
