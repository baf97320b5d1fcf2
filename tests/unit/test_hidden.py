"""What an application's errors may tell, and a run that ends must not."""

from __future__ import annotations

import runpy

import greenrack_modules
import pytest

_filters = runpy.run_path(str(greenrack_modules.REPOSITORY / "filter_plugins/hidden.py"))
secrets_in, hide = _filters["secrets_in"], _filters["hide"]


def test_secrets_are_those_of_secrets_and_the_passwords_of_urls() -> None:
    environment = {
        "DATABASE_URL": "postgresql://demo:pa%2Fss@10.0.0.1:5432/demo",
        "UPSTREAM_URL": "http://10.0.0.2:8081",
        "GREETING": "hello: you@home",
        "SECRET_KEY": "s3cret",
    }
    assert secrets_in(environment, {"SECRET_KEY": "s3cret"}) == ["pa%2Fss", "pa/ss", "s3cret"]


def test_url_among_the_secrets_is_hidden_whole_and_its_password_alone() -> None:
    found = secrets_in({}, {"CACHE": "redis://:hunter2@cache/0"})
    assert found == ["hunter2", "redis://:hunter2@cache/0"]


@pytest.mark.parametrize("value", ["", 1, None, False, "abc"])
def test_what_is_too_short_hides_nothing(value: object) -> None:
    assert secrets_in({}, {"A": value}) == []


def test_secret_of_several_lines_is_hidden_line_by_line_and_with_escapes() -> None:
    key = "-----BEGIN KEY-----\nMIIa\\b\n-----END KEY-----\n"
    found = secrets_in({}, {"KEY": key})
    assert hide("the end: MIIa\\b", found) == "the end: ********"
    assert "MII" not in hide(f"cannot read {key!r}", found)


def test_text_is_told_without_them() -> None:
    told = hide("cannot log in with pa/ss at db\nnor with pa%2Fss", ["pa%2Fss", "pa/ss"])
    assert told == "cannot log in with ******** at db\nnor with ********"
