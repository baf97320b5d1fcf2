"""Releases of a commit, with static files, and of requirements nobody has locked; real git, uv and pip."""

from __future__ import annotations

import subprocess
import tarfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import greenrack_modules
import pytest

release = greenrack_modules.load("release_build")
chosen = greenrack_modules.load("release_commit")
git = greenrack_modules.load("greenrack_git")
wheels = greenrack_modules.load("greenrack_wheels")
Refused = wheels.Refused
BOOKWORM = wheels.Target("3.11", "x86_64", "2.36")
FACTORY = "def create_app():\n    return lambda environ, start_response: []\n"


def run_git(folder: Path, *command: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "web/shop/static/css").mkdir(parents=True)
    (folder / "web/shop/__init__.py").write_text(FACTORY)
    (folder / "web/shop/static/css/shop.css").write_text("/* one */")
    (folder / "web/requirements.txt").write_text("blinker>=1.9,<1.10\n")
    run_git(folder, "init", "--quiet", "--initial-branch=main")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "--message=one")
    run_git(folder, "tag", "v1")
    return folder


@pytest.fixture
def given(repository: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "source": f"file://{repository}",
        "ref": "v1",
        "shared": ["shop/uploads"],
        "folder": "web",
        "requirements": "requirements.txt",
        "callables": ["shop:create_app()"],
        "static": {"/static/": "shop/static"},
        "needs": ["blinker"],
        "cache": str(tmp_path / "cache"),
        "python": "3.11",
        "machine": "x86_64",
        "libc": "2.36",
    }


def text_of(archive: str, name: str) -> str:
    with tarfile.open(archive) as tar:
        return tar.extractfile(name).read().decode()


def test_a_commit_is_released_as_it_is_in_the_repository(
    given: dict[str, Any], repository: Path
) -> None:
    first = greenrack_modules.run(release, **given)
    assert first["commit"] == run_git(repository, "rev-parse", "v1"), first
    assert text_of(first["static_archive"], "static/css/shop.css") == "/* one */"
    # What is not committed is not released, from a folder neither.
    (repository / "web/shop/static/css/shop.css").write_text("/* two */")
    assert greenrack_modules.run(release, **given) == {**first, "changed": False}
    local = {**given, "source": str(repository / "web"), "ref": "HEAD", "folder": ""}
    assert greenrack_modules.run(release, **local)["release"] == first["release"]
    # Of a folder without a commit, the files as they are.
    files = greenrack_modules.run(release, **{**local, "ref": ""})
    assert (files["commit"], files["environment"]) == ("", first["environment"])
    assert text_of(files["static_archive"], "static/css/shop.css") == "/* two */"
    # The mirror follows the repository.
    run_git(repository, "commit", "--all", "--quiet", "--message=two")
    second = greenrack_modules.run(release, **{**given, "ref": "main"})
    assert second["release"] == files["release"]
    # All that was committed, for whoever did it meant it.
    (repository / "web/shop/assets/node_modules").mkdir(parents=True)
    (repository / "web/shop/assets/node_modules/vue.js").write_text("vue")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "--message=three")
    third = greenrack_modules.run(release, **{**given, "ref": "main"})
    assert text_of(third["release_archive"], "shop/assets/node_modules/vue.js") == "vue"
    left = {path.name for path in Path(given["cache"]).iterdir() if path.is_dir()}
    assert left == {"git"}


def test_what_is_no_commit_is_refused(given: dict[str, Any], repository: Path) -> None:
    said = greenrack_modules.run(release, **{**given, "ref": "--output=/etc/passwd"})["msg"]
    assert "There is no commit '--output=/etc/passwd' in app_source" in said
    assert "branches and tags are: main, v1" in said or "tags are: v1, main" in said
    for secret in ("user:secret", "secret"):
        given["source"] = f"https://{secret}@127.0.0.1:9/shop.git"
        said = greenrack_modules.run(release, **given)["msg"]
        assert "'https://********@127.0.0.1:9/shop.git' cannot be fetched" in said
        assert "secret" not in said
        assert "git ls-remote" in said


