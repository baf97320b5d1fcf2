"""The demo application's settings."""

from __future__ import annotations

import pytest
from demo import create_app, settings
from demo.settings import SettingError, load


def test_every_setting_has_a_default_and_is_documented() -> None:
    for name in load({}):
        assert f"\n{name} " in settings.__doc__


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_TIMEOUT", "2.5")
    monkeypatch.setenv("UPSTREAM_URL", "http://api.example:8081/")
    monkeypatch.setenv("DATABASE_POOL", "7")
    config = create_app({"DATABASE_POOL": 3}).config
    assert config["UPSTREAM_TIMEOUT"] == 2.5
    assert config["UPSTREAM_URL"] == "http://api.example:8081"
    assert config["DATABASE_POOL"] == 3, "create_app's argument comes first"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UPSTREAM_URL", "127.0.0.1:8081"),
        ("UPSTREAM_URL", "ftp://host"),
        ("UPSTREAM_URL", "http://"),
        ("UPSTREAM_URL", "http://host:99999"),
        ("UPSTREAM_URL", "http://host/?a=1"),
        ("UPSTREAM_URL", ""),
        ("UPSTREAM_CLIENT", "httpx"),
        ("UPSTREAM_CLIENT", ""),
        ("UPSTREAM_TIMEOUT", "0"),
        ("UPSTREAM_TIMEOUT", "soon"),
        ("UPSTREAM_CONNECT_TIMEOUT", "inf"),
        ("UPSTREAM_CONNECT_TIMEOUT", "-1"),
        ("UPSTREAM_POOL", "0"),
        ("UPSTREAM_POOL", "1.5"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://host/name"),
        ("DATABASE_URL", "dbname=demo port=x"),
        ("DATABASE_POOL", "many"),
        ("DATABASE_POOL", "-1"),
        ("DATABASE_POOL_TIMEOUT", "nan"),
        ("DATABASE_CONNECT_TIMEOUT", ""),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXIES", "yes"),
        ("PSYCOGREEN", "2"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} is not valid: it must be "):
        load({name: value})


@pytest.mark.parametrize("url", ["postgresql://demo:s3cr/t@host/demo", "s3cr/t"])
def test_a_refusal_does_not_tell_the_password(url: str) -> None:
    with pytest.raises(SettingError) as refusal:
        load({"DATABASE_URL": url})
    assert "s3cr" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["postgresql:///demo", "postgresql://u:p%2Fw@a:1,b:2/demo", "host=/run/pg dbname=x"]
)
def test_every_way_libpq_writes_a_database_is_accepted(url: str) -> None:
    assert load({"DATABASE_URL": url})["DATABASE_URL"] == url
