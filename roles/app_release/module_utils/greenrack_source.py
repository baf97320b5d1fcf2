"""An application's source folder: what of it is released, and whether it can be served at all."""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
import sys
from pathlib import Path

CACHES = {".git", "__pycache__", ".pytest_cache", ".ruff_cache"}
ENVIRONMENT = ".venv"  # where a host's own is


class Refused(Exception):
    """The operator's input cannot work; says what is wrong, what is valid and what to type; no URL's password."""

    def __str__(self):
        return re.sub(r"(https?://)[^\s/]+@", r"\1********@", super().__str__())


def released_files(source, static=(), committed=False):
    """Return the files of a release, sorted, relative to `source`; links are kept as links.

    static: folders that nginx serves; committed: whether the source is a commit, in which is what was chosen.
    """
    paths = sorted(source.rglob("*"))
    environments = {path.parent for path in paths if path.name == "pyvenv.cfg"} - {source}
    found = []
    for path in paths:
        name = path.relative_to(source)
        made = not environments.isdisjoint(path.parents) or not CACHES.isdisjoint(name.parts)
        left = ENVIRONMENT in name.parts or (not committed and (made or _for_a_build(name, static)))
        if not left and (path.is_file() or path.is_symlink()):
            found.append(name)
    if not found:
        raise Refused(f"app_source '{source}' holds no files. It is the folder that is released.")
    return found


def _for_a_build(name, static):
    """Say whether a file is in a node_modules that is served to nobody."""
    if "node_modules" not in name.parts:
        return False
    above = name.parts[: name.parts.index("node_modules")]
    return "static" not in above and not any(Path(folder) in name.parents for folder in static)


def digest_of(source, files):
    """Return the SHA-256 of names, modes and contents of `files` below `source`."""
    digest = hashlib.sha256()
    for name in files:
        path = source / name
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        executable = bool(path.lstat().st_mode & 0o100)
        header = f"{name}\0{path.is_symlink()}\0{executable}\0{len(content)}\0"
        digest.update(header.encode() + content)
    return digest.hexdigest()


def newer_than_ours(python):
    """Say whether a host's Python, such as 3.13, may know syntax that this one does not."""
    return tuple(int(number) for number in python.split(".")) > sys.version_info[:2]


def importable(name, files):
    """Say whether a file is a module, at the top or of a package; a folder of old scripts may hold anything."""
    packages = list(name.parents)[:-1]
    return name.suffix == ".py" and all(package / "__init__.py" in files for package in packages)


def check_syntax(source, files, python):
    """Refuse modules that no interpreter would import; a newer one's are left to the host."""
    there = set(files)
    for name in files:
        if importable(name, there):
            try:
                ast.parse((source / name).read_bytes(), filename=str(name))
            except (
                SyntaxError,
                ValueError,
            ) as error:  # ValueError: zero bytes, up to Python 3.11.3
                if newer_than_ours(python):
                    continue
                line = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
                raise Refused(
                    f"{source / name}{line}: {getattr(error, 'msg', error)}. Nothing that imports it "
                    f"can start. To see it, type: python3 -m py_compile {source / name}"
                ) from error


def _names_bound(node):
    """Yield the names a top-level statement binds; None where that cannot be told."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield None if node.name == "__getattr__" else node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield None if alias.name == "*" else (alias.asname or alias.name.split(".")[0])
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    else:
        for child in ast.iter_child_nodes(node):
            yield from _names_bound(child)


def check_callable(source, target):
    """Refuse a `module:attribute`, or a factory `module:attribute()`, that is not there."""
    match = re.fullmatch(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)(?:\(\))?", target)
    if not match:
        raise Refused(
            f"'{target}' is no callable. Valid is module:attribute, such as wsgi:app, or of a factory "
            "module:attribute(), such as shop:create_app()."
        )
    module, attribute = match.groups()
    base = source.joinpath(*module.split("."))
    path = next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists()), None)
    if path is None:
        paths = [*source.glob("*.py"), *(path.parent for path in source.glob("*/__init__.py"))]
        modules = sorted(path.stem for path in paths)
        nearest = difflib.get_close_matches(module, modules, n=1, cutoff=0) or ["wsgi"]
        raise Refused(
            f"There is no module '{module}' in {source}. Modules there: {', '.join(modules) or 'none'}. "
            f"Set app_module to one of them, such as {nearest[0]}:{attribute}"
        )
    try:
        statements = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError):
        return  # only in what a newer Python may read: check_syntax has seen it before
    bound = {name for statement in statements for name in _names_bound(statement)}
    if None not in bound and attribute not in bound:
        brought = [one for one in statements if isinstance(one, (ast.Import, ast.ImportFrom))]
        own = bound.difference(name for one in brought for name in _names_bound(one))
        shown = sorted(name for name in own if name[0] != "_")
        raise Refused(
            f"{path} does not define '{attribute}', which '{target}' names. It defines: "
            f"{', '.join(shown) or 'nothing'}. Set app_module to {module}:NAME of one of them, or of a factory "
            f"to {module}:NAME()."
        )


def check_source(source, callables, python, static=(), committed=False):
    """Return the files of a release, or refuse what cannot be served by the host's Python."""
    source = Path(source)
    if not source.is_dir():
        raise Refused(
            f"app_source '{source}' is no folder. Valid is the folder that holds your code."
        )
    files = released_files(source, static, committed)
    check_syntax(source, files, python)
    for target in callables:
        check_callable(source, target)
    return files
