"""TLS at nginx: a certificate it makes itself, one that is brought, and one an ACME authority gives."""

import datetime
import json
import socket
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.stack.lab import switch

NAME = "shop.test"
DOMAINS = json.dumps({"app_domains": [NAME]})


def answer(lab, path="/healthz", port=443, **context):
    """Return (status, headers) of a request by TLS under the site's name, redirects not followed."""
    trusted = ssl.create_default_context(**context)
    head = b""
    plain = socket.create_connection((lab.address("proxy1"), port), 10)
    with plain, trusted.wrap_socket(plain, server_hostname=NAME) as link:
        asked = f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
        link.sendall(asked.encode())
        while got := link.recv(4096):
            head += got
    lines = head.decode().split("\r\n\r\n")[0].split("\r\n")
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:])


def serial(lab):
    """Return the serial number of the certificate the site shows."""
    shown = ssl.get_server_certificate((lab.address("proxy1"), 443), timeout=10)
    return subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=shown, text=True, capture_output=True
    ).stdout


@pytest.fixture(scope="module")
def without_tls(deployed):
    """The lab, which has no TLS again when this file's tests have ended."""
    yield deployed
    switch(deployed, "server=uwsgi_gevent", tags="all")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Certificate authority of the test's own; returns its folder, with ca.pem and a site's pair."""
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.pem")
    for name in (NAME, "acme.test"):
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "request")
        (folder / "names").write_text(f"subjectAltName=DNS:{name}")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
        openssl("x509", "-req", "-in", "request", *signed, "-out", f"{name}.pem")
    return folder


def test_site_makes_its_own(without_tls):
    lab = without_tls
    switch(lab, "tls=selfsigned", DOMAINS, tags="nginx")
    with pytest.raises(ssl.SSLCertVerificationError):
        answer(lab)
    shown = ssl.get_server_certificate((lab.address("proxy1"), 443), timeout=10)
    status, headers = answer(lab, cadata=shown)
    assert status == 200
    assert "strict-transport-security" not in headers
    again = lab.play("site.yml", "-e", "tls=selfsigned", "-e", DOMAINS)
    assert sum(again.changed.values()) == 0, again.output


def test_who_comes_without_is_sent_there(without_tls):
    link = socket.create_connection((without_tls.address("proxy1"), 80), 10)
    with link:
        link.sendall(f"GET /a?b=c HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        said = link.recv(4096).decode()
    assert said.startswith("HTTP/1.1 308 ")
    assert f"\r\nLocation: https://{NAME}/a?b=c\r\n" in said


# Versions and ciphers of a client, and whether it is spoken to: those without forward secrecy, or with CBC, are not.
SPOKEN = [
    ("-tls1_1", "ALL", False),
    ("-tls1_2", "ALL", True),
    ("-tls1_3", "ALL", True),
    ("-tls1_2", "ECDHE+AESGCM", True),
    ("-tls1_2", "ECDHE+CHACHA20", True),
    ("-tls1_2", "ALL:!ECDHE", False),
    ("-tls1_2", "ALL:!AESGCM:!CHACHA20", False),
]


@pytest.mark.parametrize(("version", "ciphers", "spoken"), SPOKEN)
def test_old_versions_and_weak_ciphers_are_refused(without_tls, version, ciphers, spoken):
    address = f"{without_tls.address('proxy1')}:443"
    command = ["openssl", "s_client", "-connect", address, version]
    asked = [*command, "-cipher", f"{ciphers}:@SECLEVEL=0"]
    done = subprocess.run(asked, input="", text=True, capture_output=True)
    assert ("BEGIN CERTIFICATE" in done.stdout) == spoken, done


def test_benchmark_and_probe_go_by_tls(without_tls, tmp_path):
    lab = without_tls
    load = {"name": "few", "engine": "h2load", "requests": 100, "concurrency": 10, "delay": 0.1}
    given = {
        "benchmark_workloads": [{**load, "path": "/?delay=0.1"}],
        "benchmark_results": str(tmp_path),
    }
    run = lab.play(
        "playbooks/measure.yml", *("-e", "tls=selfsigned", "-e", DOMAINS, "-e", json.dumps(given))
    )
    assert run.code == 0, run.output
    (stored,) = tmp_path.rglob("*.few.*.json")
    counts = json.loads(stored.read_text())["counts"]
    assert (counts["requests"], counts["failed"]) == (100, 0)
    run = lab.play("site.yml", "-e", "tls=selfsigned", "-e", DOMAINS, "-e", "server=uwsgi_sync")
    assert run.code == 0, run.output
    assert " 0 failed" in run.output, run.output


def test_certificate_is_brought(without_tls, authority):
    lab = without_tls
    pair = [
        f"nginx_tls_certificate={authority}/{NAME}.pem",
        f"nginx_tls_key={authority}/{NAME}.key",
    ]
    switch(lab, "tls=files", *pair, DOMAINS, tags="nginx")
    status, headers = answer(lab, cafile=authority / "ca.pem")
    assert status == 200
    assert headers["strict-transport-security"] == "max-age=31536000"
    key = lab.host("proxy1").file("/etc/nginx/tls/demo.key")
    assert (key.user, key.mode) == ("root", 0o600)


def test_certificate_that_is_no_file_is_refused(without_tls):
    run = without_tls.play("site.yml", "-e", "tls=files", "-e", "nginx_tls_key=/nowhere")
    assert run.code != 0
    assert "nginx_tls_key '/nowhere'" in run.output, run.output
    assert sum(run.changed.values()) == 0, run.output


def end(certificate, key, path):
    """Write a certificate's like that ended long ago."""
    was = x509.load_pem_x509_certificate(certificate.read_bytes())
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    past = [datetime.datetime(2020, month, 1, tzinfo=datetime.timezone.utc) for month in (1, 2)]
    ended = (
        x509.CertificateBuilder(was.issuer, was.subject, was.public_key(), 1, *past)
        .sign(private, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    path.write_bytes(ended)


def test_pair_that_clients_would_not_take_is_refused(without_tls, authority):
    """One that has expired, one for another site, and a key that is another certificate's; a way back does not ask."""
    lab = without_tls
    end(authority / "acme.test.pem", authority / "acme.test.key", authority / "ended.pem")
    cases = {
        ("ended", "acme.test"): "was valid until 2020-",
        ("acme.test", "acme.test"): f"is not for {NAME}, which app_domains names",
        (NAME, "acme.test"): "is not the key of",
    }
    for (certificate, key), said in cases.items():
        pair = [f"nginx_tls_certificate={authority}/{certificate}.pem"]
        pair += [f"nginx_tls_key={authority}/{key}.key", "tls=files", DOMAINS]
        chosen = [word for one in pair for word in ("-e", one)]
        run = lab.play("site.yml", *chosen)
        assert run.code != 0, run.output
        assert said in " ".join(run.output.split()), run.output
        assert sum(run.changed.values()) == 0, run.output
    run = lab.play("playbooks/release.yml", "--check", *chosen)
    assert run.code == 0, run.output


def put(lab, name, path, text):
    """Write a file on a host."""
    lab.run(name, f"mkdir -p $(dirname {path}) && cat > {path} <<'END'\n{text}\nEND")


def test_site_stays_until_there_is_a_certificate(without_tls, authority):
    """Of a site without TLS: who comes is served, and not sent to a certificate that nobody believes."""
    lab = without_tls
    switch(lab, DOMAINS, tags="nginx")
    nobody = ["tls=acme", DOMAINS, "nginx_acme_server=https://127.0.0.1:14000/dir"]
    run = lab.play("site.yml", *(word for option in nobody for word in ("-e", option)))
    assert run.code != 0, run.output
    assert "certbot" in run.output, run.output
    assert "127.0.0.1" in run.output, run.output
    assert lab.get("/healthz")[0] == 200
    # By TLS too, by what it had last.
    assert answer(lab, cafile=authority / "ca.pem")[0] == 200


def pebble(port):
    """Return the configuration of an authority at a port."""
    told = {
        "listenAddress": f"0.0.0.0:{port}",
        "managementListenAddress": f"127.0.0.1:{port + 1000}",
        "certificate": "/etc/pebble/acme.test.pem",
        "privateKey": "/etc/pebble/acme.test.key",
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    return json.dumps({"pebble": told})


PORTS = (14000, 14001)


def issued_by(port):
    """Return the switches of a site whose certificate is to be of the authority at a port."""
    opened = json.dumps({"firewall_open": [{"port": port} for port in PORTS]})
    return ["tls=acme", DOMAINS, f"nginx_acme_server=https://acme.test:{port}/dir", opened]


@pytest.fixture(scope="module")
def authorities(without_tls, authority):
    """Two that really ask the site, Let's Encrypt's own for tests, of which the lab's hosts know."""
    lab = without_tls
    lab.run("load1", "apt-get install --quiet=2 --yes --no-install-recommends pebble")
    for kind in ("pem", "key"):
        text = (authority / f"acme.test.{kind}").read_text()
        put(lab, "load1", f"/etc/pebble/acme.test.{kind}", text)
    lab.run("load1", f"echo {lab.address('proxy1')} {NAME} >> /etc/hosts")
    lab.run("proxy1", f"echo {lab.address('load1')} acme.test >> /etc/hosts")
    ours = (authority / "ca.pem").read_text()
    put(lab, "proxy1", "/usr/local/share/ca-certificates/test.crt", ours)
    lab.run("proxy1", "update-ca-certificates")
    # By default it refuses one request in twenty as a trial, over which Debian 12's certbot trips.
    trials = "--setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0"
    try:
        for port in PORTS:
            path = f"/etc/pebble/{port}.json"
            put(lab, "load1", path, pebble(port))
            lab.run("load1", f"systemd-run --unit=pebble{port} {trials} pebble -config {path}")
        yield lab
    finally:
        lab.run("load1", "systemctl stop 'pebble*.service'")


def issuer(lab):
    """Return who has signed the certificate the site shows."""
    shown = ssl.get_server_certificate((lab.address("proxy1"), 443), timeout=10)
    return x509.load_pem_x509_certificate(shown.encode()).issuer.rfc4514_string()


def test_certificate_is_got_and_renewed(authorities):
    """By Debian's certbot."""
    lab = authorities
    switch(lab, *issued_by(PORTS[0]), tags="all")
    assert "Pebble" in issuer(lab)
    again = lab.play("site.yml", *(w for o in issued_by(PORTS[0]) for w in ("-e", o)))
    assert (again.code, sum(again.changed.values())) == (0, 0), again.output
    assert lab.host("proxy1").service("certbot.timer").is_enabled
    before = serial(lab)
    lab.run("proxy1", "certbot renew --force-renewal --no-random-sleep-on-renew")
    end = time.monotonic() + 20
    while serial(lab) == before:
        assert time.monotonic() < end, "nginx still shows the certificate before"
        time.sleep(0.2)


def test_another_authority_gives_another_certificate(authorities):
    """Even where what there is has not expired, and where it was the site's once."""
    lab = authorities
    was = issuer(lab)
    switch(lab, *issued_by(PORTS[1]), tags="nginx")
    other = issuer(lab)
    assert (was != other, "Pebble" in other) == (True, True), other
    again = lab.play("site.yml", *(w for o in issued_by(PORTS[1]) for w in ("-e", o)))
    assert (again.code, sum(again.changed.values())) == (0, 0), again.output
    switch(lab, *issued_by(PORTS[0]), tags="nginx")
    assert issuer(lab) == was
