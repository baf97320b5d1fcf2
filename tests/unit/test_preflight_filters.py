"""The filters preflight looks at variables with."""

import re
from pathlib import Path

import greenrack_modules
import pytest
import yaml
from jinja2 import UndefinedError

ROLES = Path(__file__).parents[2] / "roles"
INVENTORIES = ROLES.parent / "inventories"
DOCUMENTS = [f"docs/{path.name}" for path in (ROLES.parent / "docs").glob("*.md")]


def _filter(file, name=None):
    module = greenrack_modules.plugin(f"roles/preflight/filter_plugins/{file}.py")
    filters = module.FilterModule().filters()
    return filters[name] if name else next(iter(filters.values()))


KNOWN = [
    "server",
    "app_source",
    "app_module",
    "nginx_port",
    "nginx_max_body_size",
    "postgresql_port",
]


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("serverr", "server"),
        ("sevrer", "server"),
        ("app_sorce", "app_source"),
        ("nginx_prot", "nginx_port"),
        ("app_modul", "app_module"),
        ("nginx_max_body", "nginx_max_body_size"),
    ],
)
def test_a_nearly_known_name_is_a_typo(name, closest):
    assert _filter("typos")([name, *KNOWN], KNOWN) == {name: closest}


@pytest.mark.parametrize(
    "name",
    ["server", "my_team", "ansible_user", "_app_source", "app_color", "http_port", "nginx", "app"],
)
def test_other_names_are_left_alone(name):
    assert _filter("typos")([name], KNOWN) == {}


def test_addresses_outside_of_networks():
    asked = ["10.0.0.51", "10.0.1.51", "2001:db8::7", "load.test"]
    networks = ["10.0.0.0/24", "10.0.1.5", "2001:db8::/32", "any"]
    assert _filter("outside")(asked, networks) == ["10.0.1.51", "load.test"]
    assert _filter("outside")(asked, ["10.0.1.51/24", "10.0.0.51"]) == asked[2:]


@pytest.mark.parametrize("document", ["README.md", *sorted(DOCUMENTS)])
def test_what_a_document_says_to_type_is_known(document):
    """Else a typo of it would go unnoticed."""
    table = yaml.safe_load((ROLES / "preflight/vars/main.yml").read_text())
    known = set(table["__preflight_switches"]) | set(
        _filter("argument_specs", "shipped_variables")(INVENTORIES)
    )
    known |= {name for options in _filter("argument_specs")(ROLES).values() for name in options}
    typed = re.findall(r"-e '?(\w+)=", (ROLES.parent / document).read_text())
    assert set(typed) <= known


def test_names_the_inventory_takes_are_no_typos_of_each_other():
    specs = _filter("argument_specs")(ROLES)
    names = {name for options in specs.values() for name in options}
    for path in (ROLES.parent / "inventories").glob("**/*.yml"):
        names |= set(yaml.safe_load(path.read_text()) or {})
    assert _filter("typos")(names, names) == {}


class Lazy(dict):
    """Values that are filled in as they are looked at, as Ansible's are."""

    def __getitem__(self, name):
        value = super().__getitem__(name)
        if isinstance(value, Exception):
            raise value
        return value


def test_what_nobody_has_defined_is_told_and_no_secret():
    values = {
        **{"GOOD": "a", "NUMBER": 5, "LATER": UndefinedError("'app_release_build' is undefined")},
        **{"FORGOTTEN": UndefinedError("'vault_key' is undefined")},
        **{"WRONG": UndefinedError("time data 's3cret' does not match")},
    }
    given = Lazy(app_env=Lazy(values), app_secrets=UndefinedError("'all' is undefined"), none=None)
    assert _filter("unresolved")(given) == {
        "app_env.FORGOTTEN": "'vault_key' is undefined",
        "app_env.WRONG": "it cannot be filled in",
        "app_secrets": "'all' is undefined",
    }


def test_what_an_application_cannot_be_told_is_named():
    wrong = ["2ND", "MY-KEY", "", "MY.KEY", "PYTHONPATH", "GREENRACK_MODE", 5]
    names = ["GOOD", "_also_2", "PYTHONPATHS", *wrong]
    values = Lazy(dict.fromkeys(names, UndefinedError("is not looked at")))
    given = Lazy(app_env=values, app_secrets=UndefinedError("'all' is undefined"), none=None)
    assert _filter("unresolved", "misnamed")(given) == [f"app_env.{name}" for name in wrong]


def test_what_is_no_text_and_no_number_is_named():
    wrong = {"EMPTY": None, "ON": True, "OFF": False, "LIST": ["a"], "MAP": {}, "PAIR": ("a", 1)}
    right = {"TEXT": "off", "NOTHING": "", "ONE": 1, "HALF": 0.5, "NONE": UndefinedError("later")}
    values = Lazy({**right, **wrong})
    given = Lazy(app_env=values, app_secrets=UndefinedError("'all' is undefined"), none=None)
    assert _filter("unresolved", "wordless")(given) == [f"app_env.{name}" for name in wrong]


def test_argument_specs_come_without_defaults(tmp_path):
    meta = tmp_path / "web/meta"
    meta.mkdir(parents=True)
    options = {
        "web_port": {"type": "int", "default": "{{ x }}"},
        "web_name": {"type": "str", "required": True},
    }
    (meta / "argument_specs.yml").write_text(
        yaml.safe_dump({"argument_specs": {"main": {"options": options}}})
    )
    assert _filter("argument_specs")(tmp_path) == {
        "web": {"web_port": {"type": "int"}, "web_name": {"type": "str", "required": True}}
    }
    assert set(_filter("argument_specs")(ROLES)) == {
        path.name for path in ROLES.iterdir() if path.is_dir()
    }
