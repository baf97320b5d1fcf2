"""A plan: which cells (mode and switches) meet which loads, how often, and what decides.

A YAML file. `read_plan` gives it back as a dictionary in which everything is said, with the duplicate
that measures the noise floor added to the cells; docs/benchmark.md explains each key.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.cell import is_count, is_name, is_seconds, is_text
from bench.errors import BadInput

SHIPPED = Path(__file__).parent / "plans"
# What a key may hold: the check, what is valid in words, and the default, None for none.
Keys = dict[str, tuple[Any, str, Any]]
TOP: Keys = {
    "title": (is_text, "a sentence", "Which mode serves my application best?"),
    "rounds": (is_count, "how often everything is measured at most, from 1", 10),
    "least_rounds": (is_count, "the rounds after which it may stop early, from 1", 6),
    "tight": (lambda value: is_seconds(value) and 0 < value < 1, "a share, such as 0.03", 0.03),
    "seed": (is_count, "a whole number from 1, for the order", 1),
    "decides": (is_name, "the name of a load", None),
    "duplicate": (is_name, "the name of a cell, which is measured twice", None),
    "cells": (list, "a list", None),
    "loads": (list, "a list", None),
}
CELL: Keys = {
    "name": (is_name, "letters, digits, _ and -, at most 60", None),
    "server": (is_name, "a server mode", None),
    "switches": (dict, "variables as -e takes them", {}),
    "published": (is_seconds, "requests a second somebody else has published", None),
    "loads": (list, "names of loads", None),
}
LOAD: Keys = {
    "name": (is_name, "letters, digits, _ and -, at most 60", None),
    "kind": (is_text, "closed, open or search", "closed"),
    "engine": (lambda value: value in ("h2load", "ab"), "h2load or ab", "h2load"),
    "path": (lambda value: is_text(value) and value[0] == "/", "path and query, from its /", None),
    "delay": (is_seconds, "seconds a request takes at least; 0 if not known", 0),
}
_RATE = (is_count, "requests a second, a whole number from 1", None)
_SECONDS = (is_count, "seconds, a whole number from 1", 10)
KINDS: dict[str, Keys] = {
    "closed": {
        "requests": (is_count, "how many, from 1", None),
        "concurrency": (is_count, "how many at once, from 1", None),
        "ramp": (is_count, "connections opened a second, a multiple of 100", None),
    },
    "open": {"rate": _RATE, "seconds": _SECONDS},
    "search": {
        "objective": (is_seconds, "seconds p99 may take at most", None),
        "from": _RATE,
        "to": _RATE,
        "seconds": _SECONDS,
    },
}
OPTIONAL = {"published", "loads", "ramp"}


def plan_path(name: str) -> Path:
    """Return the file of a plan: one of ours by its name, or a path. Raises BadInput."""
    path = SHIPPED / f"{name}.yml" if is_name(name) else Path(name)
    if not path.is_file():
        ours = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yml")))
        raise BadInput(
            f"there is no plan {name}",
            f"the path of a YAML file, or one of ours: {ours}",
            "-e bench_plan=quick",
        )
    return path


def read_plan(
    path: Path, modes: Collection[str] = (), load_hosts: int = 1, limit: float = math.inf
) -> dict[str, Any]:
    """Return the plan in the file, whole; raise BadInput naming the line that is wrong.

    `modes`: the server modes there are, empty where that is not known; `load_hosts`: how many hosts share a
    load; `limit`: the seconds after which one is ended. The plan has a key more, `file`, and so have its cells, `line`.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as why:
        said = " ".join(str(why).split())
        raise BadInput(
            f"cannot read the plan: {said}", "a YAML file", "-e bench_plan=FILE"
        ) from why
    return _Reader(path, modes, load_hosts, limit).plan(node)


