"""One release of hosts that are not alike: each has an environment of its own for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import greenrack_modules
import pytest

release = greenrack_modules.load("release_build")

BOOKWORM = {"python": "3.11", "machine": "x86_64", "libc": "2.36"}
TRIXIE = {"python": "3.13", "machine": "x86_64", "libc": "2.41"}
LOCKED = {"requirements": "locked.txt"}
UNLOCKED = {"requirements": "requirements.txt"}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """What the module is told about a small application, but for its hosts."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "wsgi.py").write_text("def app(environ, start_response):\n    return []\n")
    (source / "locked.txt").write_text(
        "blinker==1.9.0 "
        "--hash=sha256:b4ce2265a7abece45e7cc896e98dbebe6cead56bcf805a3d23136d145f5445bf "
        "--hash=sha256:ba0efaa9080b619ff2f3459d1d500c57bddea4a6b424b60a91141db6fd2f08bc\n"
    )
    (source / "requirements.txt").write_text("blinker==1.9.0\n")
    return {"source": str(source), "callables": ["wsgi:app"], "cache": str(tmp_path / "cache")}


@pytest.mark.parametrize("requirements", [LOCKED, UNLOCKED], ids=["locked", "resolved"])
def test_a_release_has_one_name_on_all_hosts(
    given: dict[str, Any], requirements: dict[str, str]
) -> None:
    def built(host: dict[str, str], *others: dict[str, str]) -> tuple[str, str]:
        result = greenrack_modules.run(release, **given, **requirements, **host, others=others)
        return result["release"], result["environment"]

    older, newer = built(BOOKWORM, BOOKWORM, TRIXIE), built(TRIXIE, BOOKWORM, TRIXIE)
    assert older[0] == newer[0]
    assert older[1] != newer[1]
    # Of hosts that are alike, it is as with none besides, which is what an earlier version called it.
    alike = built(BOOKWORM, BOOKWORM, BOOKWORM)
    assert alike == built(BOOKWORM)
    # Where a host gets another Debian, what is there has the Python of before: it is another release.
    upgraded = built(TRIXIE, TRIXIE)
    assert len({alike[0], older[0], upgraded[0]}) == 3
    assert (alike[1], upgraded[1]) == (older[1], newer[1])
