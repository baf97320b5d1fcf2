"""The report of an experiment, from what is stored and nothing else: one offline HTML file, one Markdown.

The same session gives the same files, byte for byte: there is no clock and no chance in them.
"""

import os
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.experiment import Experiment
from bench.report import formats
from bench.report.clean import clean
from bench.report.context import context
from bench.report.markdown import markdown
from bench.store import publish

HTML, MARKDOWN = "report.html", "report.md"
_HERE = Path(__file__).parent


def render(experiment: Experiment, links: str = "") -> tuple[str, str]:
    """Return the HTML and the Markdown; `links` leads from the report's directory to the session's."""
    told = context(experiment)
    told["link"] = lambda name: quote(f"{links}{name}")
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= formats.FILTERS
    page = environment.get_template("page.html.j2").render(told)
    return page, clean(markdown(experiment, told))


def write_report(session: Path, experiment: Experiment, out: Path | None = None) -> list[Path]:
    """Write the report into `out`, by default the session's directory; return the files' paths.

    Unlike results, a report is written anew each time: it can always be made again.
    """
    out = out or session
    out.mkdir(parents=True, exist_ok=True)
    way = Path(os.path.relpath(session.resolve(), out.resolve())).as_posix()
    texts = render(experiment, "" if way == "." else f"{way}/")
    paths = [out / HTML, out / MARKDOWN]
    for path, text in zip(paths, texts, strict=True):
        publish(path, text.encode("utf-8"), anew=True)
    return paths
