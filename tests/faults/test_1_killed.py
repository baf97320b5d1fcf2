"""Programs that are killed: what is in flight there fails, and they are back without anybody's help."""

import pytest

MAIN = "systemctl kill --signal=KILL --kill-whom=main {}"
CHILD = "kill -KILL $(pgrep --parent $(systemctl show --value --property=MainPID {}) | head -1)"
POSTGRESQL = "postgresql@15-main"
BACK = "back by itself; what is asked until then fails"
IN_FLIGHT = "only what it was doing fails"
WAITS = "only what it was doing fails; what is asked until it is back waits"

# What is killed, on which host and how; what becomes of it; which routes need it.
KILLED = {
    "a worker of the application": (
        "app1",
        CHILD,
        "APP",
        IN_FLIGHT,
        {"page", "database", "unrelated"},
    ),
    "the application's master": (
        "app1",
        MAIN,
        "APP",
        WAITS,
        {"page", "database", "unrelated"},
    ),
    "a worker of nginx": ("proxy1", CHILD, "nginx", IN_FLIGHT, {"page", "database", "unrelated"}),
    "nginx's master": ("proxy1", MAIN, "nginx", BACK, {"page", "database", "unrelated"}),
    "the slow API": ("api1", MAIN, "slow-api", WAITS, {"page", "database"}),
    "the postmaster": ("db1", MAIN, POSTGRESQL, WAITS, {"database"}),
    "a process of PostgreSQL": ("db1", CHILD, POSTGRESQL, WAITS, {"database"}),
}


@pytest.mark.parametrize("what", KILLED)
def test_what_is_killed_comes_back(deployed, suffered, what):
    host, how, unit, promise, needing = KILLED[what]
    unit = deployed.instance() if unit == "APP" else unit
    felt = suffered(f"`kill -9` {what}", promise, lambda: deployed.run(host, how.format(unit)))
    for route in felt.clients.keys() - needing:
        assert felt.failed(route) == [], felt
    if promise == BACK:
        assert felt.failed("database"), f"nothing was felt of it\n{felt}"
    else:
        # What came later is served by another worker, or the next master: the dead one had accepted its connection.
        for route in needing:
            assert len(felt.after(route)) <= felt.in_flight(route) + 2, felt


def test_pooler_comes_back_and_so_does_what_is_behind_it(deployed, suffered):
    run = deployed.play("site.yml", "-e", "server=uwsgi_gevent", "-e", "pooler=true")
    assert run.code == 0, run.output
    try:
        pooler, behind = (
            suffered(
                f"`kill -9` {what}", promise, lambda u=unit: deployed.run("db1", MAIN.format(u))
            )
            for what, unit, promise in [
                ("PgBouncer", "pgbouncer", WAITS),
                ("the postmaster behind PgBouncer", POSTGRESQL, BACK),
            ]
        )
    finally:
        run = deployed.play("site.yml", "-e", "server=uwsgi_gevent")
        assert run.code == 0, run.output
    for felt in (pooler, behind):
        felt.unaffected("page", "unrelated")
        assert felt.statuses("database") <= {503}, felt
    assert len(pooler.after("database")) <= pooler.in_flight("database") + 2, pooler
    assert behind.failed("database"), f"nothing was felt of it\n{behind}"
