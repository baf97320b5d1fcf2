"""How late the requests of an open load were started, and what that makes of it: read from h2load's log."""

import re

from spec import pace

RESENT = 1.0  # seconds after which the kernel asks again for a connection
ENOUGH = 1000  # requests a p99 needs


def told(folder):
    """Return the rows of h2load's log, sorted (start, status, seconds), and when it began by its own report."""
    rows = [line.split("\t") for line in (folder / "log").read_text().splitlines()]
    rows = sorted((int(r[0]) / 1e6, int(r[1]), int(r[2]) / 1e6) for r in rows if len(r) >= 3)
    text = (folder / "stdout").read_text(errors="replace")
    found = re.search(r"^finished in ([\d.]+)(us|ms|s),", text, re.M)
    took = float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[found[2]] if found else 0
    return rows, max((start + duration for start, _, duration in rows), default=0) - took


def late(starts, number, period, began):
    """Return by how much each start, in order, is later than it was due.

    A start is when the connection stands: where that took long, the request is late, and its duration is short.
    h2load tells when it began to 10 ms only, so that counts where the first start was late as well.
    """
    off = [start - i // number * period / 1000 for i, start in enumerate(starts)]
    first = began if began < min(off) - 0.02 else min(off)
    return [value - first for value in off]


def lateness(rows, began, rate, resent):
    """Return by how much each of the rows, in order, was started later than it was due.

    A connection that was asked for again came a second later, but its row takes another's place, so that all seem a bit
    late: what they are late together is right. The slowest are taken for those, and the others are that much less late.
    """
    lates = late([row[0] for row in rows], *pace(rate), began)
    total, first = sum(lates), rows[0][0] - lates[0]
    # None that was started in the first second; its begin is known to 10 ms.
    possible = [i for i, row in enumerate(rows) if row[0] - first > 0.9 * RESENT]
    possible.sort(key=lambda i: lates[i] + rows[i][2], reverse=True)
    again = possible[: min(resent, round(total / RESENT))]
    if again:
        lates = [value * max(0, 1 - len(again) * RESENT / total) for value in lates]
    for i in again:
        lates[i] = min(lates[i] + RESENT, rows[i][0] - first)
    return lates


def rank(values, share):
    """Return the percentile by nearest rank."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]


def judged(rows, began, spec, rate, resent):
    """Return how many requests failed, the p99 since they were due, and how late they were started, together and each.

    Where some have no row, the others' places are not known, and neither are these.
    """
    requests = round(rate * spec["seconds"])
    failed = requests - sum(200 <= status <= 299 for _, status, _ in rows)
    if len(rows) != requests:
        return failed, None, None, None
    lates = lateness(rows, began, rate, resent)
    p99 = rank(
        [value + row[2] for value, row in zip(lates, rows)], 99 if requests >= ENOUGH else 100
    )
    lag = {"p50": rank(lates, 50), "p99": rank(lates, 99), "max": max(lates)}
    return failed, None if failed else p99, lag, lates


def mark(log, rows, lates):
    """Write behind each row of a log how late it was started: h2load's duration begins when the connection stands."""
    text = "{:.0f}\t{}\t{:.0f}\tlate={:.0f}\n"
    told = ((1e6 * row[0], row[1], 1e6 * row[2], 1e6 * value) for row, value in zip(rows, lates))
    log.write_text("".join(text.format(*one) for one in told))
