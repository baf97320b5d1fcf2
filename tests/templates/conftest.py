"""Makes the helpers of the unit tests importable, and their PostgreSQL usable."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit"))

import demo_postgres


@pytest.fixture(scope="session")
def cluster() -> Iterator[demo_postgres.Cluster]:
    """A real PostgreSQL."""
    binaries = demo_postgres.find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server here (/usr/lib/postgresql/*/bin): apt install postgresql")
    cluster = demo_postgres.Cluster(binaries)
    yield cluster
    cluster.remove()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a short name, as a socket in it must have."""
    path = Path(tempfile.mkdtemp(prefix="serving-"))
    yield path
    shutil.rmtree(path)
