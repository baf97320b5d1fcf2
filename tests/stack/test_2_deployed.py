"""The stack on five hosts: services are what they claim, and answer."""

import json
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stack.lab import Lab


def test_second_run_changes_nothing_and_says_the_default(deployed):
    run = deployed.play("site.yml")
    assert run.code == 0, run.output
    assert run.changed == dict.fromkeys(["proxy1", "app1", "api1", "db1", "load1"], 0), run.output
    assert "uwsgi_gevent, the default, for server is not set" in run.output
    assert "WARNING" not in run.output


def test_dry_run_after_the_deploy_would_change_nothing(deployed):
    run = deployed.play("site.yml", "--check")
    assert run.code == 0, run.output
    assert sum(run.changed.values()) == 0, run.output


@pytest.mark.parametrize(
    "tag",
    [
        "base",
        "firewall",
        "postgresql",
        "pgbouncer",
        "slow_api",
        "app_release",
        "app_server",
        "nginx",
    ],
)
def test_every_tag_works_alone(deployed, tag):
    run = deployed.play("site.yml", "--tags", tag)
    assert run.code == 0, run.output
    assert sum(run.changed.values()) == 0, run.output


# Host, unit, user of its main process, and the one address it listens on.
SERVICES = [
    ("db1", "postgresql@15-main.service", "postgres", "{prefix}.41:5432"),
    ("api1", "slow-api.service", "dynamic", "{prefix}.31:8081"),
    ("app1", "demo-blue.service", "demo", "{prefix}.21:8000"),
    ("proxy1", "nginx.service", "root", "0.0.0.0:80 [::]:80"),
]


@pytest.mark.parametrize(("name", "unit", "user", "address"), SERVICES)
def test_service(deployed, name, unit, user, address):
    host = deployed.host(name)
    service = host.service(unit)
    journal = host.run(f"journalctl --no-pager --lines=30 --unit={unit}").stdout
    assert service.is_running, journal
    assert service.is_enabled, journal
    main = deployed.run(name, f"systemctl show --value --property=MainPID {unit}")
    uid = int(deployed.run(name, f"stat --format=%u /proc/{main}"))
    # systemd's range for DynamicUser=, see its UIDS-GIDS documentation
    owner = "dynamic" if 61184 <= uid <= 65519 else deployed.run(name, f"id --name --user {uid}")
    assert owner == user, journal
    port = address.rsplit(":", 1)[1]
    listening = deployed.run(name, f"ss -Hltn 'sport = :{port}' | awk '{{print $4}}'").split()
    assert listening == address.format(prefix=deployed.prefix).split(), journal


def test_application_server_is_uwsgi_with_gevent(deployed):
    host = deployed.host("app1")
    cpus = int(deployed.run("app1", "nproc"))
    processes = host.process.filter(user="demo")
    assert len(processes) == cpus + 1, [
        p.args for p in processes
    ]  # a master, and a worker a processor
    main = deployed.run("app1", "systemctl show --value --property=MainPID demo-blue.service")
    assert "/.venv/bin/uwsgi --ini /etc/demo-blue.uwsgi.ini" in host.process.get(pid=main).args
    properties = deployed.run("app1", "systemctl show --property=KillMode,Type demo-blue.service")
    assert set(properties.split()) == {"KillMode=mixed", "Type=exec"}


def test_release_is_immutable_and_secrets_are_roots(deployed):
    releases = deployed.run("app1", "ls /srv/demo/releases").split()
    assert len(releases) == 1
    written = deployed.host("app1").run(
        f"runuser -u demo -- touch /srv/demo/releases/{releases[0]}/x /etc/demo-blue.env"
    )
    assert written.rc != 0
    secrets = deployed.host("app1").file("/etc/demo-blue.env")
    assert (secrets.user, secrets.mode) == ("root", 0o600)
    owners = deployed.run(
        "app1", "find /srv/demo -not -user root -o -perm -o+w -not -type l | head"
    )
    assert owners == ""


@pytest.mark.parametrize("name", ["app1", "db1"])
def test_database_password_is_in_no_journal(deployed, name):
    url = deployed.run("app1", "grep DATABASE_URL /etc/demo-blue.env")
    secret = url.split(":")[2].split("@")[0]
    assert len(secret) == 32
    journal = deployed.run(name, "journalctl --no-pager")
    assert "COMMAND=" in journal  # sudo does write down what it runs
    assert secret not in journal


def _psql(lab, database, sql):
    return lab.host("db1").run(f"runuser -u postgres -- psql -XAtd {database} -c %s", sql)


def test_database_password_is_not_in_its_log_either(deployed):
    url = deployed.run("app1", "grep DATABASE_URL /etc/demo-blue.env")
    secret = url.split(":")[2].split("@")[0]
    logs = "ALTER SYSTEM {} log_statement{}"
    try:
        for sql in (logs.format("SET", " = 'ddl'"), "SELECT pg_reload_conf()"):
            assert _psql(deployed, "postgres", sql).rc == 0
        assert _psql(deployed, "postgres", "ALTER ROLE demo PASSWORD 'of-before'").rc == 0
        run = deployed.play("site.yml", "--tags", "postgresql")
        assert (run.code, run.changed["db1"]) == (0, 1), run.output
        log = deployed.run("db1", "cat /var/log/postgresql/postgresql-15-main.log")
    finally:
        for sql in (logs.format("RESET", ""), "SELECT pg_reload_conf()"):
            assert _psql(deployed, "postgres", sql).rc == 0
    assert "of-before" in log, "it keeps no statements"
    assert secret not in log


