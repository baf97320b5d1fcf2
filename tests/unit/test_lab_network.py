"""A lab's network, made in a network namespace of its own: this machine's is not touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest

lab = greenrack_modules.load("greenrack_lab")
network = greenrack_modules.load("lab_network")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "image" / "etc" / "apt" / "sources.list.d").mkdir(parents=True)
    return tmp_path / "image"


# Addresses stand for names, for nobody need be asked what an address' address is.
SOURCES = {
    "one line": (
        "deb http://127.0.0.1/debian bookworm main\n"
        "deb-src [arch=amd64 signed-by=/key.gpg] https://127.0.0.2:8443/debian bookworm main\n",
        {"127.0.0.1", "127.0.0.2"},
    ),
    "commented": (
        "\n# deb http://127.0.0.3/debian old main\n  #deb http://127.0.0.4/ x\n\n"
        "deb http://127.0.0.1/debian bookworm main # before: http://127.0.0.5/debian\n",
        {"127.0.0.1"},
    ),
    "deb822": (
        "Types: deb\nURIs: http://127.0.0.1/debian\nSuites: bookworm\nComponents: main\n\n"
        "# URIs: http://127.0.0.3/debian\nTypes: deb\n# https://127.0.0.4/\n"
        "URIs: https://127.0.0.2/security\n",
        {"127.0.0.1", "127.0.0.2"},
    ),
    "deb822 with several": (
        "Types: deb\nURIs: http://127.0.0.1/debian http://127.0.0.2/debian\n"
        "  https://127.0.0.6/debian\n# http://127.0.0.3/debian http://127.0.0.4/debian\n",
        {"127.0.0.1", "127.0.0.2", "127.0.0.6"},
    ),
    "no mirror": ("deb file:///srv/mirror bookworm main\n", set()),
}


@pytest.mark.parametrize("file", ["sources.list", "sources.list.d/debian.sources"])
@pytest.mark.parametrize("kind", SOURCES)
def test_the_mirrors_of_an_image(image: Path, kind: str, file: str) -> None:
    text, names = SOURCES[kind]
    (image / "etc" / "apt" / file).write_text(text)
    assert network.mirrors_of(image) == {name: [name] for name in names}


def test_all_sources_of_an_image_count(image: Path) -> None:
    for number, file in enumerate(
        ["sources.list", "sources.list.d/a.list", "sources.list.d/b.list"]
    ):
        line = f"deb http://127.0.0.{number + 1}/debian bookworm main\n"
        (image / "etc" / "apt" / file).write_text(line)
    assert network.mirrors_of(image).keys() == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}


def test_a_mirror_nobody_knows_is_refused(image: Path) -> None:
    line = "deb http://mirror.invalid/debian bookworm main\n"
    (image / "etc" / "apt" / "sources.list").write_text(line)
    with pytest.raises(lab.LabError, match=r"cannot resolve mirror\.invalid.*set lab_mirror"):
        network.mirrors_of(image)


# Run in a network namespace with one uplink: this machine's own network is not looked at.
ISOLATED = """\
import json, sys
import greenrack_modules
network = greenrack_modules.load("lab_network")
for given in json.load(sys.stdin):
    print(json.dumps(greenrack_modules.run(network, **given)))
    for name in ("gr-own", "up0"):
        path = network.Network._forwarding(name)
        print(path.read_text().strip() if path.exists() else "gone")
    print(json.dumps(network.run("nft", "list", "ruleset")))
