"""Action: has a host make its key, and signs its certificate here, with an authority that is made on first use."""

from __future__ import annotations

import datetime
import ipaddress
import re
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEARS = 20  # an authority's; a host's certificate ends before
SKEW = datetime.timedelta(days=1)  # a host's clock may be slow, and the controller's fast
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.S)


class ActionModule(ActionBase):
    """See the module's documentation."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Ask the host what is due; where a certificate is, sign and bring it."""
        super().run(tmp, task_vars)
        given = dict(self._task.args)
        authority, before = self._authority(given["secrets"])
        told = {**given, "trusted": "".join(PEM.findall(authority) + PEM.findall(before))}
        asked = self._execute_module(module_args=told, task_vars=task_vars)
        if asked.get("failed") or not asked.get("request"):
            return asked
        # Until everybody believes the new one, it is the authority before whom everybody believes.
        later = bool(before) and not boolean(given.get("exchange", False))
        had = names_in(asked.get("shown", ""), [authority, before])
        if given["names"][0] not in had:  # another host's, which is no secret
            had = set()
        names = [*given["names"], *(set(given.get("keeps", [])) & had - set(given["names"]))]
        signer = before if later else authority
        signed = sign(signer, asked["request"], names, float(given["days"]))
        done = self._execute_module(module_args={**told, "signed": signed}, task_vars=task_vars)
        return {**done, "changed": True, "why": asked["why"], "later": later}

    def _authority(self, path: str) -> list[str]:
        """Return the authority, its key and its certificate, and the one before, if there is one."""
        secrets = lookup_loader.get("secret", loader=self._loader, templar=self._templar)
        names = ["authority", "authority_before"]
        known = secrets.run(names, {}, file=path, default="")
        if not known[0]:
            # Of two hosts' that make one at the same moment, the first stays; a dry run writes none down.
            kept = {"default" if self._task.check_mode else "initial": make()}
            known[:1] = secrets.run(names[:1], {}, file=path, **kept)
        return known


def make() -> str:
    """Return a new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"greenrack {now:%Y-%m-%d %H:%M:%S}")]
    )
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False
    )
    usage |= dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False)
    certificate = (
        _begun(name, name, key.public_key(), now, now + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (secret + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def sign(authority: str, request: str, names: list[str], days: float) -> str:
    """Return a certificate for the key a host asks with, and the names the inventory gives it."""
    pem = authority.encode()
    key, signer = serialization.load_pem_private_key(pem, None), x509.load_pem_x509_certificate(pem)
    asked = x509.load_pem_x509_csr(request.encode())
    if not asked.is_signature_valid:
        raise ValueError("The host does not have the key it asks with.")
    now = datetime.datetime.now(datetime.timezone.utc)
    end = min(now + datetime.timedelta(days=days), signer.not_valid_after_utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    certificate = (
        _begun(subject, signer.subject, asked.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(list(map(_name, names))), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer, critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def names_in(certificate: str, authorities: list[str]) -> set[str]:
    """Return the host names in a certificate; none if it is of no authority, for a host writes there what it likes."""
    for authority in filter(None, authorities):
        try:
            shown = x509.load_pem_x509_certificate(certificate.encode())
            shown.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
            names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            return set(names.get_values_for_type(x509.DNSName))
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
    return set()


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: Any,
    now: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(end)
    )


def _name(name: str) -> x509.GeneralName:
    """Return what a certificate says of a name, or of an address."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
