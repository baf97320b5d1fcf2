"""Applications nobody wrote for greenrack, beside the demo, each with its own mode, on the hosts the demo is on."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import requests

from tests.stack import other_inventory
from tests.stack.lab import BIN, ROOT, Lab

BOX = {"box1": 11}


def _ran(*command, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def beside(single, tmp_path_factory):
    """Return a lab of the same hosts, with another application's inventory."""
    run = single.play("site.yml", "-e", "server=uwsgi_gevent")
    assert run.code == 0, run.output

    def of(groups, **variables):
        folder = tmp_path_factory.mktemp("inventory") / variables["app_name"]
        path = other_inventory.write(folder, groups, variables)
        return Lab(path, single.name, single.prefix)

    return of


def _pids(single, name):
    return single.run("box1", f"systemctl show --value --property=MainPID '{name}-*.service'")


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """The application of the Flask documentation's tutorial, in a git repository, as Flask's source brings it."""
    folder = tmp_path_factory.mktemp("flask")
    version = re.search(
        r"^flask==(\S+)", (ROOT / "app/demo/requirements.txt").read_text(), re.M
    ).group(1)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    _ran(*pip, f"--dest={folder}", f"flask=={version}")
    (archive,) = folder.glob("flask-*.tar.gz")
    shutil.unpack_archive(archive, folder)
    repository = folder / f"flask-{version}"
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["config", "user.name", "test"],
        ["config", "user.email", "test@example.org"],
        ["add", "examples"],
        ["commit", "--quiet", "--message=As published"],
        ["tag", "v1"],
    ):
        _ran("git", *command, cwd=repository)
    return repository


@pytest.fixture(scope="module")
def flaskr(beside, tutorial):
    return beside(
        {"app": BOX, "proxy": {"box1": 11}},
        app_name="flaskr",
        app_source=f"file://{tutorial}",
        app_ref="v1",
        app_folder="examples/tutorial",
        app_requirements="pyproject.toml",
        app_module="flaskr:create_app()",
        app_health_path="/auth/login",
        app_static={"/static/": "flaskr/static"},
        app_shared=["instance"],
        app_migrate="test -e instance/flaskr.sqlite || flask --app flaskr init-db",
        app_packages=["sqlite3"],
        app_port=8010,
        nginx_port=8080,
    )


# As in an image that was made smaller a moment ago: apt's module takes lists by the age of their directory.
EMPTIED = "rm -rf /var/lib/apt/lists/* /var/lib/apt/periodic/*"


def test_tutorial_of_flask_beside_the_demo(single, flaskr):
    demo = _pids(single, "demo")
    single.run("box1", EMPTIED)
    run = flaskr.play("site.yml", "-e", "server=gunicorn_sync")
    assert run.code == 0, run.output
    again = flaskr.play("site.yml", "-e", "server=gunicorn_sync")
    assert (again.code, again.changed) == (0, {"box1": 0}), again.output
    assert _pids(single, "demo") == demo
    assert single.get("/stats")[0] == 200
    assert single.run("box1", "sqlite3 --version")


ENTER = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def test_no_application_reaches_the_socket_of_another(single, flaskr):
    sockets = single.run("box1", "ls /run/*/app.sock").split()
    owners = {path: single.run("box1", f"stat --format=%U {path}") for path in sockets}
    assert len(set(owners.values())) > 1, owners
    for own in sockets:
        unit = own.split("/")[2]
        pid = single.run("box1", f"systemctl show --value --property=MainPID {unit}")
        status = single.run("box1", f"cat /proc/{pid}/status")
        ids = dict(re.findall(r"^(Uid|Gid|Groups):\s*(.*)$", status, re.M))
        groups = ",".join(ids["Groups"].split())
        user = f"setpriv --reuid={ids['Uid'].split()[0]} --regid={ids['Gid'].split()[0]}"
        user += f" --groups={groups}" if groups else " --clear-groups"
        reached = {
            owners[path]
            for path in sockets
            if single.host("box1").run(f'{user} python3 -c "{ENTER}" {path}').rc == 0
        }
        assert reached == {owners[own]}, (unit, ids)


