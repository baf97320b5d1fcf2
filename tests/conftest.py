"""How pytest-xdist's workers share the tests: those of one lab stay together and in order, and start first.

What failed is told with the journals of its hosts, and with how to run it alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

# Files whose tests need what the ones before them left behind; of two that are equally long, the
# one whose lab is touched by nobody before comes first.
GROUPS = [
    ["test_1_fresh_hosts.py", "test_2_deployed.py", "test_3_changes.py", "test_7_driver.py"],
    [
        "test_2_firewall.py",
        "test_2_strangers.py",
        "test_6_tls.py",
        "test_8_internal_tls.py",
        "test_9_app_tls.py",
    ],
    ["test_4_modes.py", "test_6_database.py"],
    [
        "test_5_live.py",
        "test_5_background.py",
        "test_5_locked_out.py",
        "test_5_other_applications.py",
        "test_5_requests.py",
        "test_5_single_host.py",
        "test_5_taken_over.py",
    ],
    ["test_scenarios.py"],
    ["test_6_batches.py"],
    ["test_8_backup.py", "test_8_backup_restored.py"],
    ["test_7_experiment.py"],
]
LONG = ["test_lint.py", "test_release_build.py"]


def group_of(nodeid: str) -> str:
    """Return the group of a test; one that may run anywhere is a group of its own."""
    name = Path(nodeid.partition("::")[0]).name
    return next((group[0] for group in GROUPS if name in group), nodeid)


def rank(item: pytest.Item) -> int:
    """Return the test's place when several workers begin: what takes long is not left for the end."""
    order = [name for group in GROUPS for name in group] + LONG
    return order.index(item.path.name) if item.path.name in order else len(order)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tell of a test that failed what has failed on the hosts of its labs; a worker's report takes that with it."""
    report = yield
    if report.failed:
        given = getattr(item, "funcargs", {}).values()
        for lab in {id(it): it for it in given if hasattr(it, "failed_units")}.values():
            report.sections.append((f"failed units of the lab {lab.name}", lab.failed_units()))
    return report


def alone(nodeid: str) -> str:
    """Return what to type for a test alone: with its file, where the tests before it leave what it needs."""
    grouped = group_of(nodeid) != nodeid
    what = nodeid.partition("::")[0] if grouped else nodeid
    return shlex.join([".venv/bin/python", "-m", "pytest", what])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    stats = terminalreporter.stats
    failed = [
        alone(report.nodeid) for kind in ("failed", "error") for report in stats.get(kind, [])
    ]
    if failed:
        terminalreporter.section("to run alone what failed, type")
        terminalreporter.write("".join(f"{line}\n" for line in dict.fromkeys(failed)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    # Here, for without pytest-xdist everything runs too.
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # it would start with what has the most tests
    return Groups(config, log)
