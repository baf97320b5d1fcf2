"""A commit's files, out of a folder's own git repository or a mirror of one elsewhere."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

from ansible.module_utils.greenrack_source import Refused

URL = re.compile(r"^([a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:)")
POINTER = b"version https://git-lfs.github.com/spec/v1\n"  # as such a file begins


def is_url(source):
    """Say whether `source` is the URL of a repository, and not a folder."""
    return bool(URL.match(source))


def _git(*arguments):
    """Run git; it must not wait for a password nobody will type."""
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    environment = {**quiet, **os.environ}
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, env=environment
        )
    except FileNotFoundError as error:
        raise Refused(
            "git is not installed here, and app_source or app_ref wants a commit. Type: sudo apt-get install git"
        ) from error


def mirror(url, cache, ref):
    """Return a mirror of the repository in the cache, as it is there now. Nobody else may write the cache.

    A whole commit's name means the same for ever: what has it, is not fetched again.
    """
    path = cache / "git" / hashlib.sha256(url.encode()).hexdigest()[:12]
    if re.fullmatch("[0-9a-f]{40}", ref) and known(path, ref):
        return path
    if (path / "HEAD").exists():
        done = _git("--git-dir", str(path), "remote", "update", "--prune")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        done = _git("clone", "--quiet", "--mirror", "--", url, str(path))
    if done.returncode != 0:
        raise Refused(
            f"app_source '{url}' cannot be fetched. git says:\n{done.stderr.strip()}\nValid is a URL this machine "
            f"may read without being asked for a password. To try, type: git ls-remote '{url}'"
        )
    return path


def repository_of(folder):
    """Return the git directory of the repository a folder is in, and where the folder is in it."""
    done = _git("-C", str(folder), "rev-parse", "--absolute-git-dir", "--show-prefix")
    if done.returncode != 0:
        raise Refused(
            f"app_source '{folder}' has no commits. git says: {done.stderr.strip()}\n"
            "Of a folder in no repository, leave app_ref out, and the files are released as they are."
        )
    directory, prefix = done.stdout.split("\n")[:2]
    return Path(directory), prefix


def repository(source, ref, cache):
    """Return the git directory that has the commit `ref`, and where in it app_source, a folder or a URL, is."""
    return (mirror(source, cache, ref), "") if is_url(source) else repository_of(Path(source))


def known(directory, ref):
    """Return the full name of the commit a branch, a tag or a shorter name means; empty if there is none."""
    asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"]
    return _git("--git-dir", str(directory), *asked).stdout.strip()


def commit_of(directory, ref):
    """Return the full name of the commit `ref` means; refuse it if there is none."""
    commit = known(directory, ref)
    if not commit:
        names = [
            "--sort=-creatordate",
            "--count=20",
            "--format=%(refname:short)",
            "refs/heads",
            "refs/tags",
        ]
        there = _git("--git-dir", str(directory), "for-each-ref", *names).stdout.split()
        raise Refused(
            f"There is no commit '{ref}' in app_source. The youngest branches and tags "
            f"are: {', '.join(there) or 'none'}. Type, for one of them: -e app_ref=NAME"
        )
    return commit


def unpack(repository, commit, directory):
    """Fill `directory` with the commit's files, as git archive gives them."""
    archive = directory.with_suffix(".tar")
    done = _git("--git-dir", str(repository), "archive", f"--output={archive}", commit)
    if done.returncode != 0:
        raise Refused(f"Commit {commit} cannot be read. git says:\n{done.stderr.strip()}")
    directory.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(directory)], check=True)
    archive.unlink()


def submodules(repository, commit, files):
    """Return where the commit's submodules are below `files`, but for those that .gitattributes leaves out of it."""
    listed = ["git", "--git-dir", str(repository), "ls-tree", "-rz", "--full-tree", commit]
    entries = subprocess.run(listed, capture_output=True, check=True).stdout.split(b"\0")
    names = [os.fsdecode(e.partition(b"\t")[2]) for e in entries if e.startswith(b"160000 ")]
    return [files / name for name in names if (files / name).is_dir()]


def pointers(source):
    """Return the files that stand for others, which Git LFS keeps."""
    found = []
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                found += [path] if file.read(len(POINTER)) == POINTER else []
    return found


def check_whole(repository, commit, files, source):
    """Refuse a commit, unpacked to `files`, that has not all the files of the application in `source`."""
    modules = [
        path
        for path in submodules(repository, commit, files)
        if path == source or path in source.parents or source in path.parents
    ]
    for found, whose, get in (
        (modules, "its submodules have", "git submodule update --init --recursive"),
        (pointers(source), "Git LFS keeps", "git lfs pull"),
    ):
        if found:
            names = [str(path.relative_to(files)) for path in found]
            shown = ", ".join(names[:3]) + (", ..." if names[3:] else "")
            raise Refused(
                f"The commit has none of the files that {whose}: {shown}. Valid is a folder that has them: clone the "
                f"repository, type there {get}, set app_source to it, and leave app_ref out. What the application can "
                f"do without, the commit leaves out by a line of its .gitattributes: {names[0]} export-ignore"
            )
