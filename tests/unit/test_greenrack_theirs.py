"""What a host's programs do for somebody else: Debian's own files, ours of every version, and theirs."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import greenrack_modules
import pytest

theirs = greenrack_modules.load("greenrack_theirs")
ROOT = Path(__file__).parents[2]

STOCK = """\
# TYPE  DATABASE        USER            ADDRESS                 METHOD
local   all             postgres                                peer
local   all             all                                     peer
host    all             all             127.0.0.1/32            scram-sha-256
host    all             all             ::1/128                 scram-sha-256
local   replication     all                                     peer
host    replication     all             127.0.0.1/32            scram-sha-256
host    replication     all             ::1/128                 scram-sha-256
"""
OWN = "host crm all 10.0.0.0/8 ldap ldapserver=ldap.test ldapbindpasswd=geheim\n"


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that takes the place of /etc, and a dpkg that has brought nginx's files there."""
    folder = tmp_path / "etc"
    for name in ("nginx/sites-available", "nginx/sites-enabled", "postgresql/15/main/conf.d"):
        (folder / name).mkdir(parents=True)
    brought = {"nginx.conf": "include sites-enabled/*;", "sites-available/default": "server {}"}
    conffiles = ""
    for name, text in brought.items():
        (folder / "nginx" / name).write_text(text)
        conffiles += f" {folder}/nginx/{name} {hashlib.md5(text.encode()).hexdigest()}\n"  # noqa: S324
    (folder / "nginx/sites-enabled/default").symlink_to(folder / "nginx/sites-available/default")
    package = "Package: nginx-common\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
    package += "Maintainer: m <m@test>\nDescription: d\n"
    for name in ("info", "updates"):
        (tmp_path / "dpkg" / name).mkdir(parents=True)
    (tmp_path / "dpkg/status").write_text(f"{package}Conffiles:\n{conffiles}\n")
    monkeypatch.setenv("DPKG_ADMINDIR", str(tmp_path / "dpkg"))
    monkeypatch.setattr(theirs, "ETC", folder)
    cluster = folder / "postgresql/15/main"
    (cluster / "pg_hba.conf").write_text(STOCK)
    (cluster / "postgresql.conf").write_text(f"data_directory = '{tmp_path}/data'\n")
    (tmp_path / "data/base/5").mkdir(parents=True)
    return folder


def test_what_debian_has_just_installed_is_nobodys(etc: Path) -> None:
    assert theirs.theirs() == {}


def test_a_host_without_any_of_it_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theirs, "ETC", tmp_path)
    assert theirs.theirs() == {}


@pytest.mark.parametrize("name", ["nginx.conf", "sites-available/default"])
def test_a_file_of_nginx_that_was_edited_is_theirs(etc: Path, name: str) -> None:
    with (etc / "nginx" / name).open("a") as file:
        file.write("# mine\n")
    named = name.replace("available", "enabled")
    assert theirs.theirs() == {"nginx": [f"{etc}/nginx/{named}"]}


def test_a_site_of_nginx_is_theirs_where_it_is_included(etc: Path) -> None:
    shop = etc / "nginx/sites-enabled/shop"
    shop.write_text("server {}")
    assert theirs.theirs() == {"nginx": [str(shop)]}
    main = etc / "nginx/nginx.conf"
    main.write_text("include conf.d/*.conf;")
    assert theirs.theirs() == {"nginx": [str(main)]}, "conf.d stays"


def test_a_site_in_conf_d_is_theirs_for_the_application_of_its_name(etc: Path) -> None:
    site = etc / "nginx/conf.d/shop-2.conf"
    site.parent.mkdir()
    site.write_text("upstream shop-2 {\n    zone shop-2 64k;\n}\n")
    assert theirs.theirs() == {"site-shop-2": [str(site)]}
    written = (ROOT / "roles/nginx/templates/site.conf.j2").read_text(encoding="utf-8")
    written = re.sub("{%.*%}\n", "", written).replace("{{ name }}", "blue")
    left = (ROOT / "roles/nginx/tasks/removed.yml").read_text(encoding="utf-8")
    left = re.findall('content: "(.+)"', left)[0]
    first = "# Ansible managed\nupstream shop-2 {\n    zone shop-2 64k;\n"
    for text in (written, left, first, ""):
        site.write_text(text.replace("{{ app_name }}", "shop-2"))
        assert theirs.theirs() == {}, text[:200]