def test_a_commit_is_chosen_once(given: dict[str, Any], repository: Path) -> None:
    asked = {"source": given["source"], "ref": "main", "cache": given["cache"]}
    commit = greenrack_modules.run(chosen, **asked)["commit"]
    assert commit == run_git(repository, "rev-parse", "main")
    # It is known, so that nothing is fetched: not even from where there is nothing any more.
    repository.rename(repository.with_name("gone"))
    assert greenrack_modules.run(release, **{**given, "ref": commit})["commit"] == commit
    assert "cannot be fetched" in greenrack_modules.run(chosen, **asked)["msg"]


def test_what_a_commit_lacks_is_told_of_the_source(given: dict[str, Any]) -> None:
    said = greenrack_modules.run(release, **{**given, "folder": "backend"})["msg"]
    assert f"{given['source']}, v1: backend' is no folder" in said


def test_what_releases_share_is_not_of_them(given: dict[str, Any], repository: Path) -> None:
    (repository / "web/shop/uploads/old").mkdir(parents=True)
    local = {**given, "source": str(repository / "web"), "ref": "", "folder": ""}
    (repository / "web/shop/uploads/.gitkeep").touch()
    first = greenrack_modules.run(release, **local)
    assert first["left"] == []
    (repository / "web/shop/uploads/old/mine.jpg").touch()
    assert greenrack_modules.run(release, **local)["release"] == first["release"]
    # Links to them are made with the release: other directories are another release.
    other = greenrack_modules.run(release, **{**local, "shared": []})
    assert other["release"] != first["release"]


def test_files_where_releases_share_a_directory_are_told(
    given: dict[str, Any], repository: Path
) -> None:
    (repository / "web/shop/uploads").mkdir()
    (repository / "web/shop/uploads/avatar.png").touch()
    local = {**given, "source": str(repository / "web"), "ref": "", "folder": ""}
    assert greenrack_modules.run(release, **local)["left"] == ["shop/uploads/avatar.png"]
    assert greenrack_modules.run(release, **local)["left"] == [], "told in every run"


def test_a_folder_without_a_repository_has_no_commits(
    given: dict[str, Any], tmp_path: Path
) -> None:
    given.update(source=str(tmp_path), ref="main")
    assert (
        "Of a folder in no repository, leave app_ref out"
        in (greenrack_modules.run(release, **given)["msg"])
    )


@pytest.mark.parametrize(
    ("static", "expected"),
    [
        (
            {"/static/": "shop/static", "/css/": "shop/static/css"},
            ["css/shop.css", "static/css/shop.css", "static/shop.js"],
        ),
        (
            {"/static/": "shop/static", "/assets/v1/": "shop/static"},
            [
                "assets/v1/css/shop.css",
                "assets/v1/shop.js",
                "static/css/shop.css",
                "static/shop.js",
            ],
        ),
    ],
    ids=["a folder in another", "a folder twice"],
)
def test_a_static_file_is_under_each_url_path_that_has_it(
    given: dict[str, Any], repository: Path, static: dict[str, str], expected: list[str]
) -> None:
    (repository / "web/shop/static/shop.js").touch()
    local = {**given, "source": str(repository / "web"), "ref": "", "folder": ""}
    for told in (static, dict(reversed(static.items()))):
        result = greenrack_modules.run(release, **{**local, "static": told})
        with tarfile.open(result["static_archive"]) as tar:
            assert sorted(entry.name for entry in tar if entry.isfile()) == expected


def test_of_two_url_paths_the_longer_one_says_which_file_it_is(
    given: dict[str, Any], repository: Path
) -> None:
    """As nginx does of its locations."""
    (repository / "web/shop/other").mkdir()
    (repository / "web/shop/other/shop.css").write_text("/* other */")
    local = {**given, "source": str(repository / "web"), "ref": "", "folder": ""}
    static = {"/static/css/": "shop/other", "/static/": "shop/static"}
    result = greenrack_modules.run(release, **{**local, "static": static})
    assert text_of(result["static_archive"], "static/css/shop.css") == "/* other */"


