"""What preflight says of a certificate and its key, before nginx or its clients refuse them."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MODULE = greenrack_modules.plugin("roles/preflight/filter_plugins/tls_pair.py")
wrong = MODULE.FilterModule().filters()["tls_pair_wrong"]
NOW = datetime.datetime.now(datetime.timezone.utc)


def made(
    key: ec.EllipticCurvePrivateKey, begin: float, end: float, name: str = "shop", also: Any = ()
) -> bytes:
    """Return a certificate that is valid from so many days from now, until so many; also: its alternative names."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW + datetime.timedelta(days=begin))
        .not_valid_after(NOW + datetime.timedelta(days=end))
    )
    if also:
        builder = builder.add_extension(x509.SubjectAlternativeName(also), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


def secret(key: ec.EllipticCurvePrivateKey, phrase: bytes = b"") -> bytes:
    sealed = (
        serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption()
    )
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, sealed)


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def say(tmp_path: Path):
    """Return what is said of the contents of two files."""

    def say(certificate: bytes, private: bytes, *domains: str) -> str:
        (tmp_path / "crt").write_bytes(certificate)
        (tmp_path / "key").write_bytes(private)
        return wrong(str(tmp_path / "crt"), str(tmp_path / "key"), domains)

    return say


def test_a_pair_that_is_valid(say, key) -> None:
    assert say(made(key, -1, 1), secret(key)) == ""
    old_format = serialization.PrivateFormat.TraditionalOpenSSL
    private = key.private_bytes(
        serialization.Encoding.PEM, old_format, serialization.NoEncryption()
    )
    assert say(made(key, -1, 1), private) == ""


def test_one_that_has_expired(say, key) -> None:
    said = say(made(key, -3, -2), secret(key))
    ended = NOW - datetime.timedelta(days=2)
    assert f"'CN=shop' was valid until {ended:%Y-%m-%d %H:%M} UTC" in said
    assert "type: -e tls=acme" in said


def test_one_whose_chain_has_expired(say, key) -> None:
    said = say(made(key, -1, 1) + made(key, -3, -2, "middle"), secret(key))
    assert "'CN=middle' was valid until" in said


def test_one_that_is_not_valid_yet(say, key) -> None:
    begin = NOW + datetime.timedelta(days=2)
    said = say(made(key, 2, 3), secret(key))
    assert f"is valid from {begin:%Y-%m-%d %H:%M} UTC on" in said
    assert "timedatectl" in said


def test_a_key_that_is_anothers(say, key) -> None:
    said = say(made(key, -1, 1), secret(ec.generate_private_key(ec.SECP256R1())))
    assert "is not the key of the first certificate" in said
    assert "openssl pkey -pubout" in said


def test_what_is_no_pair(say, key) -> None:
    assert "cannot be read as PEM certificates" in say(b"nonsense", secret(key))
    assert "cannot be read as PEM certificates" in say(secret(key), secret(key))
    assert "cannot be read as a PEM key" in say(made(key, -1, 1), b"nonsense")
    assert "without a pass phrase" in say(made(key, -1, 1), secret(key, b"phrase"))
    assert "cannot be read" in wrong("/nowhere.crt", "/nowhere.key")


NAMED = [x509.DNSName("shop.test"), x509.DNSName("*.cdn.test")]
NAMED += [x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]


@pytest.mark.parametrize(
    "domain",
    ["shop.test", "Shop.Test", "a.cdn.test", "*.cdn.test", "192.0.2.1", "_", "~^w+", ".b.test"],
)
def test_a_name_it_is_for_and_what_is_no_name(say, key, domain: str) -> None:
    assert say(made(key, -1, 1, also=NAMED), secret(key), domain) == ""


@pytest.mark.parametrize("domain", ["www.shop.test", "cdn.test", "a.b.cdn.test", "*.shop.test"])
def test_a_name_it_is_not_for(say, key, domain: str) -> None:
    said = say(made(key, -1, 1, also=NAMED), secret(key), "shop.test", domain)
    assert f" is not for {domain}, which app_domains names" in said
    assert "openssl x509 -noout -ext subjectAltName" in said


def test_a_common_name_alone_is_for_nobody(say, key) -> None:
    assert "is not for shop.test" in say(made(key, -1, 1, "shop.test"), secret(key), "shop.test")
