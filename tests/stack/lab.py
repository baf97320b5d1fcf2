"""A lab of the test run's own: real hosts, thrown away at the end, beside any other lab."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import testinfra

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SUDO = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]

# What a host writes by itself, without anybody changing it.
RESTLESS = re.compile(
    r"^(run|tmp|var/(log|tmp|cache|lib/(systemd|apt|dpkg/lock))|(root|home/[^/]+)/\.(ansible|sudo_as_admin))"
)

# A client of PostgreSQL: asks for TLS, then to log in as demo.
KNOCK = r"""python3 - <<'END'
import socket, ssl
plain = socket.create_connection(("%(address)s", %(port)d), 5)
plain.sendall(bytes.fromhex("0000000804d2162f"))
plain.recv(1)
link = ssl._create_unverified_context().wrap_socket(plain)
login = b"user\x00%(login)s\x00database\x00demo\x00\x00"
link.sendall((8 + len(login)).to_bytes(4, "big") + b"\x00\x03\x00\x00" + login)
print(link.recv(300))
END"""

# The end of the journal of each unit that has failed.
FAILED = """
for unit in $(systemctl --failed --plain --no-legend | cut -d' ' -f1); do
  journalctl --unit="$unit" --lines=20 --no-pager --quiet --output=short
done"""


class Run:
    """What a playbook did."""

    def __init__(self, code, output):
        self.code, self.output = code, output
        recap = re.findall(
            r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=\d+ +failed=(\d+)", self.output, re.M
        )
        self.changed = {host: int(changed) for host, changed, _ in recap}

    def __repr__(self):
        return f"exit code {self.code}\n{self.output}"


def free_number():
    """Return the lowest number whose test labs nobody has up, and a socket that keeps it until it is closed."""
    for number in range(1, 60):
        # A name of the network's namespace, as a bridge's is; it is free again when its process has ended.
        claim = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            claim.bind(f"\0greenrack-test{number}")
            bridges = {path.name for path in Path("/sys/class/net").iterdir()}
            if not {f"gr-test{number}", f"gr-tests{number}"} & bridges:
                return number, claim
        claim.close()
    raise AssertionError("59 test labs are up: docs/testing.md says how to throw them away")


class Lab:
    """A lab booted from one of the project's own inventories, or from a path, under another name and prefix."""

    def __init__(self, inventory, name, prefix, suite="bookworm"):
        self.inventory, self.name, self.prefix = inventory, name, prefix
        self.suite = os.environ.get("LAB_SUITE") or suite
        self.directory = Path("/var/lib/greenrack", name)

    def command(self, playbook, *arguments):
        """Return the command line of a playbook against this lab."""
        extra = [f"lab_name={self.name}", f"lab_prefix={self.prefix}", f"lab_suite={self.suite}"]
        chosen = [word for pair in extra for word in ("-e", pair)]
        return [
            str(BIN / "ansible-playbook"),
            "-i",
            str(Path("inventories", self.inventory)),
            playbook,
            *chosen,
            *arguments,
        ]

    def play(self, playbook, *arguments):
        """Run a playbook to its end."""
        begun = self.begin(playbook, *arguments, stdout=subprocess.PIPE)
        output, _ = begun.communicate()
        return Run(begun.returncode, output)

    def begin(self, playbook, *arguments, env=None, **options):
        """Start a playbook; env: more of its environment; options: what subprocess.Popen takes besides."""
        own = {"ANSIBLE_NOCOLOR": "1", "PATH": f"{BIN}:{os.environ['PATH']}"}
        # Hosts on this machine are sent it for nothing, and need not compile in each task. Molecule's do without.
        own["GREENRACK_BYTECODE"] = "true"
        environment = {**os.environ, **own, **(env or {})}
        given = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "text": True}
        command = self.command(playbook, *arguments)
        return subprocess.Popen(command, cwd=ROOT, env=environment, **given, **options)

    def host(self, name):
        """Return testinfra's view of a host, over SSH and as root."""
        return testinfra.get_host(
            f"ssh://{name}", ssh_config=str(self.directory / "ssh/config"), sudo=True
        )

    def address(self, name):
        """Return a host's address."""
        number = {"proxy1": 11, "app1": 21, "api1": 31, "db1": 41, "load1": 51}[name]
        return f"{self.prefix}.{number}"

    def run(self, name, command):
        """Run a command on a host as root; return what it printed, or fail with what it said."""
        done = self.host(name).run(command)
        assert done.rc == 0, f"{name}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def knock(self, name, port, login="demo"):
        """Return the first thing the database's host says at a port to a login that comes by TLS from a host."""
        return self.run(
            name, KNOCK % {"address": self.address("db1"), "port": port, "login": login}
        )

    def boot_id(self, name):
        """Return what the kernel calls the host's present run, or None if it cannot be reached."""
        config = ["-F", str(self.directory / "ssh/config")]
        command = ["ssh", *config, "-o", "ControlPath=none", "-o", "ConnectTimeout=2", name]
        asked = [*command, "cat", "/proc/sys/kernel/random/boot_id"]
        shown = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        return shown.strip() or None

    def comes_to(self, name):
        """Return when a host that was out of reach answers; what was shared to it before is of no use any more."""
        self.cut_off(name)
        end = time.monotonic() + 90
        while self.boot_id(name) is None:
            assert time.monotonic() < end, f"{name} did not come back"
            time.sleep(0.2)

    def failed_units(self):
        """Return the end of the journals of what has failed on its hosts, as far as they answer soon."""
        config = self.directory / "ssh/config"
        names = re.findall(r"^Host (\w+)", config.read_text(), re.M) if config.exists() else []
        ssh = ["ssh", "-F", str(config), "-o", "ControlPath=none", "-o", "ConnectTimeout=5"]
        said = []
        for name in names:
            command = ["timeout", "15", *ssh, name, f"sudo sh -c {shlex.quote(FAILED)}"]
            shown = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            silent = "it did not answer in time" if shown.returncode == 124 else "none"
            said.append(f"{name}: {shown.stdout.strip() or shown.stderr.strip() or silent}")
        return "\n".join(said) or "it has no hosts"

    def cut_off(self, name):
        """End the SSH connection that playbooks share to a host, if there is one, and all that goes over it."""
        ssh = self.directory / "ssh"
        shared = ["-F", str(ssh / "config"), "-o", f"ControlPath={ssh}/%C"]
        subprocess.run(["ssh", *shared, "-O", "exit", name], capture_output=True, check=False)

    def lose(self, name):
        """Throw a host away, its disk too, as a fire would; lab_up.yml puts a blank one in its place."""
        self.cut_off(name)
        place, unit = self.directory / "hosts" / name, f"greenrack-{self.name}-{name}.service"
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        groups = [Path(m[1], "greenrack", self.name, name, "cgroup.kill") for m in mounts]
        (kill,) = [group for group in groups if group.exists()] or [None]
        end = (
            f"echo 1 > {kill}" if kill else f"systemctl kill -s KILL {unit}; systemctl stop {unit}"
        )
        script = f"{end}; until umount {place}/root; do sleep 0.2; done; rm -r {place}"
        subprocess.run([*SUDO, "sh", "-c", script], capture_output=True, check=True)

    def reboot(self, name):
        """Reboot a host, and return when it can be reached again."""
        before = self.boot_id(name)
        self.host(name).run("systemctl reboot")
        end = time.monotonic() + 90
        while self.boot_id(name) in (None, before):
            assert time.monotonic() < end, f"{name} did not come back"
            time.sleep(0.2)

    def instance(self):
        """Return what runs of the application, demo-blue or demo-green; never both, between two deploys."""
        name = "box1" if self.inventory == "single" else "app1"
        listed = "systemctl list-units --plain --no-legend --state=active demo-blue.service demo-green.service"
        (line,) = self.run(name, listed).splitlines()
        return line.split()[0].removesuffix(".service")

    def disks(self):
        """Return {file: (size, modification time)} of all that was written on the hosts' disks."""
        hosts = self.directory / "hosts"
        shown = subprocess.run(
            [
                *SUDO,
                "find",
                str(hosts),
                "-path",
                "*/upper/*",
                "-not",
                "-type",
                "d",
                "-printf",
                r"%P %s %T@\n",
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        found = {}
        for line in shown.splitlines():
            path, size, time_ = line.rsplit(" ", 2)
            host, _, inside = path.partition("/upper/")
            if not RESTLESS.match(inside):
                found[f"{host}:{inside}"] = (size, time_)
        return found

    def get(self, path, address=None, timeout=60):
        """Return (status, body) of a GET request to the site."""
        url = f"http://{address or self.prefix + '.11'}{path}"
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def comes_back(self, path="/readyz", seconds=90):
        """Wait until the site answers 200; return the last thing it said otherwise."""
        said, end = None, time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                said = self.get(path, timeout=5)
                if said[0] == 200:
                    return None
            except OSError as error:
                said = error
            time.sleep(0.3)
        return said

    def leftovers(self):
        """Return what is left of the lab on the controller: it should be nothing."""
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        cgroups = [line.split()[1] for line in mounts if line.split()[2] in ("cgroup", "cgroup2")]
        places = [Path(root, "greenrack", self.name) for root in cgroups]
        places += [Path("/sys/class/net", f"gr-{self.name}"), self.directory]
        places += Path("/sys/class/net").glob(f"vb-{self.name}-*")
        tables = subprocess.run(
            [*SUDO, "nft", "list", "tables"], capture_output=True, text=True, check=True
        )
        found = [str(place) for place in places if place.exists()]
        found += [line for line in mounts if f"/greenrack/{self.name}/" in line]
        table = f"table ip greenrack_{self.name}"
        return found + [line for line in tables.stdout.splitlines() if line == table]


KNOWING_THE_MODE = (
    "firewall,app_release,app_server,nginx"  # the parts of the stack whose deploy depends on it
)


def switch(lab, *variables, tags=KNOWING_THE_MODE):
    """Deploy a mode, and what goes with it, to a lab that has the stack; all of it with the tags "all"."""
    chosen = [word for variable in variables for word in ("-e", variable)]
    run = lab.play("site.yml", "--tags", tags, *chosen)
    assert run.code == 0, run.output
