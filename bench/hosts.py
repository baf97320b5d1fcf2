"""What a session was measured on: the fingerprint of its hosts, and what the application was made of."""

from typing import Any

from bench.experiment import Doc, Experiment

MOST = 6  # differences that are told
_PASSING = ("clock",)  # what a fingerprint says of the moment, not of the host
# What a deploy or a measurement sets, and what is not the same to the byte after a reboot.
_MOVING = (
    *("memory", "net.core.somaxconn"),
    *("net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_reuse"),
)


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

    Of packages, only those that were there and are: a cell may install what it needs.
    """
    if not begun or not now:
        return []
    return differences(_lasting(begun, now), _lasting(now, begun))


def _lasting(hosts: Doc, others: Doc) -> Doc:
    return {name: _both(host, others.get(name, host)) for name, host in hosts.items()}


def _both(one: Any, other: Any) -> Any:
    """Return what one of two hosts has of that which both have."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one
    return {
        key: _both(value, other[key])
        for key, value in one.items()
        if key in other and key not in _MOVING
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
