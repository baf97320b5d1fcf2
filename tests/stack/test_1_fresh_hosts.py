"""Hosts nobody has touched yet: a dry run, and everything that has to be refused."""

import time

import pytest


def test_dry_run_on_fresh_hosts(lab):
    """Of all roles: what there is without the pooler and TLS, there is with them."""
    before = lab.disks()
    run = lab.play("site.yml", "--check", "--diff", "-e", "pooler=true", "-e", "app_tls=true")
    assert run.code == 0, run.output
    assert sum(run.changed.values()) > 0, run.output  # it says what it would do
    assert lab.disks() == before


# What is typed, and what it is answered. What one task finds is said all at once, so one run asks for all of it.
REFUSALS = {
    "unknown server mode": {
        "-e server=nonsense": ["'nonsense'", "Valid are", "uwsgi_gevent", "Type:"],
    },
    "empty server mode": {"-e server=": ["no server mode ''", "Valid are"]},
    "what takes no host to see": {
        "-e app_source=/nonexistent": ["'/nonexistent' is no folder"],
        "-e serverr=uwsgi_gevent": ["serverr (did you mean server?)"],
        "-e app_server_workrs=3": ["app_server_workrs (did you mean app_server_workers?)"],
        "-e app_health_path=healthz": ["app_health_path is 'healthz'", "begins with /"],
        "-e app_name=My_App": ["app_name is 'My_App'", "lower-case letters"],
        "-e nginx_port=99999": ["nginx_port is 99999", "1 to 65535"],
        "-e app_concurrency=0": ["app_concurrency is 0", "1 to 100000"],
        "-e app_timeout=-5": ["app_timeout is -5"],
        "-e app_memory_max=lots": ["app_memory_max is 'lots'", "such as 75%"],
        "-e app_schema=/nope.sql": ["'/nope.sql' is no file"],
        "-e {'app_shared':['up/../..']}": ["app_shared is '['up/../..']'", "directories in the"],
        "-e app_workers=2.5": ["app_workers is 2.5, and valid is a whole number"],
        "-e app_tls=true -e internal_tls=false": ["app_tls is true and internal_tls false"],
        "-e tls=acme -e {'app_domains':['*.test']}": ["acme, and app_domains has a pattern"],
        "-e pooler=ture": ["pooler is ture, and valid is true or false"],
        "-e profil=tutorial": ["profil (did you mean profile?)"],
        "-ecreate -e--for=ada": ["ends a value at its first space, and took create --for for"],
        "--limit proxy1": ["leaves out app1", "--limit proxy1,app1"],
    },
    "a host that knows what is live left out": {
        "--limit app1": ["leaves out proxy1", "--limit app1,proxy1"],
    },
    "uWSGI's own protocol over TCP": {
        "-e server=uwsgi_sync -e protocol=uwsgi": ["run any command", "Type: -e protocol=http"],
    },
    "variables of roles": {
        "-e nginx_live=purple": ["nginx_live", "purple", "blue", "green"],
    },
    "variables that do not suit the hosts": {
        "-e preflight_free_mb=99999999": ["inodes free under /", "99999999 MiB"],
        "-e app_name=www-data": ["a user 'www-data' already", "Choose another app_name"],
        '-e {"app_secrets":{"KEY":"{{nobody_said}}"}}': [
            "app_secrets.KEY has no value: 'nobody_said' is undefined"
        ],
        '-e {"app_env":{"MY-KEY":true},"app_migrate_env":{"PYTHONPATH":null}}': [
            "app_env.MY-KEY, app_migrate_env.PYTHONPATH have names",
            "sys.path.insert(0, 'src')",
            "app_env.MY-KEY, app_migrate_env.PYTHONPATH are nothing, true or false",
        ],
        "-e service_address=app1": ["'app1', which is no IPv4 address"],
        "-e base_journal_size=much": ["base_journal_size is 'much'", "-e base_journal_size=500M"],
        "-e base_reboot_at=25:99": ["base_reboot_at is '25:99'", "04:30"],
        "-e {'firewall_ssh_from':['gw.test','192.0.2.0/24']}": ["gw.test in firewall_ssh_from"],
    },
    "more connections than the database has": {
        "-e app_workers=2 -e app_database_pool=23": [
            *("open 92 connections", "old and new together", "grants 90"),
            *("app_database_pool=22", "pooler=true"),
        ],
    },
    "more connections than the pooler takes, and more of its own than the database has": {
        "-e pooler=true -e app_workers=2 -e app_database_pool=501": [
            *("open 2004 connections", "app_database_pool=500"),
            "pgbouncer_max_client_conn=2004",
        ],
        "-e pgbouncer_pool_size=91": [
            *("pgbouncer_pool_size 91", "grants 90"),
            "pgbouncer_pool_size=90",
        ],
    },
    "no such module": {
        "-e app_module_gevent=nope:app": ["no module 'nope'", "wsgi_gevent", "app_module"],
    },
    "no such callable": {"-e app_module=wsgi:nope": ["does not define 'nope'", "app_module"]},
    "no such lock file": {"-e app_requirements=nope.txt": ["no lock file", "uv pip compile"]},
}


UDP = 'import socket, time; s = socket.socket(type=2); s.bind(("", 5060)); time.sleep(600)'


def refused(lab, words, *arguments):
    """Assert that site.yml refuses with `words`, and leaves every host as it was."""
    before = lab.disks()
    run = lab.play("site.yml", *arguments)
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert [word for word in words if word not in said] == [], run.output
    assert lab.disks() == before


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal(lab, case):
    typed = [word for part in REFUSALS[case] for word in part.split()]
    refused(lab, [word for words in REFUSALS[case].values() for word in words], *typed)


