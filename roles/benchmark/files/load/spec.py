"""What a load is to be: whether it can be made, and by which command."""

import shutil
from fractions import Fraction

# h2load opens K connections each P ms. When it is late by more than P, all after that is late too: on two busy cores,
# 1000/s came as 697/s with 1 ms and 999/s with 10. So P is 10 at least.
PERIODS = range(10, 101)
PACKAGES = {"h2load": "nghttp2-client", "ab": "apache2-utils"}
KEYS = {
    "closed": {"requests": 1, "concurrency": 1},
    "open": {"rate": 0, "seconds": 0},
    "search": {"from": 10, "to": 10, "seconds": 0, "objective": 0},
}


class Wrong(Exception):
    """What was asked for cannot be done: what is wrong, what is valid, what to type."""

    def __str__(self):
        return "error: {}\n  valid: {}\n  type:  {}".format(*self.args)


def pace(rate):
    """Return K and P: h2load opens K connections each P ms, and that is the rate."""
    for period in PERIODS:
        number = Fraction(str(rate)) * period / 1000
        if number >= 1 and number.denominator == 1:
            return int(number), period
    near = [r for r in range(10, int(rate) + 20) if r % 10 == 0 or r % 25 == 0 or r % 125 == 0]
    valid = [r for r in near if r < rate][-1:] + [r for r in near if r > rate][:1]
    told = " or ".join(map(str, valid))
    raise Wrong(f"h2load keeps no rate of {rate}/s", f"next to it {told}", f'"rate": {valid[0]}')


def checked(spec):
    """Return the load if it can be run; Wrong says why not."""
    kind, engine = spec.get("kind"), spec.get("engine")
    if kind not in KEYS:
        raise Wrong(f"the load's kind is {kind}", ", ".join(KEYS), '"kind": "closed"')
    if engine not in (PACKAGES if kind == "closed" else ["h2load"]):
        raise Wrong(f"{engine} makes no {kind} load", "h2load", '"engine": "h2load"')
    if shutil.which(engine) is None:
        wrong, package = f"{engine} is not installed on this host", PACKAGES[engine]
        raise Wrong(wrong, package, f"apt-get install {package}")
    if not str(spec.get("url")).startswith("http"):
        raise Wrong(f"the url is {spec.get('url')}", "a URL", '"url": "http://10.0.0.1/"')
    for key, least in KEYS[kind].items():
        value = spec.get(key)
        if type(value) not in (int, float) or value < least or not value:
            raise Wrong(f"{key} is {value!r}", f"a number from {least}, unquoted", f'"{key}": 10')
    if kind == "closed" and spec["requests"] < spec["concurrency"]:
        raise Wrong("fewer requests than clients", "requests >= concurrency", '"requests": 2000')
    if kind == "closed" and (spec.get("ramp") or 0) % 100:
        raise Wrong(f"the ramp is {spec['ramp']}", "a multiple of 100, or 0", '"ramp": 1000')
    if kind == "open" and pace(spec["rate"]) and spec["rate"] * spec["seconds"] % 1:
        raise Wrong("rate * seconds is no whole number", "whole requests", '"seconds": 10')
    if kind == "search" and not rates_of(spec):
        raise Wrong("no multiple of 10 lies between from and to", "50 to 400", '"to": 400')
    return spec


def rates_of(spec):
    """Return the rates a search chooses from."""
    return range(-(-int(spec["from"]) // 10) * 10, int(spec["to"]) + 1, 10)


def command(spec, rate=None):
    """Return the engine's command line for the load, or for an open one at a rate."""
    # h2load sends a Host header beside its own, and servers refuse two; its own is called :authority.
    host = {"ab": "Host", "h2load": ":authority"}[spec["engine"]]
    headers = []
    for name, value in (("User-Agent", spec.get("agent")), (host, spec.get("host"))):
        headers += ["-H", f"{name}: {value}"] if value else []
    if rate:
        (number, period), requests = pace(rate), f"{rate * spec['seconds']:.0f}"
        size = ["-c", requests, "-n", requests, "-r", f"{number}", f"--rate-period={period}ms"]
        size += ["-N", "60", "-H", "Connection: close"]
    else:
        requests, clients = f"{spec['requests']:.0f}", f"{spec['concurrency']:.0f}"
        if spec["engine"] == "ab":
            return ["ab", "-r", "-n", requests, "-c", clients, *headers, "-g", "log", spec["url"]]
        ramp = (
            ["-r", f"{spec['ramp'] // 100:.0f}", "--rate-period=10ms"] if spec.get("ramp") else []
        )
        size = ["-c", clients, *ramp, "-n", requests]
    return ["h2load", "--h1", "-t1", *size, *headers, "--log-file=log", spec["url"]]
