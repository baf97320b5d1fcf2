"""A host whose nginx and PostgreSQL serve somebody else, as Debian's packages have set them up."""

import pytest

SITE = "server { listen 127.0.0.1:81; location / { return 200 theirs; } }"
RULE = "host crm crm 10.0.0.0/8 scram-sha-256"
FILES = "/etc/nginx/nginx.conf /etc/postgresql/*/main/pg_hba.conf"


def anew(lab):
    """Put a blank host in the place of the one there is."""
    if lab.directory.exists():
        lab.lose("box1")
    up = lab.play("playbooks/lab_up.yml")
    assert up.code == 0, up.output


def take_over(lab):
    """Return what the refusal says to type."""
    version = lab.run("box1", "ls /etc/postgresql")
    return f'{{"preflight_take_over": ["nginx", "postgresql-{version}"]}}'


def look(lab):
    """Return the databases, and what serves somebody else, as it is now."""
    asks = "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database"
    databases = lab.run("box1", f'runuser -u postgres -- psql -XAtc "{asks}"')
    return databases, lab.run("box1", f"curl -s 127.0.0.1:81; md5sum {FILES}")


@pytest.fixture(scope="module")
def theirs(single):
    """The host, before greenrack."""
    anew(single)
    install = (
        "DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends"
    )
    single.run("box1", f"apt-get update --quiet=2 && {install} nginx postgresql curl")
    yield single
    anew(single)


def test_what_debian_has_installed_is_nobodys(theirs):
    run = theirs.play("site.yml", "--check")
    assert run.code == 0, run.output


def test_what_serves_somebody_else_is_refused_and_stays(theirs):
    theirs.run("box1", "runuser -u postgres -- createdb crm")
    theirs.run("box1", f"echo '{RULE}' | tee -a {FILES.split()[1]} && systemctl reload postgresql")
    theirs.run("box1", f"echo '{SITE}' > /etc/nginx/sites-enabled/crm && systemctl reload nginx")
    before = look(theirs)
    assert before[1].startswith("theirs"), before
    run = theirs.play("site.yml")
    assert run.code != 0, run.output
    said = " ".join(run.output.split())
    words = ["/etc/nginx/sites-enabled/crm", "database crm", f"rule '{RULE}'", take_over(theirs)]
    assert [word for word in words if word not in said] == [], run.output
    assert sum(run.changed.values()) == 0, run.output
    assert look(theirs) == before


def test_what_is_taken_over_is_kept_beside(theirs):
    """Once: the next run says nothing of it, and changes nothing."""
    before = theirs.run("box1", f"cat {FILES}")
    run = theirs.play("site.yml", "-e", take_over(theirs))
    assert run.code == 0, run.output
    kept = f"cat {FILES.replace('.conf', '.conf.before-greenrack')}"
    assert theirs.run("box1", kept) == before
    assert theirs.comes_back("/healthz") is None
    again = theirs.play("site.yml")
    assert (again.code, sum(again.changed.values())) == (0, 0), again.output
    assert theirs.run("box1", kept) == before
