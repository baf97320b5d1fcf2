"""Units beside the application, as docs/your-own-hosts.md has them: each runs, and with what is live."""

import re
import shlex

import pytest

from tests.stack.lab import ROOT

RECIPE = re.search(
    r"```ini\n(# /etc/systemd/system/shop-worker@.*?)```",
    (ROOT / "docs/your-own-hosts.md").read_text(),
    re.S,
)[1]
KINDS = ["worker", "beat"]
# Until a unit's own process is what it is for: before that, it is a shell, and then flock.
RUNS = """
until [ "$(cat /proc/$(systemctl show --value --property=MainPID {})/comm)" = python ]; do sleep 0.2; done
"""


@pytest.fixture(scope="module")
def beside(single):
    """The host with the demo, and two such units of the instance that is live."""
    run = single.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output
    given = RECIPE.replace("shop", "demo").replace("worker.py", "-m http.server --bind 127.0.0.1 0")
    for kind in KINDS:
        single.run("box1", f"cat > /etc/systemd/system/demo-{kind}@.service <<'END'\n{given}END")
    units = " ".join(f"demo-{kind}@{name}" for kind in KINDS for name in ("blue", "green"))
    single.run("box1", f"systemctl daemon-reload; systemctl enable {units}")
    single.run(
        "box1", "systemctl start " + " ".join(f"demo-{kind}@{live(single)}" for kind in KINDS)
    )
    yield single
    single.run("box1", f"systemctl disable --now {units}; rm /etc/systemd/system/demo-*@.service")


def live(single):
    """Return the instance that is live."""
    asked = "systemctl list-units --plain --no-legend --state=active 'demo-*.service'"
    (found,) = re.findall(r"^demo-(blue|green)\.service", single.run("box1", asked), re.M)
    return found


@pytest.mark.parametrize("mode", ["uwsgi_gevent", "gunicorn_gevent"])
def test_each_runs_with_what_is_live(beside, mode):
    run = beside.play("site.yml", "-e", f"server={mode}")
    assert run.code == 0, run.output
    for kind in KINDS:
        unit = f"demo-{kind}@{live(beside)}.service"
        beside.run("box1", f"timeout 120 bash -c {shlex.quote(RUNS.format(unit))}")
        active = beside.run("box1", f"systemctl list-units --plain --no-legend 'demo-{kind}@*'")
        assert [line.split()[0] for line in active.splitlines()] == [unit]
