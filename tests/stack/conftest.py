"""Labs for the whole-stack tests: booted once, deployed once, always thrown away."""

import importlib.util
import shutil
import subprocess
from contextlib import nullcontext

import pytest

from tests.stack.backups import TEXT, passphrase, sql
from tests.stack.lab import ROOT, SUDO, Lab, free_number

CLAIMED = []


def labs_of(number):
    """Return the labs that go by a number: of five hosts with Debian 12, and of one with 13."""
    return (
        Lab("lab", f"test{number}", f"10.89.{60 + number}"),
        Lab("single", f"tests{number}", f"10.89.{190 + number}", "trixie"),
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Give pytest-xdist's worker a number, and remember it here."""
    number, claim = free_number()
    node.workerinput["number"] = number
    CLAIMED.append((number, claim))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    """Throw away what workers left that were stopped: pytest-xdist gives them too little time to do it."""
    for number, claim in CLAIMED:
        with claim:
            for lab in labs_of(number):
                if lab.directory.exists():
                    print(lab.play("playbooks/lab_down.yml").output)


@pytest.fixture(scope="session", autouse=True)
def _root():
    if SUDO and subprocess.run([*SUDO, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the lab boots real systems: needs root, or sudo that asks for no password")


def boot(lab):
    """Boot a lab, hand it out, and throw it away whatever happened."""
    try:
        up = lab.play("playbooks/lab_up.yml")
        assert up.code == 0, up.output
        yield lab
    finally:
        down = lab.play("playbooks/lab_down.yml")
        assert down.code == 0, down.output
        assert lab.leftovers() == []


@pytest.fixture(scope="session")
def labs(request):
    """The labs of a number that no other worker and no other run has."""
    given = getattr(request.config, "workerinput", {}).get("number")
    number, claim = (given, nullcontext()) if given else free_number()
    with claim:
        yield labs_of(number)


@pytest.fixture(scope="session")
def lab(labs):
    """Five hosts, a part of the stack on each."""
    yield from boot(labs[0])


@pytest.fixture(scope="session")
def deployed(lab, tmp_path_factory):
    """The five hosts with the stack on them, by what `make demo` runs."""
    results = tmp_path_factory.mktemp("results")
    run = lab.play(
        "playbooks/demo.yml", "-e", "server=uwsgi_gevent", "-e", f"benchmark_results={results}"
    )
    assert run.code == 0, run.output
    for says in (
        f"Address      http://{lab.prefix}.11",
        '"upstream":',
        ", 0 of 1000 failed",
        "Next   ",
    ):
        assert says in run.output, run.output
    return lab


@pytest.fixture(scope="session")
def kept(lab):
    """The stack with a row in its database, and a backup of it."""
    run = lab.play("site.yml", "-e", "server=uwsgi_gevent", "--diff")
    assert run.code == 0, run.output
    assert passphrase(lab) not in run.output, "the deploy shows the pass phrase"
    sql(lab, f"CREATE TABLE kept AS SELECT '{TEXT}' AS text")
    run = lab.play("playbooks/backup.yml")
    assert run.code == 0, run.output
    assert passphrase(lab) not in run.output, "the backup shows the pass phrase"
    says = ("diff, ended", "Valid is latest", "Backup ok", "Rows         1 in demo.public.kept")
    assert [one for one in says if one not in run.output] == [], run.output
    return lab


@pytest.fixture(scope="session")
def single(labs):
    """One host, for all of the stack."""
    yield from boot(labs[1])


@pytest.fixture
def app_copy(tmp_path):
    """A copy of the demo application that a test may break."""
    return shutil.copytree(ROOT / "app/demo", tmp_path / "app")


@pytest.fixture(scope="session")
def signs():
    """The controller's side of the certificates."""
    path = ROOT / "roles/internal_tls/action_plugins/host_certificate.py"
    spec = importlib.util.spec_from_file_location("host_certificate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