def test_application_role_has_few_privileges(deployed):
    flags = "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = '{}'"
    assert _psql(deployed, "postgres", flags.format("demo")).stdout.strip() == "t|f|f|f"
    assert _psql(deployed, "postgres", flags.format("demo_owner")).stdout.strip() == "f|f|f|f"
    stored = "SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'demo'"
    assert _psql(deployed, "postgres", stored).stdout.strip() == "SCRAM-SHA-256$"
    for forbidden in ("CREATE TABLE x()", "DROP TABLE visits", "CREATE SCHEMA x"):
        done = _psql(deployed, "demo", f"SET ROLE demo; {forbidden}")
        assert "permission denied" in done.stderr or "must be owner" in done.stderr, (
            forbidden,
            done,
        )


def test_database_refuses_who_is_not_its_client(deployed):
    """Beyond the firewall, that is: its own host is let in by that, and named in no rule of PostgreSQL."""
    assert "no pg_hba.conf entry" in deployed.knock("db1", 5432)
    assert "SCRAM-SHA-256" in deployed.knock("app1", 5432)


COMMAND = """
import contextlib, socket, struct
pairs = {"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "SCRIPT_NAME": "/x", "SERVER_NAME": "x"}
pairs["UWSGI_FILE"] = "exec://id > /run/demo-blue/probe; echo"
packed = b"".join(struct.pack("<H", len(w)) + w.encode() for pair in pairs.items() for w in pair)
asked = f"GET /x HTTP/1.0\\r\\nUWSGI_FILE: {pairs['UWSGI_FILE']}\\r\\n\\r\\n".encode()
for request in (struct.pack("<BHB", 0, len(packed), 0) + packed, asked):
    with socket.create_connection(("ADDRESS", 8000), 5) as link:
        link.sendall(request)
        link.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            link.recv(300)
"""


def test_uwsgi_runs_nobodys_commands(deployed):
    """In its own protocol anybody who reaches it may name a program for it to run."""
    code = b64encode(COMMAND.replace("ADDRESS", f"{deployed.prefix}.21").encode()).decode()
    deployed.run("proxy1", f"echo {code} | base64 -d | python3")
    probe = deployed.host("app1").file("/run/demo-blue/probe")
    assert not probe.exists, probe.content_string


def test_hosts_reach_the_mirror_and_nothing_else(deployed):
    deployed.run("load1", "apt-get update")
    bridge = f"/proc/sys/net/ipv6/conf/gr-{deployed.name}/disable_ipv6"
    assert not Path(bridge).exists() or Path(bridge).read_text().strip() == "1"
    for address in (f"{deployed.prefix}.1", "192.0.2.1", "198.51.100.1"):
        tried = deployed.host("load1").run(f"timeout 5 bash -c '</dev/tcp/{address}/80'")
        assert tried.rc == 1, (address, tried)  # refused at once; 124 would be a timeout


ANSWERS = [
    ("/?delay=0.2", 200, {"delay": 0.2, "upstream": {"delay": 0.2}}),
    ("/db?delay=0.2", 200, {"delay": 0.2, "upstream": 0.1, "database": 0.1}),
    ("/healthz", 200, {"status": "ok"}),
    ("/readyz", 200, {"status": "ready", "database": "ok", "upstream": "ok"}),
]


@pytest.mark.parametrize(("path", "status", "body"), ANSWERS)
def test_answer(deployed, path, status, body):
    got, text = deployed.get(path)
    assert (got, json.loads(text)) == (status, body)


@pytest.mark.parametrize(
    "path", ["/?delay=x", "/?delay=-1", "/?delay=nan", "/db?delay=", "/?delay=61", "/nowhere"]
)
def test_bad_request_is_answered_in_json(deployed, path):
    status, text = deployed.get(path)
    assert status == (404 if path == "/nowhere" else 400)
    assert json.loads(text)["error"]


def test_visits_are_counted_by_client(deployed):
    before = json.loads(deployed.get("/stats")[1])
    after = json.loads(deployed.get("/stats")[1])
    assert after["visits"] == before["visits"] + 1
    assert after["clients"] == before["clients"]
    address = f"http://{deployed.prefix}.11/stats"
    code = f"import urllib.request as u; print(u.urlopen('{address}').read().decode())"
    other = json.loads(deployed.run("db1", f'python3 -c "{code}"'))
    assert other["clients"] == before["clients"] + 1, (
        "nginx's address was counted, not the client's"
    )


def _together(lab: Lab, count, path):
    """Send `count` requests at the same time; return the pool and the futures of their statuses."""
    pool = ThreadPoolExecutor(count)
    return pool, [pool.submit(lambda: lab.get(path)[0]) for _ in range(count)]


def test_many_requests_are_in_flight_at_once(deployed):
    pool, futures = _together(deployed, 60, "/?delay=4")
    seen = 0
    with pool:
        while not all(future.done() for future in futures):
            shown = deployed.run("api1", "ss -Htn state established 'sport = :8081' | wc -l")
            seen = max(seen, int(shown))
    assert [future.result() for future in futures] == [200] * 60
    assert seen >= 60


def test_restart_lets_requests_in_flight_finish(deployed):
    before = deployed.run("app1", "systemctl show --value --property=MainPID demo-blue.service")
    pool, futures = _together(deployed, 8, "/?delay=4")
    with pool:
        while int(deployed.run("api1", "ss -Htn state established 'sport = :8081' | wc -l")) < 8:
            time.sleep(0.1)
        deployed.run("app1", "systemctl restart demo-blue.service")
    assert [future.result() for future in futures] == [200] * 8
    assert (
        deployed.run("app1", "systemctl show --value --property=MainPID demo-blue.service")
        != before
    )
