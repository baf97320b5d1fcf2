"""How pytest-xdist's workers share the tests: those of one lab stay together and in order, and start first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# Files whose tests need what the ones before them left behind; of two that are equally long, the
# one whose lab is touched by nobody before comes first.
GROUPS = [
    ["test_1_fresh_hosts.py", "test_2_deployed.py", "test_3_changes.py", "test_7_driver.py"],
    ["test_2_strangers.py", "test_6_tls.py", "test_8_internal_tls.py", "test_9_app_tls.py"],
    ["test_4_modes.py", "test_6_database.py"],
    [
        "test_5_live.py",
        "test_5_locked_out.py",
        "test_5_other_applications.py",
        "test_5_requests.py",
        "test_5_single_host.py",
    ],
    ["test_scenarios.py"],
    ["test_6_batches.py"],
    ["test_8_backup.py"],
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    # Here, for without pytest-xdist everything runs too.
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # it would start with what has the most tests
    return Groups(config, log)
