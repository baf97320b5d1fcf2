"""What of a source folder is released, how it is named, and what is refused before it is released."""

from __future__ import annotations

import os
import sys
import tarfile
import time
from pathlib import Path

import greenrack_modules
import pytest

release = greenrack_modules.load("release_build")
source_of = greenrack_modules.load("greenrack_source")
Refused = source_of.Refused

OURS = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small application."""
    folder = tmp_path / "source"
    for name, content in {
        "wsgi.py": "from shop import create_app\n\napp = create_app()\n",
        "shop/__init__.py": "def create_app():\n    return print\n",
        "shop/style.css": "body {}\n",
        "bin/worker": "#!/bin/sh\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "bin" / "worker").chmod(0o755)
    (folder / "bin" / "latest").symlink_to("worker")
    return folder


def name_of(source: Path) -> str:
    """Return the digest of what would be released."""
    return source_of.digest_of(source, source_of.check_source(source, ["wsgi:app"], OURS))


def test_every_file_is_released_in_order(source: Path) -> None:
    assert [str(name) for name in source_of.check_source(source, ["wsgi:app"], OURS)] == [
        "bin/latest",
        "bin/worker",
        "shop/__init__.py",
        "shop/style.css",
        "wsgi.py",
    ]


CHANGES = {
    "content": lambda source: (source / "shop" / "style.css").write_text("body { }\n"),
    "content of the same length": lambda source: (source / "bin" / "worker").write_text(
        "#!/bin/ed"
    ),
    "mode": lambda source: (source / "shop" / "style.css").chmod(0o755),
    "name": lambda source: (source / "shop" / "style.css").rename(source / "shop" / "s.css"),
    "folder": lambda source: (source / "bin").rename(source / "sbin"),
    "new file": lambda source: (source / "empty").touch(),
    "file gone": lambda source: (source / "shop" / "style.css").unlink(),
    "link": lambda source: (
        (source / "bin" / "latest").unlink(),
        (source / "bin" / "latest").symlink_to("other"),
    ),
    "file where a link was": lambda source: (
        (source / "bin" / "latest").unlink(),
        (source / "bin" / "latest").write_text("worker"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_another_release(source: Path, change: str) -> None:
    before = name_of(source)
    CHANGES[change](source)
    assert name_of(source) != before


def test_content_does_not_move_between_files(source: Path) -> None:
    (source / "a").write_text("12")
    (source / "b").write_text("3")
    before = name_of(source)
    (source / "a").write_text("1")
    (source / "b").write_text("23")
    assert name_of(source) != before


@pytest.mark.parametrize(
    "name",
    [
        "__pycache__/wsgi.pyc",
        "shop/__pycache__/a.pyc",
        ".venv/bin/python",
        ".git/HEAD",
        "env/pyvenv.cfg",
        "env/lib/a.py",
        "node_modules/vue/index.js",
        "frontend/node_modules/vue/static/vue.js",
    ],
)
def test_what_is_made_locally_does_not(source: Path, name: str) -> None:
    before = name_of(source)
    (source / "env").mkdir()
    (source / "env/pyvenv.cfg").touch()
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_text("this is no Python, and nobody looks")
    assert name_of(source) == before


def test_what_may_be_the_applications_is_released(source: Path) -> None:
    names = ["shop/static/node_modules/vue/vue.js", "node_modules/vue/dist/vue.js", "venv/a.py"]
    names += ["assets/node_modules/vue.js", "env/pyvenv.cfg", ".venv/pyvenv.cfg"]
    for name in names:
        (source / name).parent.mkdir(parents=True)
        (source / name).touch()
    for committed, released in ((False, names[:3]), (True, names[:5])):
        told = [["wsgi:app"], OURS, ["node_modules/vue/dist"], committed]
        files = source_of.check_source(source, *told)
        assert [name for name in names if Path(name) in files] == released


def test_times_and_owners_do_not(source: Path) -> None:
    before = name_of(source)
    os.utime(source / "wsgi.py", (0, 0))
    (source / "wsgi.py").chmod(0o600)
    assert name_of(source) == before


@pytest.mark.parametrize("name", ["nowhere", "source/wsgi.py"])
def test_a_source_that_is_no_folder_is_refused(source: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match=r"is no folder\. Valid is the folder that holds your code"):
        source_of.check_source(tmp_path / name, ["wsgi:app"], OURS)


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").touch()
    with pytest.raises(Refused, match="holds no files"):
        source_of.check_source(tmp_path, ["wsgi:app"], OURS)


def test_a_syntax_error_is_named_with_file_and_line(source: Path) -> None:
    (source / "shop" / "views.py").write_text("one = 1\ntwo = (\n")
    with pytest.raises(Refused) as refused:
        source_of.check_source(source, ["wsgi:app"], OURS)
    path = source / "shop" / "views.py"
    assert f"{path}, line 2:" in str(refused.value)
    assert f"python3 -m py_compile {path}" in str(refused.value)


@pytest.mark.parametrize("content", [b"a = '\xe9'\n", b"# coding: nonsense\n", b"a = 1\0\n"])
def test_bytes_that_are_no_python_are_refused(source: Path, content: bytes) -> None:
    (source / "shop" / "views.py").write_bytes(content)
    with pytest.raises(Refused, match=r"views\.py(, line 1)?: \D"):
        source_of.check_source(source, ["wsgi:app"], OURS)


@pytest.mark.parametrize("name", ["shop/views.py", "wsgi.py"])
def test_syntax_newer_than_ours_is_left_to_a_host_that_is_newer(source: Path, name: str) -> None:
    (source / name).write_text("app = syntax of the future\n")
    files = source_of.check_source(source, ["wsgi:app"], "3.99")
    assert Path(name) in files
    with pytest.raises(Refused, match="line 1"):
        source_of.check_source(source, ["wsgi:app"], OURS)


def test_a_host_that_is_newer_needs_the_modules_nevertheless(source: Path) -> None:
    with pytest.raises(Refused, match="There is no module 'nowhere'"):
        source_of.check_source(source, ["nowhere:app"], "3.99")


@pytest.mark.parametrize("wrong", ["wsgi", "wsgi.app", "wsgi:", ":app", "wsgi:app(1)", "a b:c", ""])
def test_what_is_no_callable_is_refused(source: Path, wrong: str) -> None:
    with pytest.raises(Refused, match="Valid is module:attribute, such as wsgi:app"):
        source_of.check_source(source, [wrong], OURS)


def test_a_missing_module_is_refused_with_what_there_is(source: Path) -> None:
    (source / "manage.py").touch()
    with pytest.raises(Refused) as refused:
        source_of.check_source(source, ["wsgi:app", "wsgi_gevent:app"], OURS)
    assert "There is no module 'wsgi_gevent'" in str(refused.value)
    assert "Modules there: manage, shop, wsgi." in str(refused.value)
    assert "such as wsgi:app" in str(refused.value)


def test_old_scripts_that_nothing_imports_are_left_alone(source: Path) -> None:
    for folder in ("scripts", "{{ project }}", "shop/templates"):
        (source / folder).mkdir(parents=True)
        (source / folder / "old.py").write_text("print 'old'\n")
    files = source_of.check_source(source, ["wsgi:app"], OURS)
    assert Path("scripts/old.py") in files


def test_a_missing_attribute_is_refused_with_what_there_is(source: Path) -> None:
    (source / "wsgi.py").write_text("from shop import create_app\n_hidden = app = create_app()\n")
    source_of.check_source(source, ["wsgi:create_app()"], OURS)
    with pytest.raises(Refused) as refused:
        source_of.check_source(source, ["wsgi:application"], OURS)
    assert f"{source / 'wsgi.py'} does not define 'application'" in str(refused.value)
    # What it only imports or hides is hardly what is meant.
    assert "It defines: app. Set app_module to wsgi:NAME" in str(refused.value)


@pytest.mark.parametrize(
    "code",
    [
        "app = 1",
        "app: int = 1",
        "other, (app, *rest) = 1, (2, 3)",
        "def app(environ, start_response): pass",
        "class app: pass",
        "import app",
        "import app.views",
        "import shop as app",
        "from shop import create_app as app",
        "from shop import *",
        "def __getattr__(name): return 1",
        "if True:\n    app = 1",
        "if True:\n    from shop import app",
        "try:\n    import app\nexcept ImportError:\n    app = None",
        "with open('x') as app: pass",
        "for app in []: pass",
        "if (app := 1): pass",
        "if True:\n    def app(environ, start_response): pass",
        "try:\n    import other\nexcept ImportError:\n    class app: pass",
    ],
)
def test_an_attribute_may_be_bound_in_any_way(source: Path, code: str) -> None:
    (source / "wsgi.py").write_text(code + "\n")
    assert Path("wsgi.py") in source_of.check_source(source, ["wsgi:app"], OURS)


@pytest.mark.parametrize(
    "code", ["app()", "app.config = 1", "def create():\n    app = 1", "class A:\n    app = 1", ""]
)
def test_an_attribute_that_is_only_mentioned_is_not_there(source: Path, code: str) -> None:
    (source / "wsgi.py").write_text(code + "\n")
    with pytest.raises(Refused, match="does not define 'app'"):
        source_of.check_source(source, ["wsgi:app"], OURS)


@pytest.mark.parametrize("target", ["shop:create_app", "shop.views:app"])
def test_a_callable_may_be_in_a_package(source: Path, target: str) -> None:
    (source / "shop" / "views.py").write_text("app = 1\n")
    assert len(source_of.check_source(source, [target], OURS)) == 6


def packed(source: Path, archive: Path) -> list[tuple]:
    """Pack the source and return what the archive holds."""
    release.pack(archive, source, {str(name): name for name in source_of.released_files(source)})
    with tarfile.open(archive) as tar:
        return [
            (
                entry.name,
                entry.linkname,
                oct(entry.mode),
                (entry.uid, entry.gid, entry.uname, entry.gname),
                tar.extractfile(entry).read() if entry.isfile() else None,  # type: ignore[union-attr]
            )
            for entry in tar
        ]


def test_the_same_source_is_packed_to_the_same(source: Path, tmp_path: Path) -> None:
    first = packed(source, tmp_path / "1.tar.gz")
    for path in sorted(source.rglob("*.py")):
        content = path.read_text()
        path.unlink()  # another inode, another time, other permissions
        path.write_text(content)
        path.chmod(0o600)
        os.utime(path, (time.time() + 99, time.time() + 99))
    assert packed(source, tmp_path / "2.tar.gz") == first


def test_what_is_packed_is_roots_and_readable_by_all(source: Path, tmp_path: Path) -> None:
    root = (0, 0, "root", "root")
    (source / "shop" / "style.css").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(source / "wsgi.py", 1234, 1234)
    entries = {name: rest for name, *rest in packed(source, tmp_path / "1.tar.gz")}
    assert entries["shop/style.css"] == ["", "0o644", root, b"body {}\n"]
    assert entries["bin/worker"] == ["", "0o755", root, b"#!/bin/sh\n"]
    assert entries["wsgi.py"][1:3] == ["0o644", root]
    assert entries["bin/latest"][0] == "worker"
    assert entries["bin"] == entries["shop"] == ["", "0o755", root, None]
    assert len(entries) == 7


def test_an_archive_is_there_whole_or_not_at_all(source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "cache.tar.gz"
    with pytest.raises(FileNotFoundError):
        release.pack(archive, source, {"wsgi.py": Path("wsgi.py"), "gone.py": Path("gone.py")})
    assert not archive.exists()
    assert len(packed(source, archive)) == 7  # what was left of the attempt is in nobody's way
