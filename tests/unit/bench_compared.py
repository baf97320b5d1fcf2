"""What the tests of two sessions side by side share: sessions on hosts of a speed, and the table as values."""

import copy
import re

from bench_sessions import Mode, about, experiment

MODES = [Mode("a"), Mode("b", 0.5, 2.0)]
SESSION = about(MODES)


def elsewhere(session=SESSION):
    other = copy.deepcopy(session)
    other["fingerprint"]["hosts"]["app1"]["cpu"] = "another"
    return other


def made(modes=MODES, session=SESSION, seed=0, speed=1.0, control=21_000.0, noise=0.01):
    """Return a session measured on hosts of a speed, which the control shows as well."""

    def faster(doc):
        doc["requests_per_second"] *= speed
        doc["cell"]["app"][0]["cpu_seconds"] /= speed
        doc["cell"]["control"] = control * speed if control else None

    return experiment(session, modes, seed, edit=faster, noise=noise, drift=0)


def table(text):
    """Return {(cell, load): (throughput, CPU)}, the mark of a difference left in."""
    rows = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    return {(row[0], row[1]): tuple(row[4:6]) for row in rows if len(row) == 6}
