"""TLS between the application's host and the database's: always spoken, checked, renewed, and begun without loss."""

import re
import time

import pytest
import yaml

from bench.clients import Clients
from tests.stack import other_inventory
from tests.stack.lab import ROOT, Lab

FOLDER = "/etc/greenrack/tls"
RELOAD = "systemctl reload postgresql@15-main.service"
PLAIN = "database_url_tls=?sslmode=disable"
SSL = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename LIKE 'demo%'"

END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'demo%'"


def play(lab, *variables, tags="all"):
    """Deploy, and return what the run did."""
    chosen = [word for variable in variables for word in ("-e", variable)]
    run = lab.play("site.yml", "--tags", tags, *chosen)
    assert run.code == 0, run.output
    return run


def spoken(lab):
    """Return whether the application's connections are encrypted: t, f, or both."""
    return lab.run("db1", f'runuser -u postgres -- psql -XAtc "{SSL}"').split()


def connect(lab, more, port=5432):
    """Return what a connection from the application's host, with its own login, comes to."""
    code = (
        "import os, psycopg2; url = os.environ['DATABASE_URL'].partition('?')[0];"
        f"url = url.rpartition(':')[0] + ':{port}/demo{more}';"
        "psycopg2.connect(url); print('let in')"
    )
    file = f"/etc/{lab.instance()}.env"
    python = (
        f"$(systemctl show --value --property=WorkingDirectory {lab.instance()})/.venv/bin/python"
    )
    return lab.run("app1", f'set -a; . {file}; {python} -c "{code}" 2>&1 || true')


def show(lab, certificate):
    """Have PostgreSQL show another certificate."""
    lab.run("db1", f"cat > {FOLDER}/host.crt <<'END'\n{certificate}END\n{RELOAD}")


def becomes(lab, status, says):
    """Wait until /readyz is answered so, and says that."""
    said, end = None, time.monotonic() + 60
    while said is None or said[0] != status or says not in said[1]:
        assert time.monotonic() < end, said
        time.sleep(0.2)
        said = lab.get("/readyz")


@pytest.fixture(scope="module")
def encrypted(deployed):
    """The stack as it is by default."""
    play(deployed)
    return deployed


def test_nobody_comes_without(encrypted):
    assert encrypted.get("/db?delay=0.1")[0] == 200
    assert spoken(encrypted) == ["t"]
    assert "no encryption" in connect(encrypted, "?sslmode=disable")
    key = encrypted.host("db1").file(f"{FOLDER}/host.key")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
    assert not encrypted.host("app1").file(f"{FOLDER}/host.key").exists
    assert sum(play(encrypted).changed.values()) == 0


@pytest.mark.parametrize("wrong", ["authority", "name", "key"])
def test_another_server_is_not_believed(encrypted, signs, wrong):
    address = encrypted.address("db1")
    if wrong == "key":  # and so PostgreSQL, which stays with what it has
        request = encrypted.run(
            "app1",
            "openssl req -new -newkey ec -pkeyopt "
            "ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /",
        )
    else:
        request = encrypted.run("db1", f"openssl req -new -key {FOLDER}/host.key -subj /")
    secrets = yaml.safe_load((encrypted.directory / "ssh/secrets.yml").read_text())
    authority = signs.make() if wrong == "authority" else secrets["authority"]
    names = ["db2", "192.0.2.1"] if wrong == "name" else ["db1", address]
    show(encrypted, signs.sign(authority, request, names, 30))
    if wrong != "key":
        says = {"authority": "certificate verify failed", "name": "does not match host name"}[wrong]
        becomes(encrypted, 503, says)
        assert encrypted.get("/healthz")[0] == 200
        encrypted.run("db1", f'runuser -u postgres -- psql -XAtc "{END}"')
        assert encrypted.get("/db?delay=0.1")[0] == 503
        logged = encrypted.run(
            "app1", f"journalctl --no-pager --unit={encrypted.instance()} --since=-1min"
        )
        assert says in logged, logged
    run = play(encrypted, tags="postgresql")
    assert {host for host, changed in run.changed.items() if changed} == {"db1"}
    becomes(encrypted, 200, "ready")


def test_expired_certificate_is_renewed_by_the_next_run(encrypted):
    encrypted.run("db1", f"rm {FOLDER}/host.crt")
    play(encrypted, "internal_tls_days=0.0001", tags="postgresql")  # 9 s
    becomes(encrypted, 503, "certificate verify failed")
    ends = f"openssl x509 -in {FOLDER}/host.crt -noout -checkend"
    assert "will expire" in encrypted.run("db1", f"{ends} 0 || true")
    play(encrypted, tags="postgresql")
    becomes(encrypted, 200, "ready")
    assert "will not expire" in encrypted.run("db1", f"{ends} {700 * 86400}")


