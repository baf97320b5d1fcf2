"""A YAML file as plain values, such as JSON has too, each with the node that knows its line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from bench.errors import BadInput
from bench.shape import DIGITS

DEEPEST = 20  # lists and mappings within each other
_YAML = "tag:yaml.org,2002:"
_SCALARS = {_YAML + kind for kind in ("str", "int", "float", "bool", "null")}
_PAIRS = dict[str, tuple[yaml.Node, yaml.Node]]


def compose(path: Path) -> yaml.Node | None:
    """Return the file's root, None of an empty one; raise BadInput for what is no YAML."""
    try:
        return yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except RecursionError:
        said = "it is nested too deep"
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as why:
        said = " ".join(str(why).split())
    raise BadInput(f"cannot read the plan {path}: {said}", "a YAML file", "-e bench_plan=FILE")


class Nodes:
    """Takes the values out of a file's nodes, and refuses what is none with its line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def wrong(self, node: yaml.Node | None, wrong: str, valid: str, type_: str) -> BadInput:
        """Return the refusal, which names the node's line."""
        line = node.start_mark.line + 1 if node else 1
        return BadInput(f"{self.path}, line {line}: {wrong}", valid, type_)

    def value(self, node: yaml.Node, within: tuple[yaml.Node, ...] = ()) -> Any:
        """Return what a node says: texts, finite numbers, true, false, null, lists and mappings of them."""
        if any(node is outer for outer in within):
            raise self.wrong(node, "this has itself in it", "values that end", "KEY: VALUE")
        if len(within) > DEEPEST:
            wrong = f"this is nested more than {DEEPEST} deep"
            raise self.wrong(node, wrong, "what a switch takes", "KEY: VALUE")
        inner = (*within, node)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_YAML}seq":
            return [self.value(item, inner) for item in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_YAML}map":
            return {name: self.value(said, inner) for name, (_, said) in self.pairs(node).items()}
        return self._scalar(node)

    def pairs(self, node: yaml.Node, within: tuple[yaml.Node, ...] = ()) -> _PAIRS:
        """Return the nodes of a mapping's keys and values by key, what is merged into it (<<) among them."""
        if not isinstance(node, yaml.MappingNode) or any(node is outer for outer in within):
            raise self.wrong(node, "<< takes a mapping, and not itself", "an alias", "<<: *NAME")
        own: _PAIRS = {}
        merged: _PAIRS = {}
        for key, value in node.value:
            if key.tag == f"{_YAML}merge":
                found = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for one in found:
                    merged = self.pairs(one, (*within, node)) | merged
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_YAML}str":
                shown = f" {key.value!r}"[:40] if isinstance(key, yaml.ScalarNode) else ""
                wrong = f"the key{shown} is no text"
                raise self.wrong(key, wrong, "a name, in quotes if need be", '"KEY": VALUE')
            if key.value in own:
                wrong = f"{key.value} stands there twice"
                raise self.wrong(key, wrong, "each key once", f"{key.value}: ...")
            own[key.value] = (key, value)
        return merged | own

    def _scalar(self, node: yaml.Node) -> Any:
        kind = node.tag.removeprefix(_YAML)
        shown = repr(node.value)[:40] if isinstance(node, yaml.ScalarNode) else "this"
        if node.tag not in _SCALARS or not isinstance(node, yaml.ScalarNode):
            what = "a date" if kind == "timestamp" else f"tagged {node.tag.replace(_YAML, '!!')}"
            valid = "a text, in quotes, a number, true, false, a list or a mapping"
            raise self.wrong(node, f"{shown} is {what}", valid, 'KEY: "TEXT"')
        try:
            value = yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, LookupError, OverflowError, yaml.YAMLError):
            value = math.nan
        if (isinstance(value, float) and not math.isfinite(value)) or (
            type(value) is int and abs(value) >= 10**DIGITS
        ):
            valid = f"a number of at most {DIGITS} digits, or a text in quotes"
            raise self.wrong(node, f"{shown} is no number to reckon with", valid, "KEY: VALUE")
        return value
