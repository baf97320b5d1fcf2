"""Rows written to the database while its host loses its power: what was acknowledged, and what is there."""

from tests.faults.hosts import power_off

# Four at once, each a row to a transaction, by an address of its own; the address of each that was acknowledged.
WRITER = """
import itertools, os, psycopg2, threading
def write(number):
    link = psycopg2.connect(os.environ["DATABASE_URL"], tcp_user_timeout=5000)
    link.autocommit = True
    with link.cursor() as cursor:
        for row in itertools.count(1):
            address = f"2001:db8::{number:x}:{row:x}"
            cursor.execute("INSERT INTO visits (client) VALUES (%s)", (address,))
            os.write(1, f"{address}\\n".encode())
several = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
[one.start() for one in several]
[one.join() for one in several]
"""
THERE = "SELECT host(client) FROM visits WHERE client <<= inet '2001:db8::/32'"


def write_until_it_fails(lab):
    """Write rows from the application's host; when some hundred are acknowledged, cut the power of the database's."""
    lab.run("db1", "runuser -u postgres -- psql -XAt -c 'TRUNCATE visits' demo")
    python = lab.run("app1", "ls -d /srv/demo/envs/*/bin/python | head -1")
    environment = f"/etc/{lab.instance()}.env"
    lab.run("app1", f"cat > /run/writer.py <<'END'\n{WRITER}END")
    start = (
        f"rm -f /run/kept; systemd-run --unit=writer --uid=demo --property=EnvironmentFile={environment} "
        f"--property=StandardOutput=file:/run/kept {python} /run/writer.py"
    )
    lab.run("app1", f"{start}; until [ $(wc -l < /run/kept) -gt 500 ]; do sleep 0.1; done")
    power_off(lab, "db1")


def rows(lab):
    """Return the rows that were acknowledged, and those that are there now."""
    lab.run("app1", "systemctl stop writer; systemctl reset-failed writer; true")
    kept = lab.run("app1", "grep ^2001:db8: /run/kept").split()  # it says there too why it ended
    there = lab.run("db1", f'runuser -u postgres -- psql -XAt -c "{THERE}" demo').split()
    return set(kept), set(there)