class _Reader:
    """Goes through a plan's YAML nodes, which know their lines."""

    def __init__(self, path: Path, modes: Collection[str], load_hosts: int, limit: float) -> None:
        self.path, self.modes, self.load_hosts, self.limit = path, modes, load_hosts, limit

    def wrong(self, node: yaml.Node | None, wrong: str, valid: str, type_: str) -> BadInput:
        line = node.start_mark.line + 1 if node else 1
        return BadInput(f"{self.path}, line {line}: {wrong}", valid, type_)

    def plan(self, node: yaml.Node | None) -> dict[str, Any]:
        plan, at = self.mapping(node, TOP, "a plan")
        plan["name"] = self.path.stem
        plan["file"] = plan["name"] if self.path.parent == SHIPPED else str(self.path)
        loads = list(self.items(at["loads"], self.load))
        cells = list(self.items(at["cells"], self.cell))
        plan["loads"], plan["cells"] = [load for load, _ in loads], [cell for cell, _ in cells]
        for what, found in (("load", loads), ("cell", cells)):
            self.unique(what, found)
        names = [load["name"] for load in plan["loads"]]
        for cell, where in cells:
            cell["loads"] = cell["loads"] or names
            for name in cell["loads"]:
                self.one_of(where, f"cell {cell['name']}: there is no load {name}", name, names)
        plan["decides"] = plan["decides"] or names[0]
        plan["duplicate"] = plan["duplicate"] or plan["cells"][0]["name"]
        self.one_of(at.get("decides"), "decides names no load", plan["decides"], names)
        kinds = {load["name"]: load["kind"] for load in plan["loads"]}
        if kinds[plan["decides"]] == "open":
            wrong = f"{plan['decides']} decides, and under an open load every mode that keeps up has the same rate"
            raise self.wrong(
                at.get("decides"), wrong, "a closed load, or a search", "decides: LOAD"
            )
        known = [cell["name"] for cell in plan["cells"]]
        self.one_of(at.get("duplicate"), "duplicate names no cell", plan["duplicate"], known)
        plan["least_rounds"] = min(plan["least_rounds"], plan["rounds"])
        twin = next(cell for cell in plan["cells"] if cell["name"] == plan["duplicate"])
        if plan["decides"] not in twin["loads"]:
            raise self.wrong(
                at.get("duplicate"),
                f"the duplicate {twin['name']} does not meet the load that decides, {plan['decides']}",
                "a cell that does",
                "duplicate: CELL",
            )
        again = f"{twin['name']}-again"
        self.one_of(
            at.get("duplicate"), f"{again} is the duplicate's name", again, {again} - {*known}
        )
        plan["cells"].append(twin | {"name": again, "duplicate_of": twin["name"]})
        return plan

    def cell(self, node: yaml.Node) -> dict[str, Any]:
        cell, at = self.mapping(node, CELL, "a cell", {"name": ""})
        cell["name"] = cell["name"] or cell["server"]
        if self.modes:
            self.one_of(at["server"], "no server mode", cell["server"], self.modes)
        if "server" in cell["switches"]:
            raise self.wrong(
                at["switches"],
                "server is a key of the cell, and no switch",
                "the other switches",
                "server: MODE",
            )
        return cell | {"duplicate_of": None, "line": node.start_mark.line + 1}

    def load(self, node: yaml.Node) -> dict[str, Any]:
        kind = next((value for key, value in _pairs(node) if key.value == "kind"), None)
        named = kind.value if kind else "closed"
        if named not in list(KINDS):
            raise self.wrong(kind, f"kind is {named}", ", ".join(KINDS), "kind: open")
        load, at = self.mapping(node, LOAD | KINDS[named], f"a load that is {named}")
        problem = _nonsense(load) or _unshared(load, self.load_hosts) or _too_long(load, self.limit)
        if problem:
            key, wrong, valid = problem
            raise self.wrong(
                at.get(key, node), f"load {load['name']}: {wrong}", valid, f"{key}: ..."
            )
        return load

    def mapping(
        self, node: yaml.Node | None, keys: Keys, what: str, given: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, yaml.Node]]:
        """Return what the mapping says, and the node of each key."""
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(
                node, f"this is not {what}", f"the keys {', '.join(keys)}", "KEY: VALUE"
            )
        values = yaml.SafeLoader("").construct_document(node) if node.value else {}
        at = {}
        for key, value in _pairs(node):
            if key.value in at:
                raise self.wrong(key, f"{key.value} stands there twice", "each key once", "")
            at[key.value] = value
            self.one_of(key, f"{what} has no {key.value}", key.value, keys)
        said = dict(given or {})
        for name, (good, valid, default) in keys.items():
            if name not in values and (
                default is not None or name in OPTIONAL | {"decides", "duplicate"}
            ):
                said[name] = default
            elif name not in values and name not in said:
                raise self.wrong(node, f"{what} lacks {name}", f"{name}: {valid}", f"{name}: ...")
            elif name in values:
                value = values[name]
                if not (isinstance(value, good) if isinstance(good, type) else good(value)):
                    raise self.wrong(at[name], f"{name} is {value!r}", valid, f"{name}: ...")
                said[name] = value
        return said, at

    def items(self, node: yaml.Node, read: Any) -> Iterator[tuple[dict[str, Any], yaml.Node]]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.wrong(node, "this list is empty", "at least one", "- {name: ..., ...}")
        for item in node.value:
            yield read(item), item

    def unique(self, what: str, found: list[tuple[dict[str, Any], yaml.Node]]) -> None:
        seen: set[str] = set()
        for item, node in found:
            if item["name"] in seen:
                raise self.wrong(
                    node, f"there are two {what}s {item['name']}", "a name for each", "name: ..."
                )
            seen.add(item["name"])

    def one_of(
        self, node: yaml.Node | None, wrong: str, value: Any, valid: Collection[str]
    ) -> None:
        if value not in valid:
            close = difflib.get_close_matches(str(value), valid, n=1) or sorted(valid)[:1]
            raise self.wrong(node, f"{wrong}: {value}", ", ".join(valid), "".join(close))


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _nonsense(load: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return the key, what is wrong with the load, and what would be valid; None if all is well."""
    if load["kind"] != "closed" and load["engine"] != "h2load":
        return "engine", f"{load['engine']} makes no {load['kind']} load", "h2load"
    if load["kind"] == "closed":
        if load["requests"] < load["concurrency"]:
            return "requests", "fewer requests than clients", f"{load['concurrency']} or more"
        if load["ramp"] and load["ramp"] % 100:
            return "ramp", "the ramp is no multiple of 100", "100, 200, ..."
    if load["kind"] == "open" and not any(
        load["rate"] * ms >= 1000 and load["rate"] * ms % 1000 == 0 for ms in range(10, 101)
    ):
        return "rate", f"h2load keeps no rate of {load['rate']}", "a multiple of 10, such as 150"
    if load["kind"] == "search":
        if load["from"] % 10 or load["to"] % 10 or load["from"] >= load["to"]:
            return "from", "from and to are no range", "multiples of 10, from below to"
        if load["objective"] <= load["delay"]:
            return "objective", "no answer can come before its delay", f"above {load['delay']}"
    return None


def _too_long(load: dict[str, Any], limit: float) -> tuple[str, str, str] | None:
    """Return why the load cannot end in time however fast the server is, as _nonsense does."""
    if load["kind"] == "closed":
        key, least = "requests", load["delay"] * math.ceil(load["requests"] / load["concurrency"])
    elif load["kind"] == "open":
        key, least = "seconds", load["seconds"] + load["delay"]
    else:  # by bisection, of which the lucky half takes a try less
        tries = math.floor(math.log2((load["to"] - load["from"]) / 10 + 2))
        key, least = "seconds", tries * load["seconds"]
    if least <= limit:
        return None
    wrong = f"takes {least:.0f} s at least, and is ended after {limit:.0f} s"
    return key, wrong, f"fewer {key}, or -e benchmark_limit={math.ceil(1.5 * least)}"


def _unshared(load: dict[str, Any], hosts: int) -> tuple[str, str, str] | None:
    """Return what keeps so many load hosts from sharing the load, as _nonsense does."""
    if hosts == 1:
        return None
    if load["kind"] == "search":
        return "kind", "a search is made by one load host", "one host in the group load"
    if load["engine"] != "h2load":
        return "engine", f"{hosts} load hosts cannot share a load of {load['engine']}", "h2load"
    steps = {"requests": 1, "concurrency": 1, "ramp": 100, "rate": 10}
    for key, step in steps.items():
        if (load.get(key) or 0) % (hosts * step):
            return (
                key,
                f"{hosts} load hosts cannot share {key} {load[key]}",
                f"a multiple of {hosts * step}",
            )
    return None
