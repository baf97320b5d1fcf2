"""What the controller signs: for whom, and while an authority is exchanged, by which."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader, init_plugin_loader
from ansible.template import Templar
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ["app1", "192.0.2.1"]
APP = "app.greenrack"

module = greenrack_modules.load("host_certificate")
init_plugin_loader()
signing = greenrack_modules.plugin("roles/internal_tls/action_plugins/host_certificate.py")


class Here(signing.ActionModule):
    """The action, with the module run in this process and not by SSH."""

    def _execute_module(self, module_args: dict[str, Any], **_: Any) -> dict[str, Any]:
        return greenrack_modules.run(module, **module_args)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("no openssl here: apt install openssl")
    if os.geteuid() != 0:
        pytest.skip("only root can give files to root")
    monkeypatch.setattr(module, "GROUP", "root")
    (tmp_path / "tls").mkdir()
    return tmp_path / "tls"


@pytest.fixture
def asks(folder: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Ask for a certificate as the role does; authorities: the new one, and maybe the one before."""

    def ask(authorities: list[str], names: list[str], **more: Any) -> dict[str, Any]:
        secrets = tmp_path / "secrets.yml"
        known = dict(zip(["authority", "authority_before"], authorities, strict=False))
        secrets.write_text(yaml.safe_dump(known))
        secrets.chmod(0o600)
        task = Task()
        task.args = {"secrets": str(secrets), "names": names, "days": 90, "folder": str(folder)}
        task.args |= more
        loader = DataLoader()
        connection = connection_loader.get("local", PlayContext())
        return Here(task, connection, None, loader, Templar(loader), None).run(task_vars={})

    return ask


def shown(folder: Path) -> tuple[x509.Certificate, set[str]]:
    """Return the host's certificate, and the names in it."""
    certificate = x509.load_pem_x509_certificate((folder / "host.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    return certificate, {*names.get_values_for_type(x509.DNSName), *map(str, addresses)}


def is_of(folder: Path, authority: str) -> bool:
    signer = x509.load_pem_x509_certificate(authority.encode())
    return shown(folder)[0].issuer == signer.subject


@pytest.mark.parametrize("lost", ["host.crt", "host.key", ""])
def test_what_is_due_during_an_exchange_is_of_the_authority_before(
    asks: Callable[..., dict[str, Any]], folder: Path, lost: str
) -> None:
    """Hosts that have not yet read whom to believe believe that one."""
    before, new = signing.make(), signing.make()
    asks([before], NAMES)
    if lost:
        (folder / lost).unlink()
    told = asks([new, before], NAMES)
    assert told["later"] is True
    assert is_of(folder, before)
    assert asks([new, before], NAMES)["changed"] is False
    assert asks([new, before], NAMES, exchange=True)["later"] is False
    assert is_of(folder, new)


def test_an_inventory_without_the_application_leaves_its_name(
    asks: Callable[..., dict[str, Any]], folder: Path
) -> None:
    authority = signing.make()
    asks([authority], [*NAMES, APP])
    assert asks([authority], NAMES, keeps=[APP])["changed"] is False
    (folder / "host.key").unlink()
    assert asks([authority], NAMES, keeps=[APP])["changed"] is True
    assert shown(folder)[1] == {*NAMES, APP}
    assert asks([authority], ["app1", "192.0.2.2"], keeps=[APP])["why"]
    assert shown(folder)[1] == {"app1", "192.0.2.2", APP}  # the address it had is gone


def test_another_hosts_certificate_is_worth_nothing(
    asks: Callable[..., dict[str, Any]], folder: Path
) -> None:
    authority = signing.make()
    asks([authority], ["app2", "192.0.2.2", APP])
    assert asks([authority], NAMES, keeps=[APP])["changed"] is True
    assert shown(folder)[1] == set(NAMES)


def test_a_name_that_a_host_gave_itself_is_not_signed(
    asks: Callable[..., dict[str, Any]], folder: Path
) -> None:
    authority = signing.make()
    asks([authority], NAMES)
    key = serialization.load_pem_private_key((folder / "host.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = request.sign(key, signing.hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    own = signing.sign(signing.make(), pem.decode(), [*NAMES, APP], 90)
    (folder / "host.crt").write_text(own)
    asks([authority], NAMES, keeps=[APP])
    assert is_of(folder, authority)
    assert shown(folder)[1] == set(NAMES)