def _style(single):
    return single.get("/static/style.css", address=f"{single.prefix}.11:8080")


def test_static_files_come_compressed_and_the_code_is_nobody_elses(single, flaskr):
    url = f"http://{single.prefix}.11:8080/static/style.css"
    answer = requests.get(url, headers={"Accept-Encoding": "gzip"}, timeout=30)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.text == _style(single)[1]
    read = "cd /; runuser -u {} -- find /srv/flaskr/releases -name schema.sql"
    assert "Permission denied" in single.host("box1").run(read.format("nobody")).stderr
    assert "flaskr/schema.sql" in single.run("box1", read.format("flaskr"))


def test_what_it_writes_and_its_static_files_outlive_a_release(single, flaskr, tutorial):
    url = f"http://{single.prefix}.11:8080"
    with requests.Session() as visitor:
        visitor.trust_env = False
        who = {"username": "ada", "password": "secret"}
        assert visitor.post(f"{url}/auth/register", data=who).status_code == 200
        assert visitor.post(f"{url}/auth/login", data=who).status_code == 200
        post = {"title": "Kept from release to release", "body": "yes"}
        assert visitor.post(f"{url}/create", data=post).status_code == 200
    style = tutorial / "examples/tutorial/flaskr/static/style.css"
    assert _style(single) == (200, style.read_text())
    style.write_text("/* the second release */\n")
    (style.parent / "new.css").write_text("/* new */\n")
    _ran("git", "add", "examples", cwd=tutorial)
    _ran("git", "commit", "--quiet", "--message=Another style", cwd=tutorial)

    run = flaskr.play("playbooks/release.yml", "-e", "app_ref=main")
    assert run.code == 0, run.output
    assert "0 failed, the slowest answer took" in run.output, run.output
    assert _style(single) == (200, "/* the second release */\n")
    assert "Kept from release to release" in requests.get(url, timeout=60).text

    run = flaskr.play("playbooks/rollback.yml")
    assert run.code == 0, run.output
    assert _style(single)[1] != "/* the second release */\n"
    # Pages of the release before are still open in browsers.
    assert single.get("/static/new.css", address=f"{single.prefix}.11:8080")[0] == 200


def _command(lab, command, *arguments):
    """Run a command of the application, told a secret."""
    told = {"command": command, "app_secrets": {"TOKEN": "never-to-be-shown"}}
    return lab.play("playbooks/run.yml", "-e", json.dumps(told), *arguments)


def test_command_is_run_in_the_release_that_is_live(single, flaskr):
    """After the way back: the newest release is not it."""
    command = 'id --user --name; pwd; test -e /proc/1 || flask --app flaskr routes; echo "<$TOKEN>"'
    run = _command(flaskr, f"{command}; touch instance/ran")
    assert (run.code, run.changed) == (0, {"box1": 1}), run.output
    shown = "systemctl show --value --property=WorkingDirectory --state=active 'flaskr-*.service'"
    live = single.run("box1", shown).split()
    newest = single.run("box1", "ls -td /srv/flaskr/releases/* | head -1")
    assert [newest] != live, "it proves nothing"
    said = run.output.split("which is live.")[1].split()
    assert said[:2] == ["flaskr", *live], run.output
    assert "blog.index" in said, run.output
    assert "<********>" in said, run.output
    assert single.run("box1", "stat --format=%U /srv/flaskr/shared/instance/ran") == "flaskr"


def test_command_that_fails_says_how_and_a_dry_run_runs_none(single, flaskr):
    run = _command(flaskr, "touch instance/failed; echo no $TOKEN >&2; exit 7")
    assert run.code != 0, run.output
    assert "Ended with 7: " in run.output, run.output
    assert "no ********" in run.output, run.output
    run = _command(flaskr, "touch instance/dry", "--check")
    assert (run.code, run.changed) == (0, {"box1": 0}), run.output
    assert "Would run 'touch instance/dry' on box1" in run.output, run.output
    listed = single.run("box1", "ls /srv/flaskr/shared/instance").split()
    assert ("failed" in listed, "dry" in listed) == (True, False)


