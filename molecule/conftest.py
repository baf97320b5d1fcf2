"""What all scenarios' verify tests share; and a test that fails shows the end of its host's journal."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator

import pytest
from testinfra.host import Host

OURS = re.compile(r" (sudo\[|ansible-)")  # what the tests and Ansible themselves leave in it


@pytest.fixture
def address(host: Host) -> str:
    """The only address the host has besides the loopback's."""
    (address,) = host.interface("host0").addresses
    return address


@pytest.fixture
def on(request: pytest.FixtureRequest) -> Callable[[str], Host]:
    """What gives a host of the lab by its name, reached as the others are, for tests of several."""
    config = request.config.getoption("ssh_config")
    return lambda name: Host.get_host(f"ssh://{name}", ssh_config=config, sudo=True)


def journal_of(host: Host) -> str:
    """Return the last 40 lines of the journal that are about the host itself."""
    try:
        lines = host.run("journalctl --no-pager --lines=400").stdout.splitlines()
    except RuntimeError as error:  # testinfra's way to say that SSH failed
        return f"It cannot be had: {error}"
    return "\n".join([line for line in lines if not OURS.search(line)][-40:])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the journal of the host that a failed test was about to its report."""
    report = yield
    host = getattr(item, "funcargs", {}).get("host")
    if report.failed and host:
        report.sections.append((f"Journal of {host.backend.hostname}", journal_of(host)))
    return report