def test_rules_and_databases_are_theirs(etc: Path, tmp_path: Path) -> None:
    """The names of databases are asked of a cluster that is not there; what comes behind a method is a secret."""
    cluster = etc / "postgresql/15/main"
    (cluster / "pg_hba.conf").write_text(STOCK + OWN)
    (tmp_path / "data/base/16384").mkdir()
    (tmp_path / "data/base/pgsql_tmp").mkdir()
    found = theirs.theirs()
    assert found == {"postgresql-15": ["1 databases", "rule 'host crm all 10.0.0.0/8 ldap'"]}
    (tmp_path / "data/greenrack.stanza").touch()
    assert theirs.theirs() == {}, "a restore brought it"


def test_a_link_that_is_not_roots_is_not_followed(etc: Path, tmp_path: Path) -> None:
    rules = etc / "postgresql/15/main/pg_hba.conf"
    (tmp_path / "shadow").write_text("root geheim")
    rules.unlink()
    rules.symlink_to(tmp_path / "shadow")
    os.lchown(rules, 65534, 65534)
    assert "geheim" not in str(theirs.theirs())


def test_where_wal_is_sent_otherwise_is_theirs_until_we_say_it(etc: Path) -> None:
    cluster = etc / "postgresql/15/main"
    mine = cluster / "conf.d/mine.conf"
    mine.write_text("archive_command = 'PASSWORD=geheim cp %p /nfs'\n")
    told = {"archive-15": [f"archive_command in {mine}"], "over-archive-15": [str(mine)]}
    assert theirs.theirs() == told
    ours = f"archive_command = '{theirs.OURS['archive']}'\n"
    (cluster / "conf.d/archive.conf").write_text(ours)
    assert theirs.theirs() == {"over-archive-15": [str(mine)]}, "read after ours"
    mine.rename(cluster / "conf.d/alpha.conf")
    assert theirs.theirs() == {}
    altered = etc.parent / "data/postgresql.auto.conf"
    altered.write_text(ours)
    assert theirs.theirs() == {}
    altered.write_text("archive_command = ''\n")
    assert theirs.theirs() == {"over-archive-15": [str(altered)]}


def test_stanzas_are_theirs(etc: Path) -> None:
    """Wherever they stand, and the file that would be replaced, also without one."""
    debians = "[global]\nrepo1-path=/var/lib/pgbackrest\n\n#[main]\n#pg1-path=/var/lib\n"
    (etc / "pgbackrest.conf").write_text(debians)
    assert theirs.theirs() == {}
    (etc / "pgbackrest.conf").write_text(
        f"{debians}[global:archive-push]\n[crm]\npg1-path=/a\n[crm:backup]\n"
    )
    assert theirs.theirs() == {"pgbackrest": [f"stanza crm in {etc}/pgbackrest.conf"]}
    (etc / "pgbackrest.conf").unlink()
    (etc / "pgbackrest").mkdir()
    main = etc / "pgbackrest/pgbackrest.conf"
    main.write_text("[global]\n")
    assert theirs.theirs() == {"pgbackrest": [str(main)]}
    main.write_text(f"[global]\n{theirs.OURS['pgbackrest']}\n[main]\n")
    assert theirs.theirs() == {}


def test_pgbouncer_is_theirs_unless_it_is_ours_or_debians(etc: Path) -> None:
    main = etc / "pgbouncer/pgbouncer.ini"
    main.parent.mkdir()
    main.write_text("[databases]\ncrm = host=db\n")
    assert theirs.theirs() == {"pgbouncer": [str(main)]}
    main.write_text(f"[pgbouncer]\n{theirs.OURS['pgbouncer']}\n")
    assert theirs.theirs() == {}


# Where our files get the line that they are known by.
WRITTEN = {
    "nginx": "roles/nginx/templates/nginx.conf.j2",
    "pgbouncer": "roles/pgbouncer/templates/pgbouncer.ini.j2",
    "pgbackrest": "roles/backup/templates/tls.conf.j2",
    "postgresql": "roles/postgresql/templates/pg_hba.conf.j2",
    "archive": "inventories/topology.yml",
}


@pytest.mark.parametrize("program", theirs.OURS)
def test_what_we_write_is_ours(program: str) -> None:
    assert theirs.OURS[program] in (ROOT / WRITTEN[program]).read_text(encoding="utf-8")
