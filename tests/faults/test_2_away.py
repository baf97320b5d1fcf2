"""What the application needs is stopped, frozen, cut off or denied, for half a minute: others do not feel it."""

import pytest

from tests.faults.hosts import plug

POSTGRESQL = "postgresql@15-main"
DATABASE = "503 (504 for what was under way) in a bound; other routes unaffected; well again without a restart"
UPSTREAM = "502 or 504 in a bound; other routes unaffected; well again without a restart"


def _ends(unit):
    return {
        "stopped": (f"systemctl stop {unit}", f"systemctl start {unit}"),
        "frozen": (f"systemctl freeze {unit}", f"systemctl thaw {unit}"),
    }


# Host, unit, promise, seconds, and what the routes that need it may be answered. Who asks the slow API waits 30 s for
# it, and is told so before it is there again. Those that it lets go again come to the database all at once, with no
# time left to wait for a connection.
AWAY = {
    "the database": ("db1", POSTGRESQL, DATABASE, 30, {"database": {503, 504}}),
    "the slow API": (
        *("api1", "slow-api", UPSTREAM, 35),
        {"page": {502, 504}, "database": {502, 503, 504}},
    ),
}
HOW = ["stopped", "frozen", "cut off"]


@pytest.mark.usefixtures("not_restarted")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("what", AWAY)
def test_what_is_away_is_felt_by_those_who_need_it(deployed, suffered, what, how):
    host, unit, promise, seconds, answers = AWAY[what]
    if how == "cut off":
        strike, heal = lambda: plug(deployed, host, "down"), lambda: plug(deployed, host, "up")
    else:
        first, last = _ends(unit)[how]
        strike, heal = lambda: deployed.run(host, first), lambda: deployed.run(host, last)
    felt = suffered(f"{what} {how} for {seconds} s", promise, strike, heal, lasts=seconds)
    for route in answers:
        assert felt.failed(route), f"nothing was felt of it\n{felt}"
        assert felt.statuses(route) <= answers[route], felt
    felt.unaffected(*(felt.clients.keys() - answers))


@pytest.mark.usefixtures("not_restarted")
def test_database_that_takes_no_more_connections(deployed, suffered):
    limit = "ALTER ROLE demo CONNECTION LIMIT {}"
    # What the application has is ended, or it would not need new ones.
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'demo'"
    psql = "runuser -u postgres -- psql -XAt"
    felt = suffered(
        "PostgreSQL grants the application no connection for 30 s",
        DATABASE,
        lambda: deployed.run("db1", f'{psql} -c "{limit.format(0)}" -c "{end}"'),
        lambda: deployed.run("db1", f'{psql} -c "{limit.format(-1)}"'),
    )
    felt.unaffected("page", "unrelated")
    assert len(felt.failed("database")) > 100, f"it was granted some\n{felt}"
    assert felt.statuses("database") == {503}, felt


# Nobody is there, so that a lookup waits.
LOST = "echo nameserver 192.0.2.1 > /etc/resolv.conf"


@pytest.fixture
def upstream_by_name(deployed):
    """Have the application look its upstream up, as one that is somebody else's; return what takes the name away."""
    deploy, forget = ("site.yml", "-e", "server=uwsgi_gevent"), "sed -i '/api[.]test$/d' /etc/hosts"
    deployed.run("app1", f"echo {deployed.address('api1')} api.test >> /etc/hosts")
    run = deployed.play(*deploy, "-e", "api_address=api.test")
    assert run.code == 0, run.output
    yield forget
    run = deployed.play(*deploy)
    assert run.code == 0, run.output
    deployed.run("app1", forget)


# The last is the first to end: before the deploy that follows.
def test_upstreams_name_cannot_be_resolved(deployed, suffered, upstream_by_name, not_restarted):
    kept = deployed.run("app1", "cat /etc/hosts"), deployed.run("app1", "cat /etc/resolv.conf")

    def strike():
        deployed.run("app1", f"{upstream_by_name}; {LOST}")
        deployed.run("api1", "systemctl restart slow-api")  # connections to it were kept

    def heal():
        for path, text in zip(("/etc/hosts", "/etc/resolv.conf"), kept, strict=True):
            deployed.run("app1", f"cat > {path} <<'END'\n{text}\nEND")

    # A lookup waits as long as it takes, so nginx's timeout is the bound: 40 s.
    fault = "DNS away for 50 s from an application that looks its upstream up"
    promise = "504 in a bound; other routes unaffected; well again without a restart"
    felt = suffered(fault, promise, strike, heal, lasts=50)
    felt.unaffected("unrelated")
    assert len(felt.failed("page")) > 50, f"it knew the address\n{felt}"
    assert felt.statuses("page") <= {502, 504}, felt
    # Those that could be looked up again come to the database all at once.
    assert felt.statuses("database") <= {502, 503, 504}, felt


def test_names_cannot_be_resolved(deployed, suffered):
    hosts = ("proxy1", "app1", "api1", "db1")
    kept = {host: deployed.run(host, "cat /etc/resolv.conf") for host in hosts}

    def strike():
        for host in hosts:
            deployed.run(host, LOST)
        run = deployed.play("site.yml", "-e", "server=uwsgi_gevent")
        assert run.code == 0, run.output
        assert sum(run.changed.values()) == 0, run.output

    def heal():
        for host in hosts:
            deployed.run(host, f"printf '%s\\n' '{kept[host]}' > /etc/resolv.conf")

    felt = suffered(
        "DNS away for 30 s", "no effect, also on a deploy that installs nothing", strike, heal
    )
    felt.unaffected(*felt.clients)
