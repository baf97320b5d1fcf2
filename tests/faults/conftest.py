"""The lab that faults are injected into, and the table of what they did (docs/reliability.md)."""

import pytest

from tests.faults.felt import suffering
from tests.stack.conftest import deployed, lab, labs  # noqa: F401
from tests.stack.lab import ROOT

HEAD = "| fault | promise | measured |\n|---|---|---|\n"
ROWS = pytest.StashKey()


@pytest.fixture
def told(request):
    """Take (fault, promise, what was measured) for the table."""
    return lambda *row: request.config.stash.setdefault(ROWS, []).append(row)


@pytest.fixture
def suffered(deployed, told):  # noqa: F811
    """Strike the stack while clients come; return what they felt when all is well again, and tell the table."""
    return suffering(deployed, told)


@pytest.fixture
def not_restarted(deployed):  # noqa: F811
    """See that the application's process is the same after a test as before."""
    runs = f"systemctl show --property=MainPID {deployed.instance()}"
    before = deployed.run("app1", runs)
    yield
    assert deployed.run("app1", runs) == before, "the application was restarted"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(ROWS, [])
    if rows:
        table = HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
        (ROOT / "results").mkdir(exist_ok=True)
        (ROOT / "results/faults.md").write_text(table)
        terminalreporter.section("what faults did (results/faults.md)")
        terminalreporter.write(table)
