"""What an archive of a release says of who may read it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import greenrack_modules

release = greenrack_modules.load("release_build")


def test_who_may_enter_its_folders_is_said_in_it(tmp_path: Path) -> None:
    """A host whose root has a strict umask would let nobody, and neither may the controller's."""
    source = tmp_path / "source"
    (source / "shop/static").mkdir(parents=True, mode=0o700)
    (source / "shop/static/style.css").touch(mode=0o600)
    archive = tmp_path / "release.tar.gz"
    release.pack(archive, source, {"shop/static/style.css": "shop/static/style.css"})
    with tarfile.open(archive) as tar:
        found = {entry.name: (entry.isdir(), entry.mode, entry.uname) for entry in tar}
    assert found == {
        "shop": (True, 0o755, "root"),
        "shop/static": (True, 0o755, "root"),
        "shop/static/style.css": (False, 0o644, "root"),
    }
