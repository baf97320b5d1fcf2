"""What a session was measured on: the fingerprint of its hosts, and what the application was made of."""

import math
from typing import Any

from bench.experiment import Doc, Experiment

MOST = 6  # differences that are told
_PASSING = ("clock",)  # what a fingerprint says of the moment, not of the host
# What a deploy or a measurement sets by itself, and the group of hosts on which it does.
_SET = {
    "net.core.somaxconn": "app",
    "net.ipv4.ip_local_port_range": "load",
    "net.ipv4.tcp_tw_reuse": "load",
}
_BOOTED = 0.01  # the share of its memory that a host may have more or less after a boot


def fingerprint(session: Doc | None, part: str) -> Doc:
    """Return the "hosts" or the "controller" of a session.json; empty where it has none."""
    found = ((session or {}).get("fingerprint") or {}).get(part) or {}
    return {
        name: {key: value[key] for key in value if key not in _PASSING}
        if isinstance(value, dict)
        else value
        for name, value in found.items()
    }


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return in what two of them differ, a line for each value."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        inner = [
            differences(one.get(key), other.get(key), f"{where}.{key}".lstrip(".")) for key in keys
        ]
        return [line for lines in inner for line in lines]
    return [] if one == other else [f"{where}: {_short(one)} and {_short(other)}"]


def moved(begun: Doc, now: Doc) -> list[str]:
    """Return in what the hosts are not those any more that a session was begun on; nothing where one is not known.

    What a session changes by itself is left out: on some hosts sysctls, and of packages those that
    are not in both, since a cell may install what it needs.
    """
    if not begun or not now:
        return []
    return differences(_lasting(begun, now), _lasting(now, begun))


def _lasting(hosts: Doc, others: Doc) -> Doc:
    return {
        name: _kept(host, others.get(name, host)) if isinstance(host, dict) else host
        for name, host in hosts.items()
    }


def _kept(host: Doc, other: Any) -> Doc:
    """Return what of a host is to be the same in the other, without what may be otherwise."""
    other = other if isinstance(other, dict) else {}
    kept = {**host}
    if _as_much(kept.get("memory"), other.get("memory")):
        del kept["memory"]
    for part, left_out in {"packages": _own(host, other), "sysctls": _set_on(host)}.items():
        if isinstance(kept.get(part), dict):
            kept[part] = {key: kept[part][key] for key in kept[part] if key not in left_out}
    return kept


def _own(host: Doc, other: Doc) -> Doc:
    """Return the packages that this host alone has."""
    ours, theirs = (_packages(one) for one in (host, other))
    return {name: ours[name] for name in ours if name not in theirs}


def _packages(host: Doc) -> Doc:
    found = host.get("packages")
    return found if isinstance(found, dict) else {}


def _set_on(host: Doc) -> set[str]:
    groups = host.get("groups") or []
    return {name for name, group in _SET.items() if group in groups}


def _as_much(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int) and isinstance(other, int)
    return numbers and math.isclose(one, other, rel_tol=_BOOTED)


def alone(session: Doc | None, other: Doc | None) -> Doc:
    """Return, by host, the packages that it had in the one session alone."""
    hosts, others = (fingerprint(one, "hosts") for one in (session, other))
    return {
        name: {"packages": _own(host, others[name])}
        for name, host in hosts.items()
        if isinstance(host, dict) and isinstance(others.get(name), dict)
    }


def versions(experiment: Experiment) -> dict[str, str]:
    """Return the version of each distribution that the application ran with, of several all."""
    found: dict[str, set[str]] = {}
    docs = (run.doc for runs in experiment.runs.values() for run in runs.values())
    for use in (use for doc in docs for use in doc["cell"].get("app") or []):
        for name, version in (use.get("versions") or {}).items():
            found.setdefault(name, set()).add(str(version))
    return {name: ", ".join(sorted(found[name])) for name in sorted(found)}


def _short(value: Any) -> str:
    return "none" if value is None else str(value)[:60]