def test_application_with_a_syntax_error_is_refused(lab, app_copy):
    (app_copy / "wsgi.py").write_text("def broken(:\n")
    refused(lab, ["wsgi.py, line 1", "py_compile"], "-e", f"app_source={app_copy}")


def test_lock_file_nobody_can_satisfy_is_refused(lab, app_copy):
    lock = app_copy / "requirements.txt"
    lock.write_text(lock.read_text().replace("\nflask==", "\nflask==999."))
    refused(lab, ["cannot be satisfied", "flask", "uv pip compile"], "-e", f"app_source={app_copy}")


def test_hosts_that_do_not_suit_are_refused(lab):
    """Another distribution, ports that somebody has, addresses that nobody has, and file systems that have no room."""
    hosts = {"proxy1": 80, "db1": 6432}
    small = {
        "app1": ("/srv", "size=2m"),
        "db1": ("/var/cache", "size=2m"),
        "proxy1": ("/var/log", "size=100m,nr_inodes=200"),
    }
    release = "/usr/lib/os-release"
    other = "/var/lib/postgresql/15/main"
    lab.run("db1", f"mkdir -p {other} && touch {other}/PG_VERSION")
    lab.run("db1", f"cp {release} /root/kept && sed -i s/^VERSION_ID=.*/VERSION_ID=99/ {release}")
    try:
        for name, (path, size) in small.items():
            lab.run(name, f"mount -t tmpfs -o {size} small {path}")
        for name, port in hosts.items():
            lab.run(name, f"systemd-run --unit=squatter python3 -m http.server {port}")
            lab.run(name, f"until ss -ltn | grep -q :{port}; do sleep 0.1; done")
        lab.run("load1", f"systemd-run --unit=tunnel python3 -c '{UDP}'")
        lab.run("load1", "until ss -lun | grep -q :5060; do sleep 0.1; done")
        words = [f"{name} cannot take its part of the stack" for name in {**hosts, **small}]
        words += ["It has 2 MiB and ", " inodes free under /srv, and a deploy wants 512 MiB"]
        words += ["under /var/cache, and a deploy wants 128 MiB and 1280 inodes", "sudo du -xm"]
        words += ["100 MiB and 199 inodes free under /var/log, and a deploy wants 64 MiB and 640"]
        words += ["'debian 99'", "Valid are: debian 12, debian 13", "ss -ltnp"]
        words += [f"Port {port} is taken by squatter.service" for port in hosts.values()]
        words += ["Other hosts may reach UDP port 5060", '[{"port": 5060, "protocol": "udp"}]']
        words += ["It has a database of PostgreSQL 15, and its Debian brings 17"]
        words += [f"and it has no address but {lab.address('db1')}. Valid"]
        refused(lab, words, "-e", "pooler=true", "-e", "service_address=192.0.2.7")
    finally:
        for name, (path, _) in small.items():
            lab.host(name).run(f"umount --lazy {path}")
        for name in hosts:
            lab.host(name).run("systemctl stop squatter.service")
        lab.host("load1").run("systemctl stop tunnel.service")
        lab.run("db1", f"mv /root/kept {release} && rm -r /var/lib/postgresql")


# What somebody else's nginx, PostgreSQL and pgBackRest have, and what is said of it.
THEIRS = {
    "proxy1": ("nginx/sites-enabled/crm", "server { listen 81; }"),
    "db1": ("postgresql/15/main/pg_hba.conf", "host crm crm 10.0.0.0/8 ldap ldapbindpasswd=geheim"),
    "api1": ("pgbackrest.conf", "[crm]\npg1-path=/var/lib/crm"),
}
SAID = [
    *("/etc/nginx/sites-enabled/crm", "rule 'host crm crm 10.0.0.0/8 ldap'"),
    *("stanza crm in /etc/pgbackrest.conf", '-e \'{"preflight_take_over": ["nginx"]}\''),
    *('["postgresql-15"]', '["pgbackrest"]', "FILE.before-greenrack"),
]


def test_hosts_that_serve_somebody_else_are_refused(lab):
    main = "mkdir -p /etc/nginx && echo 'include sites-enabled/*;' > /etc/nginx/nginx.conf"
    lab.run("proxy1", main)
    for name, (path, text) in THEIRS.items():
        lab.run(name, f"mkdir -p $(dirname /etc/{path}) && printf '{text}\\n' > /etc/{path}")
    refused(lab, SAID, "--diff")
    for name in THEIRS:
        lab.run(name, "rm -rf /etc/nginx /etc/postgresql /etc/pgbackrest.conf")


def test_what_has_failed_on_hosts_is_told(lab):
    """As conftest.py adds it to what is said of a test that failed."""
    lab.host("db1").run("systemd-run --unit=broken --wait sh -c 'echo why it is; exit 3'")
    said = lab.failed_units()
    lab.run("db1", "systemctl reset-failed broken.service")
    assert "why it is" in said, said
    assert "broken.service: Failed with result 'exit-code'" in said, said
    assert "app1: none" in said, said
    assert "broken" not in lab.failed_units()


def test_host_that_is_off_is_refused_and_can_be_brought_back(lab):
    lab.host("api1").run("systemctl poweroff")
    end = time.monotonic() + 90
    while lab.boot_id("api1") is not None:  # it answers for as long as its services take to stop
        assert time.monotonic() < end, "api1 did not go off"
    lab.cut_off("api1")
    refused(lab, ["1 of 5 hosts cannot be reached", "api1", "playbooks/lab_up.yml -e lab_name="])
    up = lab.play("playbooks/lab_up.yml")
    assert up.code == 0, up.output
    assert up.changed == {"localhost": 1}, up.output
    assert lab.run("api1", "hostname") == "api1"
