"""Texts from outside, made fit for a page: whatever a host has printed may be in a result."""

import re
from typing import Any

# What no HTML may hold: terminals' colours, control characters, halves of surrogate pairs.
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(value: Any) -> Any:
    """Return a text without the characters that no page may hold, anything else as it is."""
    if type(value) is not str:  # Markup was cleaned when it was made
        return value
    return _BAD.sub("\N{REPLACEMENT CHARACTER}", _COLOURS.sub("", value))