"""
UPLINK = """\
set -e
ip link add up0 type bridge
ip address add 192.0.2.7/24 dev up0
ip link set up0 up
ip route add default via 192.0.2.1 dev up0
exec "$@"
"""


def isolated(*calls: dict[str, Any]) -> list[tuple[dict[str, Any], str, str, str]]:
    """Run lab_network with each of the arguments, in a network of our own.

    Return, for each, its result, the forwarding of the bridge and of the uplink, and nft's rules.
    """
    missing = [name for name in ("unshare", "nft", "ip") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"only root can make a network of its own, with unshare, nft and ip: {missing}")
    command = ["unshare", "--net", "sh", "-c", UPLINK, "sh", sys.executable, "-c", ISOLATED]
    done = subprocess.run(
        command,
        input=json.dumps(calls),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    if "unshare: unshare failed" in done.stderr or "Unknown device type" in done.stderr:
        pytest.skip(f"no network of our own can be made here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    lines = iter(done.stdout.splitlines())
    return [
        (json.loads(result), bridge, uplink, json.loads(rules))
        for result, bridge, uplink, rules in zip(lines, lines, lines, lines)
    ]


@pytest.fixture
def given(image: Path, tmp_path: Path) -> dict[str, Any]:
    (image / "etc" / "apt" / "sources.list").write_text("deb http://127.0.0.1/ x main\n")
    return {
        "lab": "own",
        "bridge": "gr-own",
        "gateway": "10.77.7.1",
        "directory": str(tmp_path / "lab"),
        "image": str(image),
    }


def test_a_network_comes_and_goes(given: dict[str, Any]) -> None:
    absent = {**given, "state": "absent"}
    dry, made, again, gone, gone_again = isolated(
        {**given, "check": True}, given, given, absent, absent
    )
    assert {"changed": True, "mirrors": {}}.items() <= dry[0].items()
    assert dry[1:] == ("gone", "0", "")

    mirrors = {"127.0.0.1": "127.0.0.1"}
    assert {"changed": True, "mirrors": mirrors}.items() <= made[0].items()
    assert made[1:3] == ("1", "1")
    assert "table ip greenrack_own" in made[3]
    assert "elements = { 127.0.0.1 }" in made[3]
    assert 'ip saddr 10.77.7.0/24 oifname != "gr-own" masquerade' in made[3]

    assert {"changed": False, "mirrors": mirrors}.items() <= again[0].items()
    assert again[1:] == made[1:]

    assert gone[0]["changed"] is True
    assert gone[1:] == ("gone", "0", "")
    assert gone_again[0]["changed"] is False


def test_the_last_of_two_networks_ends_the_forwarding(given: dict[str, Any]) -> None:
    other = {**given, "lab": "other", "bridge": "gr-other", "gateway": "10.78.8.1"}
    *_, one_left, none_left = isolated(
        given, other, {**given, "state": "absent"}, {**other, "state": "absent"}
    )
    assert one_left[1:3] == ("gone", "1")
    assert "table ip greenrack_other" in one_left[3]
    assert "greenrack_own" not in one_left[3]
    assert none_left[1:] == ("gone", "0", "")


def test_a_network_without_a_mirror_is_one_nevertheless(given: dict[str, Any]) -> None:
    Path(given["image"], "etc/apt/sources.list").write_text("deb file:///srv/mirror x main\n")
    ((made, *_, rules),) = isolated(given)
    assert made["changed"], made
    assert "set mirror" in rules


@pytest.mark.parametrize("gateway", ["192.0.2.1", "192.0.2.200"])
def test_a_subnet_that_is_taken_is_refused(given: dict[str, Any], gateway: str) -> None:
    ((refused, bridge, uplink, rules),) = isolated({**given, "gateway": gateway})
    assert refused["failed"]
    assert "192.0.2.0/24 overlaps 192.0.2.0/24 on up0" in refused["msg"]
    assert "-e lab_prefix=10.77.7" in refused["msg"]
    assert (bridge, uplink, rules) == ("gone", "0", "")


def test_a_subnet_inside_a_route_of_this_machine_is_refused() -> None:
    if not shutil.which("ip"):
        pytest.skip("no ip here: apt install iproute2")
    routes = json.loads(lab.run("ip", "-json", "-4", "route"))
    taken = [route["dst"].split("/")[0] for route in routes if route["dst"] != "default"]
    if not taken:
        pytest.skip("this machine has no route but the default one")
    given = {"lab": "nobody", "bridge": "gr-nobody", "image": "/", "directory": "/nowhere"}
    with pytest.raises(lab.LabError, match=r"Choose another one: -e lab_prefix=10\.77\.7"):
        network.Network({**given, "gateway": taken[0]}).refuse_overlap()


@pytest.mark.parametrize("addresses", ["192.0.2.80", "192.0.2.80, 192.0.2.81"])
def test_nft_accepts_the_rules(addresses: str) -> None:
    if os.geteuid() != 0 or not shutil.which("nft"):
        pytest.skip("only root can ask nft whether rules are right")
    rules = network.RULES.format(
        table="greenrack_none",
        subnet="10.77.7.0/24",
        bridge="gr-none",
        elements=f"elements = {{ {addresses} }} ;",
    )
    assert lab.run("nft", "-c", "-f", "-", stdin=rules) == ""
    with pytest.raises(lab.LabError, match="unknown chain hook"):
        lab.run("nft", "-c", "-f", "-", stdin=rules.replace("hook forward", "hook forwards"))
