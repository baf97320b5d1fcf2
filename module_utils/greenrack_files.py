"""Small files of a host, each written whole, and only once every one of them was found valid."""

from __future__ import annotations

import contextlib
import grp
import itertools
import os
import pwd
import secrets
import stat
import tempfile
from pathlib import Path

# What a module is told of each; config_files documents them.
OPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "secret": {"type": "str", "no_log": True},
    "mode": {"type": "str", "default": "0644"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "validate": {"type": "str"},
    "keep": {"type": "bool", "default": False},
}


def plain(path, most=2**24):
    """Return the bytes of a file; None if there is none, but a link, a pipe, or more; others may put that there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        seen = os.fstat(handle)
        return file.read(most) if stat.S_ISREG(seen.st_mode) and seen.st_size <= most else None


def directory(path):
    """Open a directory, made where there is none; by no link but root's: somebody else's would lead root elsewhere."""
    handle = os.open("/", os.O_PATH)
    for part in path.parts[1:]:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o755, dir_fd=handle)
        inner = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=handle)
        seen = os.fstat(inner)
        if stat.S_ISLNK(seen.st_mode) and seen.st_uid == 0:
            link = inner
            inner = os.open(os.readlink("", dir_fd=link), os.O_PATH, dir_fd=handle)
            os.close(link)
        elif not stat.S_ISDIR(seen.st_mode):
            raise NotADirectoryError(
                f"{part} in it is no directory, but a file or a link that is not root's"
            )
        os.close(handle)
        handle = inner
    return handle


class File:
    """One file as it shall be."""

    def __init__(self, module, wanted):
        self.module = module
        self.wanted = wanted
        self.path = Path(wanted["path"])
        self.mode = int(wanted["mode"], 8)
        # Ansible's templates end without a newline where the lookup stripped it.
        self.text = (wanted["secret"] or wanted["content"] or "").rstrip("\n") + "\n"

    def before(self):
        """Return the present text; empty if there is none."""
        return (plain(self.path) or b"").decode("utf-8", "replace")

    def current(self):
        """Say whether nothing has to be done."""
        if plain(self.path) != self.text.encode():
            return False
        now = self.path.stat()
        try:
            names = (pwd.getpwuid(now.st_uid).pw_name, grp.getgrgid(now.st_gid).gr_name)
        except KeyError:  # whose it was is gone
            return False
        return (now.st_mode & 0o7777, *names) == (
            self.mode,
            self.wanted["owner"],
            self.wanted["group"],
        )

    def diff(self):
        """Return what --diff shows."""
        header = {"before_header": str(self.path), "after_header": str(self.path)}
        if self.wanted["secret"]:
            return {**header, "before": "(secret)\n", "after": "(secret, changed)\n"}
        return {**header, "before": self.before(), "after": self.text}

    def validate(self):
        """Fail if the wanted text is not valid."""
        if not self.wanted["validate"]:
            return
        handle, draft = tempfile.mkstemp(dir=self.module.tmpdir)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self.text)
        command = self.wanted["validate"].replace("%s", draft)
        code, out, err = self.module.run_command(command, use_unsafe_shell=True)
        if code != 0:
            self.module.fail_json(
                msg=f"{self.path} would be invalid, so no file was changed. "
                f"'{self.wanted['validate']}' says:\n{out}{err}"
            )

    def folder(self):
        """Open the directory it is in."""
        try:
            return directory(self.path.parent)
        except OSError as error:
            self.module.fail_json(msg=f"{self.path} was not written: {error}")

    def keep(self):
        """Give what is there a second name, under which it stays, unless a file that was kept before says the same."""
        folder = self.folder()
        name, options = self.path.name, {"src_dir_fd": folder, "dst_dir_fd": folder}
        for number in itertools.count(1):
            kept = f"{name}.before-greenrack{f'.{number}' if number > 1 else ''}"
            try:
                os.link(name, kept, follow_symlinks=False, **options)
            except FileExistsError:
                there, said = self.path.with_name(kept), plain(self.path)
                same = os.path.samestat(self.path.lstat(), there.lstat())
                if not same and (said is None or said != plain(there)):
                    continue
            except FileNotFoundError:
                pass
            break
        os.close(folder)

    def write(self):
        """Write the file beside its name, as nobody's but root's, and move it there when it is whole."""
        owner, group = pwd.getpwnam(self.wanted["owner"]), grp.getgrnam(self.wanted["group"])
        folder = self.folder()
        partial = f".{self.path.name}.{secrets.token_hex(4)}"
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self.text)
            os.fchown(handle, owner.pw_uid, group.gr_gid)
            os.fchmod(handle, self.mode)
            file.flush()
            os.fsync(handle)
        os.rename(partial, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.close(folder)


def argument(**more):
    """Return the specification of a module's argument `files`; more: options of each file beyond ours."""
    return {
        "type": "list",
        "elements": "dict",
        "options": {**OPTIONS, **more},
        "mutually_exclusive": [("content", "secret")],
        "required_one_of": [("content", "secret")],
    }


def bring_up_to_date(module, wanted):
    """Write the files that are not as wanted; a dry run does not. Return their paths and what --diff shows."""
    files = [File(module, each) for each in wanted]
    old = [file for file in files if not file.current()]
    diff = [file.diff() for file in old]
    if not module.check_mode:
        for file in old:
            file.validate()
        os.umask(0o022)  # of the directories that are made: root's own may be stricter
        for file in [file for file in old if file.wanted.get("keep")]:
            file.keep()  # all before any is written: who is interrupted finds them
        for file in old:
            file.write()
    return [str(file.path) for file in old], diff
