"""What all scenarios' verify tests share: a test that fails shows the end of its host's journal."""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest
from testinfra.host import Host

OURS = re.compile(r" (sudo\[|ansible-)")  # what the tests and Ansible themselves leave in it


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
