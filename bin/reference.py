"""Writes docs/variables.md, every variable there is, from what the roles and the shipped inventories say of them.

`make reference` runs it; with --check it only says whether the page is current (exit code 1: it is not).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "variables.md"
TOPOLOGY = "inventories/topology.yml"
SHIPPED = "inventories/example/group_vars/all"
PREFLIGHT = "roles/preflight/vars/main.yml"
STALE = "docs/variables.md does not say what the roles do. Type: make reference"

HEAD = f"""\
# Variables

Written by `make reference`, from the roles' `meta/argument_specs.yml`, [topology.yml](../{TOPOLOGY}) and preflight.
What an application needs, told at length: [your-own-hosts.md](your-own-hosts.md).

| set by | |
|---|---|
| you | in your inventory, or with `-e`; by another name, where one stands there, for several roles take it |
| topology | `topology.yml` works it out from the inventory's groups; what your inventory says wins |
| a run | the roles and playbooks: leave it alone |

A name that is nearly one of these is refused as misspelt.
"""
# A template that is nothing but a variable, or what is taken without it.
ALIAS = re.compile(
    r"\{\{ (\w+) \| default\(((?:[^()]|\([^()]*\))+)\)(?: \| (?:bool|int|replace\([^)]*\)))* \}\}"
)


@cache
def loaded(name: str) -> Any:
    """Return what is in a YAML file of the repository."""
    return yaml.load((ROOT / name).read_text(encoding="utf-8"), yaml.CSafeLoader)


@cache
def roles() -> dict[str, dict[str, Any]]:
    """Return {role: {variable: its spec}}, of all of the role's entry points."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        specs = loaded(str(path.relative_to(ROOT)))["argument_specs"]
        found[path.parts[-3]] = {
            name: option for spec in specs.values() for name, option in spec["options"].items()
        }
    return found


@cache
def described() -> dict[str, dict[str, Any]]:
    """Return {variable: its spec}, of the first role that has it."""
    found: dict[str, dict[str, Any]] = {}
    for options in roles().values():
        found |= {name: spec for name, spec in options.items() if name not in found}
    return found


def computed(value: Any) -> bool:
    """Return whether a value is worked out by a template."""
    return any(mark in str(value) for mark in ("{{", "{%"))


def names_given(value: Any) -> set[str]:
    """Return the variables that a template takes where somebody set them: NAME | default(...)."""
    return set(re.findall(r"(?<!\| )(?<![.\w])([a-z_][a-z0-9_]*) \| default\(", str(value)))


def value_of(name: str) -> Any:
    """Return what a role's variable is when nobody sets it: what topology.yml says, or else its default."""
    return loaded(TOPOLOGY).get(name, described()[name].get("default"))


def is_alias(name: str, taker: str) -> bool:
    """Return whether a role's variable is nothing but another's value, or a default."""
    found = ALIAS.fullmatch(str(value_of(taker)))
    return found is not None and found[1] == name


def takers(name: str) -> list[str]:
    """Return the roles' variables that take a name's value; those that are nothing but it come first."""
    found: list[str] = []
    values = {**{n: spec.get("default") for n, spec in described().items()}, **loaded(TOPOLOGY)}
    for taker, value in values.items():
        if name in names_given(value):
            found += [taker] if taker in described() else takers(taker)
    return sorted(dict.fromkeys(found), key=lambda taker: not is_alias(name, taker))


@cache
def switches() -> dict[str, str]:
    """Return what is chosen with -e, and what the comment beside it says, if any."""
    text = (ROOT / PREFLIGHT).read_text(encoding="utf-8")
    said = dict(re.findall(r"^  - (\w+) +# (.+)$", text, re.M))
    return {name: said.get(name, "") for name in loaded(PREFLIGHT)["__preflight_switches"]}


