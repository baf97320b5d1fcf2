"""A clock that is wrong. The kernel's is the controller's, so the application alone is told another time."""

import time

import pytest

FAKE = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
DROP_IN = """[Service]
Environment=LD_PRELOAD={library} FAKETIME={hours:+d}h FAKETIME_DONT_FAKE_MONOTONIC=1
"""
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'demo'"


@pytest.fixture
def faked(deployed):
    """Return a function that sets the clock of the application so many hours ahead; after the test it is right."""
    deployed.run("app1", "apt-get install --quiet=2 --yes --no-install-recommends libfaketime")
    library = deployed.run("app1", "dpkg --listfiles libfaketime | grep MT.so | tail -1")
    instance = deployed.instance()
    folder = f"/run/systemd/system/{instance}.service.d"

    def fake(hours):
        text = DROP_IN.format(library=library, hours=hours)
        deployed.run("app1", f"mkdir -p {folder} && cat > {folder}/clock.conf <<'END'\n{text}END")
        deployed.run("app1", f"systemctl daemon-reload; systemctl restart {instance}")

    yield fake
    deployed.run("app1", f"rm -r {folder}; systemctl daemon-reload; systemctl restart {instance}")
    assert deployed.comes_back() is None


@pytest.mark.parametrize("hours", [-2, 2])
def test_applications_clock_is_wrong(deployed, suffered, faked, hours):
    """An hour on each of two hosts; the database's certificate was made just now."""
    deployed.run("db1", "rm /etc/greenrack/tls/host.crt")
    run = deployed.play("site.yml", "-e", "server=uwsgi_gevent", "--tags", "postgresql")
    assert run.code == 0, run.output
    faked(hours)
    said = deployed.comes_back()
    assert said is None, said
    # uWSGI writes down what time it believes it is.
    since = deployed.run(
        "app1", f"systemctl show --value --property=InvocationID {deployed.instance()}"
    )
    line = deployed.run(
        "app1", f"journalctl --output=cat _SYSTEMD_INVOCATION_ID={since} | grep 'Starting uWSGI'"
    )
    begun = time.strptime(line.split("[")[1].split("]")[0])
    now = time.strptime(deployed.run("app1", "date --utc '+%a %b %d %H:%M:%S %Y'"))
    ahead = (time.mktime(begun) - time.mktime(now)) / 3600
    assert abs(ahead - hours) < 0.1, (line, ahead)
    psql = f'runuser -u postgres -- psql -XAtc "{END}"'
    felt = suffered(
        f"the application's clock {abs(hours)} h {'fast' if hours > 0 else 'slow'}, new connections",
        "no effect",
        lambda: deployed.run("db1", psql),
        lambda: None,
        lasts=10,
    )
    felt.unaffected("page", "unrelated")
    # What was under way when its connection was ended.
    assert len(felt.failed("database")) <= felt.in_flight("database") + 2, felt
