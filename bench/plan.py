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

from bench.cell import is_name
from bench.errors import BadInput
from bench.experiment import AGAIN
from bench.keys import CELL, KINDS, LOAD, NEEDED, TOP, Keys
from bench.nodes import Nodes, compose

MOST_OF_AB = 20_000  # its own limit
SHIPPED = Path(__file__).parent / "plans"


def plan_path(name: str) -> Path:
    """Return the file of a plan: one of ours by its name, or a path. Raises BadInput."""
    path = SHIPPED / f"{name}.yml" if is_name(name) else Path(name)
    if not path.is_file():
        ours = sorted(file.stem for file in SHIPPED.glob("*.yml"))
        (nearest,) = difflib.get_close_matches(name, ours, n=1) or ["quick"]
        raise BadInput(
            f"there is no plan {name}",
            f"the path of a YAML file, or one of ours: {', '.join(ours)}",
            f"-e bench_plan={nearest}",
        )
    return path


def read_plan(
    path: Path, modes: Collection[str] = (), load_hosts: int = 1, limit: float = math.inf
) -> dict[str, Any]:
    """Return the plan in the file, whole; raise BadInput naming the line that is wrong.

    `modes`: the server modes there are, empty where that is not known; `load_hosts`: how many hosts share a
    load; `limit`: the seconds after which one is ended. The plan has a key more, `file`, and so have its cells, `line`.
    """
    return _Reader(path, modes, load_hosts, limit).plan(compose(path))


class _Reader(Nodes):
    """Makes a plan of a file's nodes."""

    def __init__(self, path: Path, modes: Collection[str], load_hosts: int, limit: float) -> None:
        super().__init__(path)
        self.modes, self.load_hosts, self.limit = modes, load_hosts, limit

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
                self.one_of(where, f"cell {cell['name']}: there is no load", name, names)
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
        again = f"{twin['name']}{AGAIN}"
        if again in known or not is_name(again):
            why = "there is such a cell" if again in known else "that is too long"
            raise self.wrong(
                next(where for cell, where in cells if cell is twin),
                f"{twin['name']} is measured twice, the second time as {again}, and {why}",
                f"a name of at most {60 - len(AGAIN)} letters that leaves the duplicate one",
                "name: ...",
            )
        plan["cells"].append(twin | {"name": again, "duplicate_of": twin["name"]})
        return plan

    def cell(self, node: yaml.Node) -> dict[str, Any]:
        cell, at = self.mapping(node, CELL, "a cell")
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
        pairs = self.pairs(node) if isinstance(node, yaml.MappingNode) else {}
        _, kind = pairs.get("kind", (None, None))
        named = self.value(kind) if kind else "closed"
        if named not in list(KINDS):
            raise self.wrong(kind, f"kind is {named!r}", ", ".join(KINDS), "kind: open")
        load, at = self.mapping(node, LOAD | KINDS[named], f"a load that is {named}")
        problem = _nonsense(load) or _unshared(load, self.load_hosts) or _too_long(load, self.limit)
        if problem:
            key, wrong, valid = problem
            raise self.wrong(
                at.get(key, node), f"load {load['name']}: {wrong}", valid, f"{key}: ..."
            )
        return load

    def mapping(
        self, node: yaml.Node | None, keys: Keys, what: str
    ) -> tuple[dict[str, Any], dict[str, yaml.Node]]:
        """Return what the mapping says, and the node of each key."""
        if not isinstance(node, yaml.MappingNode):
            wrong = "the file is empty" if node is None else f"this is not {what}"
            raise self.wrong(node, wrong, f"the keys {', '.join(keys)}", "KEY: VALUE")
        pairs = self.pairs(node)
        for name, (key, _) in pairs.items():
            self.one_of(key, f"{what} has no key", name, keys)
        said = {}
        for name, (good, valid, default) in keys.items():
            if name not in pairs:
                if default is NEEDED:
                    wrong = f"{what} lacks {name}"
                    raise self.wrong(node, wrong, f"{name}: {valid}", f"{name}: ...")
                said[name] = default
                continue
            where = pairs[name][1]
            value = self.value(where)
            if not (isinstance(value, good) if isinstance(good, type) else good(value)):
                raise self.wrong(where, f"{name} is {repr(value)[:60]}", valid, f"{name}: ...")
            said[name] = value
        return said, {name: value for name, (_, value) in pairs.items()}

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
            (nearest,) = difflib.get_close_matches(str(value), valid, n=1, cutoff=0)
            raise self.wrong(node, f"{wrong}: {value}", ", ".join(valid), nearest)


def _nonsense(load: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return the key, what is wrong with the load, and what would be valid; None if all is well."""
    if load["kind"] != "closed" and load["engine"] != "h2load":
        return "engine", f"{load['engine']} makes no {load['kind']} load", "h2load"
    if load["kind"] == "closed":
        if load["engine"] == "ab" and load["concurrency"] > MOST_OF_AB:
            return "concurrency", "more clients than ab takes", f"{MOST_OF_AB}, or engine: h2load"
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