def test_new_authority_takes_over_without_loss(encrypted):
    file = encrypted.directory / "ssh/secrets.yml"
    secrets = yaml.safe_load(file.read_text())
    secrets["authority_before"] = secrets.pop("authority")
    file.write_text(yaml.safe_dump(secrets))
    count = f"grep --count BEGIN {FOLDER}/ca.crt"
    with Clients(encrypted.address("proxy1"), "/db?delay=0.1", 20) as clients:
        play(encrypted)
        assert encrypted.run("app1", count) == "2"
        secrets = yaml.safe_load(file.read_text())
        assert secrets["authority"] != secrets.pop("authority_before")
        file.write_text(yaml.safe_dump(secrets))
        play(encrypted)
    assert clients.failures == []
    assert encrypted.run("app1", count) == "1"
    becomes(encrypted, 200, "ready")
    assert sum(play(encrypted).changed.values()) == 0


def test_live_application_goes_over_without_loss(encrypted):
    play(encrypted, "internal_tls=false", PLAIN)
    assert encrypted.get("/db?delay=0.1")[0] == 200
    assert spoken(encrypted) == ["f"]
    run = encrypted.play("site.yml", "-e", PLAIN)
    assert run.code != 0, "closed, and the application comes without TLS"
    assert f"- demo from {encrypted.address('app1')}" in run.output, run.output
    assert connect(encrypted, "?sslmode=disable") == "let in"
    with Clients(encrypted.address("proxy1"), "/db?delay=0.1", 20) as clients:
        play(encrypted)
    assert clients.failures == []
    assert spoken(encrypted) == ["t"]
    assert "no encryption" in connect(encrypted, "?sslmode=disable")


def test_pooler_is_no_way_around(encrypted):
    play(encrypted, "pooler=true")
    with Clients(encrypted.address("proxy1"), "/db?delay=0.1", 20) as clients:
        rotated = encrypted.play("playbooks/rotate_secrets.yml", "-e", "pooler=true")
    assert rotated.code == 0, rotated.output
    assert clients.failures == []
    assert connect(encrypted, f"?sslmode=verify-full&sslrootcert={FOLDER}/ca.crt", 6432) == "let in"
    assert "login rejected" in connect(encrypted, "?sslmode=disable", 6432)
    play(encrypted)


def test_release_that_would_need_certificates_is_refused(encrypted):
    encrypted.run("app1", f"mv {FOLDER}/ca.crt {FOLDER}/ca.moved")
    try:
        run = encrypted.play("playbooks/release.yml", "-e", "app_server_backlog=6000")
        assert run.code != 0
        assert "Type once: " in run.output, run.output
        assert f" site.yml -e lab_name={encrypted.name} " in run.output, run.output
        assert sum(run.changed.values()) == 0, run.output
    finally:
        encrypted.run("app1", f"mv {FOLDER}/ca.moved {FOLDER}/ca.crt")


def test_hosts_of_another_application_are_let_in_too(encrypted, tmp_path):
    """Whichever inventory's run was the last; and that one cannot take from the other what it comes by."""
    path = other_inventory.write(
        tmp_path / "shop",
        {"app": {"app1": 21, "db1": 41}, "proxy": {"proxy1": 11}, "database": {"db1": 41}},
        {
            "app_name": "shop",
            "app_source": str(ROOT / "app/demo"),
            "app_module": "wsgi:app",
            "app_port": 8100,
        },
    )
    shop = Lab(path, encrypted.name, encrypted.prefix)
    assert encrypted.knock("db1", 5432)[2] == "E", "it proves nothing"
    play(shop, tags="postgresql")
    for lab in (encrypted, shop):
        assert sum(play(lab, tags="postgresql").changed.values()) == 0
        answers = {name: encrypted.knock(name, 5432)[2] for name in ("app1", "db1")}
        assert answers == {"app1": "R", "db1": "R"}
    run = encrypted.play("site.yml", "-e", "internal_tls=false")
    assert run.code != 0
    said = " ".join(run.output.split())
    assert "PostgreSQL there serves shop too, by TLS at" in said, said
    command = re.search(r"type there: sudo (sed .*?pg_hba.conf)", said).group(1)
    encrypted.run("db1", command)
    play(encrypted, tags="postgresql")
    assert encrypted.knock("db1", 5432)[2] == "E"
    encrypted.run("db1", "runuser -u postgres -- dropdb shop")
    becomes(encrypted, 200, "ready")
