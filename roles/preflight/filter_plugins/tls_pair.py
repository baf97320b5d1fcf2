"""Jinja filter: what keeps nginx, or its clients, from using a certificate and its key."""

from __future__ import annotations

import datetime
import re
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


def not_named(certificate, domains):
    """Return those of a site's names that a certificate is not for: clients ask for its alternative names alone."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = []
    said = {str(name.value).lower() for name in names}
    asked = [name for name in map(str.lower, domains) if not re.search(r"^[_~.]|[.][*]$", name)]
    return [name for name in asked if not {name, f"*.{name.partition('.')[2]}"} & said]


def tls_pair_wrong(certificate, key, domains=(), now=None):
    """Return a sentence about a PEM certificate's file and that of its key, empty if nginx and clients take them.

    domains: the site's names as nginx takes them; patterns among them are not compared.
    """
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
    past = outside(chain, certificate, now or datetime.datetime.now(datetime.timezone.utc))
    strange = not_named(chain[0], domains)
    if past or not strange:
        return past
    return (
        f"The certificate in {certificate} is not for {', '.join(strange)}, which app_domains names, and clients "
        "refuse it there. Valid is one with every name of app_domains among its alternative names. To see those, "
        f"type: openssl x509 -noout -ext subjectAltName -in {certificate}. Where clients meet another "
        "certificate, which comes before nginx, type: -e preflight_certificate_names=false"
    )


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        """Return the filters by name."""
        return {"tls_pair_wrong": tls_pair_wrong}
