"""Jinja filter: what keeps nginx, or its clients, from using a certificate and its key."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization


def told(moment):
    """Return a moment as people read it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def outside(chain, certificate, now):
    """Return what to say of the first certificate of a chain that is not valid now, or nothing."""
    for one in chain:
        name = f"The certificate in {certificate} of '{one.subject.rfc4514_string()}'"
        if one.not_valid_after_utc < now:
            return (
                f"{name} was valid until {told(one.not_valid_after_utc)}, and no client takes it any more. "
                "Valid is a new one, from where you have this one; or type: -e tls=acme"
            )
        if one.not_valid_before_utc > now:
            return (
                f"{name} is valid from {told(one.not_valid_before_utc)} on, and here it is {told(now)}. "
                "Wait until then; or, where the clock is wrong, type: sudo timedatectl set-ntp true"
            )
    return ""


def tls_pair_wrong(certificate, key, now=None):
    """Return a sentence about a PEM certificate's file and that of its key, empty if nginx and clients take them."""
    try:
        chain = x509.load_pem_x509_certificates(Path(certificate).read_bytes())
    except (OSError, ValueError) as error:
        return (
            f"nginx_tls_certificate {certificate} cannot be read as PEM certificates ({error}). "
            f"To see what it is, type: openssl x509 -noout -text -in {certificate}"
        )
    try:
        private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:  # TypeError: nginx has no pass phrase either
        return (
            f"nginx_tls_key {key} cannot be read as a PEM key without a pass phrase ({error}). "
            f"To take a pass phrase off, type: openssl pkey -in {key} -out WITHOUT.key"
        )
    if private.public_key() != chain[0].public_key():
        return (
            f"nginx_tls_key {key} is not the key of the first certificate in {certificate}. Valid is the one it was "
            "asked for with. To compare, type: "
            f"openssl pkey -pubout -in {key}; openssl x509 -noout -pubkey -in {certificate}"
        )
    return outside(chain, certificate, now or datetime.datetime.now(datetime.timezone.utc))


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"tls_pair_wrong": tls_pair_wrong}
