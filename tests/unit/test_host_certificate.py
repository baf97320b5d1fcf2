"""When a host's certificate is due, and when it is not."""

import grp
import locale
import os
import shutil
import subprocess

import greenrack_modules
import pytest

module = greenrack_modules.load("host_certificate")
GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host that has got its certificate, as the module and its action plugin give it one."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here: apt install openssl")
    if os.geteuid() != 0:
        pytest.skip("only root can give files to root")
    monkeypatch.setattr(module, "GROUP", GROUP)
    folder = tmp_path / "tls"
    folder.mkdir()

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], capture_output=True, check=True)

    ca = ["-keyout", tmp_path / "ca.key", "-out", tmp_path / "ca.crt", "-days", "4000"]
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca", *ca)
    trusted = (tmp_path / "ca.crt").read_text()
    given = {"secrets": "/nonexistent", "names": ["192.0.2.1"], "days": 90}
    given |= {"folder": str(folder), "trusted": trusted}

    def sign(*dates):
        told = greenrack_modules.run(module, **given)
        if told["request"]:
            (tmp_path / "csr").write_text(told["request"])
            (tmp_path / "ext").write_text("subjectAltName=IP:192.0.2.1\n")
            (tmp_path / "index").write_text("")
            (tmp_path / "conf").write_text(
                f"[ca]\ndefault_ca=a\n[a]\ndatabase={tmp_path}/index\nnew_certs_dir={tmp_path}\n"
                "default_md=sha256\nrand_serial=yes\npolicy=p\n[p]\ncommonName=optional\n"
            )
            files = [
                "-in",
                tmp_path / "csr",
                "-out",
                tmp_path / "crt",
                "-extfile",
                tmp_path / "ext",
            ]
            signer = ["-cert", tmp_path / "ca.crt", "-keyfile", tmp_path / "ca.key", "-notext"]
            options = ["-config", tmp_path / "conf", "-batch", "-subj", "/CN=host"]
            openssl("ca", *options, *signer, *files, "-startdate", dates[0], "-enddate", dates[1])
            greenrack_modules.run(module, **given, signed=(tmp_path / "crt").read_text())
        return told

    sign("20251225000000Z", "20991225000000Z")
    return sign, folder


def test_what_is_whole_is_not_due(host):
    sign, _ = host
    assert sign()["why"] == ""
    assert sign()["changed"] is False


def test_dates_are_read_in_every_locale(host, tmp_path, monkeypatch):
    sign, _ = host
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "de_DE.UTF-8")],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("a German locale cannot be made here: apt install locales")
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    before = locale.setlocale(locale.LC_ALL)
    try:
        assert locale.setlocale(locale.LC_ALL, "") == "de_DE.UTF-8"
        assert sign()["why"] == ""
    finally:
        monkeypatch.undo()
        locale.setlocale(locale.LC_ALL, before)


def test_a_key_that_was_not_written_whole_is_made_anew(host):
    sign, folder = host
    (folder / "host.key").write_text("")
    assert sign("20251225000000Z", "20991225000000Z")["why"] == "the host has no key"
    assert sign()["why"] == ""
