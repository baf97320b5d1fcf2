"""Hosts that prove who they are: the one that is asked has a certificate, the one that asks knows whom to believe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from testinfra.host import Host

FOLDER = "/etc/greenrack/tls"


@pytest.fixture
def asked(on: Callable[[str], Host]) -> Host:
    """The database's host."""
    return on("db1")


@pytest.fixture
def asks(on: Callable[[str], Host]) -> Host:
    """The application's."""
    return on("app1")


def test_key_is_for_those_that_show_the_certificate(asked: Host) -> None:
    """Nobody else may read it, and nobody at all may change it but root."""
    key = asked.file(f"{FOLDER}/host.key")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)


def test_who_only_asks_has_no_certificate(asks: Host) -> None:
    """It has the authority's, which is public."""
    assert asks.file(FOLDER).listdir() == ["ca.crt"]
    assert asks.file(f"{FOLDER}/ca.crt").mode == 0o644


def test_certificate_is_believed_for_the_host_alone(asked: Host, asks: Host) -> None:
    """By its name and by its address, and for no other."""
    (address,) = asked.interface("host0").addresses
    shown = asked.file(f"{FOLDER}/host.crt").content_string
    for name, believed in {
        "hostname db1": True,
        f"ip {address}": True,
        "hostname app1": False,
    }.items():
        command = f"openssl verify -x509_strict -CAfile {FOLDER}/ca.crt -verify_{name} <<'END'\n{shown}END"
        assert (asks.run(command).rc == 0) == believed, name
