"""A database driver that blocks the event loop: found when nobody said so, and stated when somebody did."""

import pytest

from tests.stack.lab import KNOWING_THE_MODE, ROOT, switch

PLAIN = (ROOT / "app/demo/wsgi.py").read_text()


def test_gate_finds_a_driver_that_blocks(deployed, app_copy):
    (app_copy / "wsgi_gevent.py").write_text(
        "from gevent import monkey\nmonkey.patch_all()\n" + PLAIN
    )
    chosen = ["-e", "server=gunicorn_gevent", "-e", f"app_source={app_copy}"]
    before = deployed.instance()
    run = deployed.play("site.yml", "--tags", KNOWING_THE_MODE, *chosen)
    assert run.code != 0, run.output
    assert "psycopg2 blocks the event loop" in run.output, run.output
    assert "psycogreen.gevent.patch_psycopg()" in run.output, run.output
    assert deployed.instance() == before
    assert deployed.get("/readyz")[0] == 200


@pytest.fixture
def blocking(deployed):
    """The five hosts with a driver that blocks on purpose; the next test finds them as they were."""
    switch(deployed, "server=uwsgi_gevent", "psycogreen=false")
    yield deployed
    switch(deployed, "server=uwsgi_gevent")


def test_driver_that_blocks_on_purpose_is_stated(blocking):
    stated = blocking.play("playbooks/verify.yml", "-e", "psycogreen=false")
    assert stated.code == 0, stated.output
    assert "the database driver blocks, as psycogreen=false asks for" in stated.output, (
        stated.output
    )
    # Whoever ships code alone need not know of it.
    release = blocking.play("playbooks/release.yml")
    assert (release.code, sum(release.changed.values())) == (0, 0), release.output
    # Else what it measures and puts back would be another than what was there.
    undeclared = blocking.play("playbooks/benchmark.yml")
    assert undeclared.code != 0, undeclared.output
    said = " ".join(undeclared.output.split())
    assert "Type what it was deployed with: -e psycogreen=false" in said, undeclared.output
