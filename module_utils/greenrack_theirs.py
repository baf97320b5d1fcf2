"""What programs of a host do for somebody else, and would do no more with our files in place."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from ansible.module_utils import greenrack_files

ETC = Path("/etc")
# A line that our file has had in every version, and nobody else's has; its first one is Ansible's.
OURS = {
    "nginx": "access_log /var/log/nginx/access.log combined buffer=64k flush=1s;",
    "pgbouncer": "auth_hba_file = /etc/pgbouncer/hba.conf",
    "pgbackrest": "tls-server-ca-file=/etc/pgbackrest/peer.crt",
    "postgresql": "# TYPE  DATABASE  USER  ADDRESS  METHOD",
    "archive": "pgbackrest --stanza=main archive-push %p",
}
# And how a site begins that we wrote, of that name, in every version, or the file that is left of one.
SITE = r"^#.*\nupstream {0}(-\w+)? {{\n +zone {0}(-\w+)? 64k;|^# {0} is reached without nginx[.]$"
# Rules that a new cluster of Debian's has.
STOCK = re.compile(
    r"local (all|replication) (all|postgres) peer"
    r"|host (all|replication) all (127\.0\.0\.1/32|::1/128) (scram-sha-256|md5)"
)
FIRST = 16384  # the lowest number of a database that initdb has not made


def seen(path):
    """Return a file's bytes; None where there is none, or a link that is not root's: it may lead to anything."""
    try:
        link = path.is_symlink() and path.lstat().st_uid == 0
    except OSError:
        return None
    return greenrack_files.plain(path.resolve() if link else path)


def read(path):
    """Return a file's text; an empty one where there is no such file."""
    return (seen(path) or b"").decode("utf-8", "replace")


def brought(package):
    """Return {path: MD5} of the configuration that a Debian package, or one of its parts, has brought."""
    query = ["dpkg-query", "--show", "--showformat=${Conffiles}\\n", f"{package}*"]
    shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return dict(re.findall(r"^ (\S+) ([0-9a-f]{32})", shown, re.M))


def edited(package, paths):
    """Return those of the paths that are there, and not as a Debian package, or one of its parts, has brought them."""
    told = brought(package)
    found = {path: seen(path) for path in paths}
    digests = {
        path: hashlib.md5(what, usedforsecurity=False) for path, what in found.items() if what
    }
    return [
        str(path)
        for path, digest in digests.items()
        if told.get(str(path.resolve())) != digest.hexdigest()
    ]


def nginx():
    """Return its main file and the sites it includes, where those are not Debian's; files in conf.d stay."""
    main = ETC / "nginx/nginx.conf"
    said = read(main)
    if not said or OURS["nginx"] in said:
        return []
    sites = sorted((ETC / "nginx/sites-enabled").glob("*")) if "sites-enabled" in said else []
    return edited("nginx", [main, *sites])


def sites():
    """Return {site-NAME: its file} of sites in conf.d that are not ours: the application of that name replaces it."""
    files = (ETC / "nginx/conf.d").glob("*.conf")
    said = {file: read(file) for file in files}
    return {
        f"site-{file.stem}": [str(file)]
        for file, text in said.items()
        if text.strip() and not re.search(SITE.format(re.escape(file.stem)), text, re.M)
    }


def pgbouncer():
    """Return its main file, where it is not Debian's."""
    main = ETC / "pgbouncer/pgbouncer.ini"
    return [] if OURS["pgbouncer"] in read(main) else edited("pgbouncer", [main])


def pgbackrest():
    """Return the stanzas of its files, and the one that would be replaced."""
    main = ETC / "pgbackrest/pgbackrest.conf"
    if OURS["pgbackrest"] in read(main):
        return []
    files = [ETC / "pgbackrest.conf", main, *sorted((ETC / "pgbackrest/conf.d").glob("*.conf"))]
    found = [
        f"stanza {name} in {file}"
        for file in files
        for name in dict.fromkeys(re.findall(r"^\[(?!global[]:])([^]:]+)", read(file), re.M))
    ]
    return found or [str(main)] * main.exists()


def settings(etc):
    """Return the data directory of a cluster, by its folder in /etc, and {file: text} of what says how it is run."""
    files = [etc / "postgresql.conf", *sorted((etc / "conf.d").glob("*.conf"))]
    texts = {file: read(file) for file in files}
    where = re.findall(r"^\s*data_directory\s*=?\s*'(.+?)'", "\n".join(texts.values()), re.M)
    data = Path(where[-1]) if where else Path("/var/lib/postgresql", *etc.parts[-2:])
    return data, {**texts, data / "postgresql.auto.conf": read(data / "postgresql.auto.conf")}


def databases(etc, data):
    """Return the databases that somebody made in a cluster; how many, where it does not tell their names."""
    made = [
        path
        for path in (data / "base").glob("*")
        if path.name.isdigit() and int(path.name) >= FIRST
    ]
    if not made:
        return []
    asks = "SELECT datname FROM pg_database WHERE oid >= 16384 ORDER BY datname"
    psql = ["psql", "--cluster", "/".join(etc.parts[-2:]), "-XAtw", "-c", asks, "postgres"]
    command = ["runuser", "-u", "postgres", "--", "env", "PGCONNECT_TIMEOUT=5", *psql]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/").stdout
    return [f"database {name}" for name in said.splitlines()] or [f"{len(made)} databases"]


def postgresql(etc):
    """Return the databases and rules of a cluster, where they are not ours or Debian's."""
    data, _ = settings(etc)
    rules = read(etc / "pg_hba.conf")
    # A cluster that a restore has brought is ours before its rules are.
    if not rules or OURS["postgresql"] in rules or seen(data / "greenrack.stanza") is not None:
        return []
    # Without what comes behind the method, which may be a password.
    lines = [
        line.split()[: 4 if line.lstrip().startswith("local") else 5] for line in rules.splitlines()
    ]
    told = [" ".join(line) for line in lines if line and not line[0].startswith("#")]
    return databases(etc, data) + [f"rule '{line}'" for line in told if not STOCK.fullmatch(line)]


def archive(etc):
    """Return where a cluster is told how to archive its WAL, unless by us; and the files that win over ours.

    Not the command, which may have a password.
    """
    _, texts = settings(etc)
    ours, files = etc / "conf.d/archive.conf", list(texts)
    told = r"^\s*archive_command\s*=?\s*'"
    others = rf"{told}(?!{re.escape(OURS['archive'])}')"
    behind = [file for file in files if file.parent == ours.parent and file.name > ours.name]
    over = [str(file) for file in [*behind, files[-1]] if re.search(others, texts[file], re.M)]
    if OURS["archive"] in texts.get(ours, ""):
        return [], over
    found = [file for file in files if re.search(rf"{told}[^']", texts[file], re.M)]
    return [f"archive_command in {file}" for file in found], over


def theirs():
    """Return {program: what is somebody else's}, a cluster by its version, without those that have nothing."""
    found = {"nginx": nginx(), "pgbouncer": pgbouncer(), "pgbackrest": pgbackrest(), **sites()}
    for etc in (ETC / "postgresql").glob("*/main"):
        version = etc.parent.name
        theirs, over = archive(etc)
        found |= {f"archive-{version}": theirs, f"over-archive-{version}": over}
        found |= {f"postgresql-{version}": postgresql(etc)}
    return {program: what for program, what in found.items() if what}