@pytest.mark.parametrize("static", [{"/": "shop/static"}, {"static": "shop/static"}, {"/s/": "x"}])
def test_static_files_nginx_cannot_serve_are_refused(
    given: dict[str, Any], static: dict[str, str]
) -> None:
    given["static"] = static
    ((url, folder),) = static.items()
    assert f"app_static has '{url}: {folder}'" in greenrack_modules.run(release, **given)["msg"]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("https://git.example.org/shop.git", True),
        ("git@git.example.org:shop.git", True),
        ("file:///srv/shop.git", True),
        ("app/demo", False),
        ("/srv/shop", False),
    ],
)
def test_urls_and_folders(source: str, url: bool) -> None:
    assert git.is_url(source) is url


def test_requirements_without_hashes_are_resolved_once(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("blinker>=1.9\n")
    lock = wheels.lock_of(path, ["psycogreen", "packaging"], BOOKWORM, tmp_path)
    found = wheels.entries(lock.read_text())
    assert set(found) == {"blinker", "packaging", "psycogreen"}
    assert all("--hash=sha256:" in text for _, text in found.values())
    lock.write_text("kept")
    assert wheels.lock_of(path, ["psycogreen", "packaging"], BOOKWORM, tmp_path) == lock
    assert lock.read_text() == "kept"
    # What somebody has locked is taken as it is.
    path.write_text("blinker==1.9.0 --hash=sha256:00\n")
    assert wheels.lock_of(path, ["packaging"], BOOKWORM, tmp_path) == path


def test_a_lock_that_came_of_another_is_not_overwritten(tmp_path: Path) -> None:
    exported = tmp_path / "locked.txt"
    made = "uv export --no-dev --format requirements-txt -o locked.txt"
    exported.write_text(
        f"# This file was autogenerated by uv via the following command:\n#    {made}\n"
    )
    with pytest.raises(Refused, match=rf"Type: uv add gunicorn gevent && {made}$"):
        wheels.check_needs(exported, ["gunicorn", "gevent"])
    exported.write_text("blinker==1.9.0\n")
    with pytest.raises(Refused, match=r"What it was made from, such as locked.in, is to name it"):
        wheels.check_needs(exported, ["gunicorn"])
    (tmp_path / "uv.lock").write_text("version = 1\n")
    with pytest.raises(Refused, match=r"type in \S+: uv export .* -o locked.txt"):
        wheels.lock_of(tmp_path / "uv.lock", [], BOOKWORM, tmp_path)


def test_psycogreen_is_needed_only_with_psycopg2(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("blinker==1.9.0\n")
    wheels.check_needs(path, ["psycogreen"])
    path.write_text("psycopg2-binary==2.9.13\n")
    with pytest.raises(Refused, match="The server mode needs psycogreen, which"):
        wheels.check_needs(path, ["psycogreen"])


@pytest.mark.parametrize("line", ["-r base.txt", "-c limits.txt", 'dynamic = ["dependencies"]'])
def test_what_stands_elsewhere_has_to_be_locked(tmp_path: Path, line: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"blinker\n{line}\n")
    with pytest.raises(Refused, match="may change unnoticed"):
        wheels.lock_of(path, [], BOOKWORM, tmp_path)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (">=3.9", True),
        ("<3.12,>=3.11.2", True),
        ("==3.11.2", True),
        ("^3", True),
        (">=3.12", False),
        ("<3.11", False),
    ],
)
def test_a_project_may_not_be_for_the_hosts_python(wanted: str, fits: bool, tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(f'[project]\nname = "shop"\nversion = "1"\nrequires-python = "{wanted}"\n')
    says = f"requires Python {wanted}, and the host has 3.11"
    with nullcontext() if fits else pytest.raises(Refused, match=says):
        wheels.check_python(path, BOOKWORM)


def test_requirements_nobody_can_satisfy_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("blinker>=99\n")
    with pytest.raises(Refused, match=r"cannot be satisfied for cpython-3.11"):
        wheels.lock_of(path, [], BOOKWORM, tmp_path)
    assert not list(tmp_path.glob("lock-*.txt"))
