"""What a supervisor or a load balancer asks: is it alive, and can it serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint

from demo.database import get_database
from demo.errors import Failure
from demo.upstream import get_upstream

TIMEOUT = 2.0  # seconds for each check

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> dict[str, str]:
    """Alive: the process answers. Asks nothing of anybody else."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> tuple[dict[str, Any], int]:
    """Ready: what the other pages need is there. 503 tells what is not, and why."""
    checks = {"database": _check(get_database().check), "upstream": _check(get_upstream().check)}
    failures = [result for result in checks.values() if result != "ok"]
    if failures:
        return {"status": "not ready", "error": "; ".join(failures), **checks}, 503
    return {"status": "ready", **checks}, 200


def _check(check: Callable[[float], None]) -> str:
    try:
        check(TIMEOUT)
    except Failure as failure:
        return failure.error
    return "ok"
