"""The certificate that a host shows the others expires."""

import time

import pytest

CERTIFICATE = "/etc/greenrack/tls/host.crt"
SECONDS = 20  # that it is valid
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'demo'"


def _certified(lab, *variables):
    """Give the database's host a new certificate, where one is due."""
    chosen = [word for variable in variables for word in ("-e", variable)]
    run = lab.play("site.yml", "-e", "server=uwsgi_gevent", "--tags", "postgresql", *chosen)
    assert run.code == 0, run.output


@pytest.mark.usefixtures("not_restarted")
def test_databases_certificate_expires(deployed, suffered):
    """Connections that are there go on; who needs a new one is told, until the next run."""

    def expires():
        deployed.run("db1", f"rm {CERTIFICATE}")
        _certified(deployed, f"internal_tls_days={SECONDS / 86400}")
        time.sleep(SECONDS)
        deployed.run("db1", f"! openssl x509 -noout -in {CERTIFICATE} -checkend 0")
        deployed.run("db1", f'runuser -u postgres -- psql -XAtc "{END}"')
        status, told = deployed.get("/readyz")
        assert (status, "certificate verify failed" in told) == (503, True), told

    felt = suffered(
        "the certificate of the database's host has expired, new connections",
        "503 in a bound; other routes unaffected; well again with the next `site.yml`, without a restart",
        expires,
        lambda: _certified(deployed),
        lasts=SECONDS + 30,
    )
    felt.unaffected("page", "unrelated")
    assert felt.failed("database"), f"nothing was felt of it\n{felt}"
    assert felt.statuses("database") == {503}, felt
    assert deployed.get("/readyz")[0] == 200
