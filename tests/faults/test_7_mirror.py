"""The Debian mirror goes away: a first deploy ends with words, and one that installs nothing feels nothing."""

import json
import subprocess
import time
from contextlib import contextmanager

from tests.faults.felt import suffering
from tests.stack.conftest import single  # noqa: F401
from tests.stack.lab import SUDO

AGED = "find /var/lib/apt/periodic /var/lib/apt/lists -exec touch --no-dereference --date='2 days ago' {} +"


def _nft(*words):
    done = subprocess.run([*SUDO, "nft", "--json", *words], capture_output=True, check=True)
    return json.loads(done.stdout or "{}")


@contextmanager
def no_mirror(lab):
    """Let the lab's hosts no longer reach the mirror: they are told that it cannot be reached."""
    mirror = ["ip", f"greenrack_{lab.name}", "mirror"]
    listed = _nft("list", "set", *mirror)["nftables"]
    addresses = next(one["set"]["elem"] for one in listed if "set" in one)
    _nft("flush", "set", *mirror)
    try:
        yield
    finally:
        _nft("add", "element", *mirror, "{", ", ".join(addresses), "}")


def test_mirror_goes_away_during_a_first_deploy(single, tmp_path, told):  # noqa: F811
    output = tmp_path / "output"
    with output.open("w") as file:
        run = single.begin("site.yml", stdout=file)
        while "TASK [postgresql : " not in output.read_text():
            assert run.poll() is None, output.read_text()
            time.sleep(0.1)
        with no_mirror(single):
            began = time.monotonic()
            assert run.wait() != 0
            took = time.monotonic() - began
    said = " ".join(output.read_text().split())
    words = ["box1 could not install", "sources.list", "sudo apt-get update", "same command again"]
    assert [word for word in words if word not in said] == [], said
    told(
        "the Debian mirror gone in the middle of a first deploy",
        "it ends with words, and the next one goes on",
        f"the run ended after {took:.0f} s",
    )
    again = single.play("site.yml")
    assert again.code == 0, again.output
    assert single.comes_back() is None


def test_mirror_is_gone_and_nothing_is_to_be_installed(single, told):  # noqa: F811
    """Long after the deploy, so that what the host knows of the mirror is old."""
    single.run("box1", AGED)

    def deploys():
        with no_mirror(single):
            assert single.host("box1").run("apt-get update --error-on=any").rc != 0
            run = single.play("site.yml")
            assert run.code == 0, run.output
            assert sum(run.changed.values()) == 0, run.output
            check = single.play("site.yml", "--check")
            assert check.code == 0, check.output

    what = "the Debian mirror gone, nothing to install"
    felt = suffering(single, told)(what, "no effect, on a deploy neither", deploys)
    assert [felt.failed(route) for route in felt.clients] == [[], [], []], felt