@cache
def short_names() -> list[str]:
    """Return what else roles take by a shorter name: the application's variables, mostly."""
    values = [spec.get("default") for spec in described().values()]
    shipped = [name for name in loaded(f"{SHIPPED}/app.yml") if name not in described()]
    named = set().union(*(names_given(value) for value in [*values, *loaded(TOPOLOGY).values()]))
    known = {*described(), *loaded(TOPOLOGY), *switches(), *loaded(f"{SHIPPED}/secrets.yml")}
    known |= set(loaded(PREFLIGHT)["__preflight_remembered"])  # a run's own
    others = sorted(name for name in named if name.startswith("app_"))
    return [name for name in dict.fromkeys([*shipped, *others]) if name not in known]


@cache
def set_by_plays() -> set[str]:
    """Return the names that playbooks and tasks set; the demo's sets what it might as well type."""

    def walk(item: Any) -> Iterator[str]:
        if isinstance(item, dict):
            yield from item["vars"] if isinstance(item.get("vars"), dict) else ()
        for inner in item.values() if isinstance(item, dict) else item:
            if isinstance(inner, dict | list):
                yield from walk(inner)

    paths = [ROOT / "site.yml", *ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")]
    return {
        name
        for path in paths
        if path.stem != "demo"
        for name in walk(loaded(str(path.relative_to(ROOT))))
    }


def who(name: str, spec: dict[str, Any]) -> str:
    """Return who sets a role's variable."""
    names, given = [*switches(), *short_names()], names_given(spec.get("default"))
    by = [n for n in names if n in given or is_alias(n, name)]
    if computed(loaded(TOPOLOGY).get(name)) and not any(is_alias(n, name) for n in by):
        return "topology"
    if by:
        return f"you, by {' and '.join(map(code, by))}"
    if any(computed(loaded(TOPOLOGY).get(other)) for other in given):
        return "topology"
    if name in {*set_by_plays(), *loaded(PREFLIGHT)["__preflight_remembered"]}:
        return "a run"
    if name in loaded(f"{SHIPPED}/secrets.yml"):
        return "you, in `secrets.yml`"
    return "you, required" if spec.get("required") else "you"


def code(value: Any) -> str:
    """Return a value as code that a table can hold: a template as it is, anything else as YAML."""
    text = value
    if not (isinstance(value, str) and (re.fullmatch(r"[a-z_]\w*", value) or computed(value))):
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    text = " ".join(text.removesuffix("\n...\n").split()).replace("|", r"\|")
    return f"``{text}``" if "`" in text else f"`{text}`"


def prose(text: Any) -> str:
    """Return a description as Markdown that means the same, in one line of a table."""
    lines = text if isinstance(text, list) else [text]
    told = " ".join(" ".join(map(str, lines)).split())
    # C(...) is code, and so are names of variables; of the rest, what Markdown takes for its own is escaped.
    parts = re.split(r"C\(([^)]*)\)|((?:\b[\w-]+/)*\b[a-z]+_[a-z0-9_]+\b(?:[.=]\w+)?)", told)
    plain = [re.sub(r"([\\`*_|<>\[\]#~])", r"\\\1", part) for part in parts[::3]]
    marked = [
        f"`{(a or b).replace('|', chr(92) + '|')}`"
        for a, b in zip(parts[1::3], parts[2::3], strict=True)
    ]
    return "".join(word for pair in zip(plain, [*marked, ""], strict=True) for word in pair)


def kind(name: str, spec: dict[str, Any]) -> str:
    """Return a variable's type, and what is valid if that is less."""
    told = "list of " + spec["elements"] if "elements" in spec else spec.get("type", "str")
    least, most = loaded(PREFLIGHT)["__preflight_ranges"].get(name, (None, None))
    if "choices" in spec:
        told += ": " + ", ".join(code(choice) for choice in spec["choices"])
    elif least is not None:
        told += f", {least:g} to {most}"
    return str(told)


def default(name: str, spec: dict[str, Any]) -> str:
    """Return what a role's variable is when nobody sets it, nothing if topology.yml works it out."""
    value = loaded(TOPOLOGY).get(name, spec.get("default"))
    alias = ALIAS.fullmatch(str(value))
    if alias:
        given = yaml.safe_load(alias[2])  # itself, if it is no plain value
        return code(f"{{{{ {given} }}}}" if given == alias[2] else given)
    if value is None or computed(loaded(TOPOLOGY).get(name)):
        return ""
    told = code(value)
    role = next((role for role, options in roles().items() if name in options), "")
    return told if len(told) <= 160 else f"[these](../roles/{role}/defaults/main.yml)"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a table; without a row, nothing."""
    lines = [f"| {' | '.join(cells)} |" for cells in [head, *rows]]
    return [lines[0], f"|{'---|' * len(head)}", *lines[1:]] if rows else []


def rows_of(name: str, spec: dict[str, Any], shared: bool = False) -> list[list[str]]:
    """Return a variable's row, and one for each key of those it holds."""
    meaning = prose(spec["description"])
    if shared:
        having = [role for role, options in roles().items() if name in options]
        meaning += f" Of {', '.join(f'[{role}](#{role})' for role in having)}"
    cells = [code(name), kind(name, spec), default(name, spec), who(name, spec), meaning]
    inner = [
        [
            f"{code(key)} of `{name}`",
            kind(key, option),
            default(key, option),
            "",
            prose(option["description"]),
        ]
        for key, option in (spec.get("options") or {}).items()
    ]
    return [cells, *inner]


def short(names: list[str], said: dict[str, str]) -> list[str]:
    """Return the table of names that roles' variables take their values from."""
    rows = []
    for name in names:
        by = takers(name)
        spec = described()[by[0]] if by else {}
        meaning = prose(said.get(name) or spec.get("description", ""))
        alike = bool(by) and is_alias(name, by[0])
        ranged = name in loaded(PREFLIGHT)["__preflight_ranges"]
        valid = kind(name if ranged else by[0], spec) if by else ""
        value = default(by[0], spec) if alike else ""
        rows.append([code(name), valid, value, ", ".join(map(code, by)), meaning])
    return table(["variable", "type, valid", "default", "taken by", "meaning"], rows)


def topology() -> list[str]:
    """Return the table of what topology.yml has for itself and for the inventory's other files."""
    text = (ROOT / TOPOLOGY).read_text(encoding="utf-8")
    above = {name: said for said, name in re.findall(r"((?:^# .*\n)+)(\w+):", text, re.M)}
    rows, others = [], []
    for name, value in loaded(TOPOLOGY).items():
        said = " ".join(above.get(name, "").replace("# ", "").split())
        if name not in described() and (said.endswith(".") or not computed(value)):
            told = prose(said) if said.endswith(".") else ""
            rows.append([code(name), "" if computed(value) else code(value), told])
        elif name not in described():
            others.append(code(name))
    head = ["variable", "value, unless it is worked out", "what is said of it there"]
    return [*table(head, rows), "", f"And, worked out of these: {', '.join(others)}."]


@cache
def page() -> str:
    """Return the page."""
    times = {name: sum(name in options for options in roles().values()) for name in described()}
    shared = [name for name, number in times.items() if number > 1]
    columns = ["variable", "type, valid", "default", "set by", "meaning"]
    sections = {
        "Switches": short(list(switches()), switches()),
        "The application": short(short_names(), {}),
        "Of several roles": table(
            columns, [row for name in shared for row in rows_of(name, described()[name], True)]
        ),
    }
    for role, options in roles().items():
        own = [
            row for name in options if name not in shared for row in rows_of(name, options[name])
        ]
        if options:
            sections[role] = table(columns, own)
    sections["topology.yml"] = topology()
    told = [HEAD]
    for title, lines in sections.items():
        told += [f"## {title}", "", *lines, ""]
    return "\n".join(told)


def main() -> None:
    """Write the page, or only look whether it is current."""
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit(STALE)


if __name__ == "__main__":
    main()
