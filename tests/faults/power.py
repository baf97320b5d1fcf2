"""Rows written to the database while its host loses its power: what was acknowledged, and what is there."""

from tests.faults.hosts import power_off

# Four at once, each a row to a transaction; a line for each that was acknowledged.
WRITER = """
import os, psycopg2, threading
def write(number):
    link = psycopg2.connect(os.environ["DATABASE_URL"], tcp_user_timeout=5000)
    link.autocommit = True
    with link.cursor() as cursor:
        while True:
            cursor.execute("INSERT INTO visits (client) VALUES (%s)", (f"192.0.2.{number}",))
            os.write(1, b"kept\\n")
several = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
[one.start() for one in several]
[one.join() for one in several]
"""
COUNT = "SELECT count(*) FROM visits WHERE client <<= inet '192.0.2.0/24'"


def write_until_it_fails(lab):
    """Write rows from the application's host; when some hundred are acknowledged, cut the power of the database's."""
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
    """Return how many rows were acknowledged, and how many are there now."""
    lab.run("app1", "systemctl stop writer; systemctl reset-failed writer; true")
    kept = int(lab.run("app1", "grep -c '^kept$' /run/kept"))  # it says there too why it ended
    return kept, int(lab.run("db1", f'runuser -u postgres -- psql -XAt -c "{COUNT}" demo'))
