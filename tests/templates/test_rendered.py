"""The lookup `rendered` says what Ansible's own does, without a copy of all there is."""

import pytest
import render  # noqa: F401 # it makes Ansible's plugins known
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template


class Large:
    """What takes long to copy."""

    def __deepcopy__(self, memo):
        raise AssertionError("it was copied")


@pytest.fixture
def said(tmp_path):
    """Return what a lookup says of a template."""
    path = tmp_path / "greeting.j2"
    path.write_text(
        "{# why #}{{ greeting }}, {{ names | join(' and ') }} {{ mark }}\n{{ template_path }}\n"
    )

    def say(lookup, **more):
        words = f"{{{{ lookup('{lookup}', '{path}', template_vars={{'mark': '!'}}) }}}}"
        given = {"greeting": trust_as_template("{{ 'Hello' }}"), "names": ["a", "b"], **more}
        before = dict(given)
        shown = Templar(loader=DataLoader(), variables=given).template(trust_as_template(words))
        assert given == before
        return shown

    return say


def test_it_is_what_ansibles_own_says(said):
    shown = said("rendered")
    assert shown.startswith("Hello, a and b !\n/")
    assert shown == said("ansible.builtin.template")


def test_nothing_is_copied(said):
    assert said("rendered", large=Large())
    # Where this fails, Ansible does without the copy too, and `rendered` is of no use any more.
    with pytest.raises(Exception, match="it was copied"):
        said("ansible.builtin.template", large=Large())