def test_command_of_what_is_not_deployed_is_refused(flaskr):
    run = _command(flaskr, "true", "-e", "app_name=never")
    assert run.code != 0, run.output
    assert "Nothing is live on box1 yet. Type: " in run.output, run.output
    assert f"/flaskr site.yml -e lab_name={flaskr.name} " in run.output, run.output
    run = _command(flaskr, "")
    assert run.code != 0, run.output
    assert "There is no command to run" in run.output, run.output


def test_commit_that_is_not_there_is_refused(flaskr):
    run = flaskr.play("playbooks/release.yml", "-e", "app_ref=v9")
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert "There is no commit 'v9' in app_source. The youngest branches and tags are:" in said
    assert "main" in said
    assert "v1" in said


SETTINGS = """
import os
from urllib.parse import unquote, urlsplit

at = urlsplit(os.environ["DATABASE_URL"])
ALLOWED_HOSTS = ["*"]
SECRET_KEY = os.environ["SECRET_KEY"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": at.path[1:], "HOST": at.hostname,
    "PORT": at.port, "USER": at.username, "PASSWORD": unquote(at.password),
}}
"""


def test_django_with_its_migrations_beside_the_demo(single, beside, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    django = "django>=5.2,<5.3"
    admin = [str(BIN / "uv"), "tool", "run", "--quiet", "--from", django, "django-admin"]
    _ran(*admin, "startproject", "store", str(source))
    with (source / "store/settings.py").open("a") as settings:
        settings.write(SETTINGS)
    (source / "requirements.txt").write_text(f"{django}\npsycopg2-binary\n")
    # Of several sites on a port, nginx looks names up in a table whose rows have 46 characters by themselves.
    domain = "a-store-whose-name-is-longer-than-most.example.org"
    hard = "quotes ' \" dollars $HOME and percents %n, ü"
    store = beside(
        {"app": BOX, "proxy": {"box1": 11}, "database": {"box1": 11}},
        app_name="store",
        app_source=str(source),
        app_module="store.wsgi:application",
        app_health_path="/admin/login/",
        app_env={"DATABASE_URL": "{{ database_url }}"},
        app_secrets={"SECRET_KEY": hard},
        app_migrate="python manage.py migrate --noinput",
        app_migrate_env={"DATABASE_URL": "{{ migrate_database_url }}"},
        app_domains=[domain],
        nginx_default_site=False,
        app_port=8020,
    )
    demo = _pids(single, "demo")
    run = store.play("site.yml", "-e", "server=gunicorn_gevent")
    assert run.code == 0, run.output
    assert "dollars $HOME" not in run.output
    again = store.play("site.yml", "-e", "server=gunicorn_gevent")
    assert (again.code, again.changed) == (0, {"box1": 0}), again.output
    assert _pids(single, "demo") == demo

    site = f"http://{single.prefix}.11/admin/login/"
    named = {"Host": domain}
    with requests.Session() as visitor:
        visitor.trust_env = False
        token = re.search(
            r'name="csrfmiddlewaretoken" value="(\w+)"',
            visitor.get(site, headers=named, timeout=60).text,
        ).group(1)
        answer = visitor.post(
            site,
            data={"username": "x", "password": "y", "csrfmiddlewaretoken": token},
            headers={**named, "Cookie": f"csrftoken={visitor.cookies.get('csrftoken')}"},
            timeout=60,
        )
    # It looked into a table that the migration has made.
    assert "Please enter the correct username and password" in answer.text, answer.text
    assert single.get("/stats")[0] == 200  # who names no site gets the one that was first
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'auth_user'"
    asked = f'sudo -u postgres psql -At -c "{owner}" store'
    assert single.run("box1", asked) == "store_owner"
    run = store.play("site.yml", "-e", '{"database_is_local": false}')
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    assert "PostgreSQL there serves demo too, without TLS at 127.0.0.1, and this run" in said, said
