"""What clients send, an application sees, and what it answers, they get: whatever nginx speaks to it."""

import json
import os
import shutil
import socket
import time
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.stack import other_inventory
from tests.stack.lab import ROOT, Lab

PORT, AT_ONCE = 8082, 20
TRUSTED = ["127.0.0.2", "127.0.1.0/24"]
TYPES = {
    "a.mjs": "application/javascript; charset=utf-8",
    "a.js": "application/javascript; charset=utf-8",
    "a.css": "text/css; charset=utf-8",
    "a.png": "image/png",
}
WAYS = [("uwsgi_gevent", "uwsgi"), ("gunicorn_sync", "uwsgi"), ("uwsgi_sync", "http")]
TABLE = yaml.safe_load((ROOT / "roles/server_mode/vars/main.yml").read_text())["server_mode_table"]
SPOKEN = [(mode, protocol) for mode, row in TABLE.items() for protocol in row["speaks"]]
# What each mode, by each protocol, would do in its own way.
everywhere = pytest.mark.parametrize(
    "site", [*WAYS, *(way for way in SPOKEN if way not in WAYS)], indirect=True, ids=" by ".join
)


@pytest.fixture(scope="module")
def mirror(single, tmp_path_factory):
    """A lab of the same host, with the inventory of an application that shows what it was asked."""
    folder = tmp_path_factory.mktemp("mirror")
    shutil.copy(Path(__file__).with_name("mirror.py"), folder)
    shutil.copy(ROOT / "app/demo/requirements.txt", folder)
    (folder / "static").mkdir()
    for name in TYPES:
        (folder / "static" / name).write_text("ü")
    groups = {"app": {"box1": 11}, "proxy": {"box1": 11}}
    variables = {
        "app_name": "mirror",
        "app_source": str(folder),
        "app_module": "mirror:app",
        "app_port": 8020,
        "app_static": {"/static/": "static"},
        "nginx_port": PORT,
        "nginx_trusted_proxies": TRUSTED,
        "nginx_connection_limit": AT_ONCE,
        "nginx_slow_client": 3600,
    }
    path = other_inventory.write(tmp_path_factory.mktemp("inventory") / "mirror", groups, variables)
    return Lab(path, single.name, single.prefix)


@pytest.fixture(scope="module", params=WAYS, ids=" by ".join)
def site(mirror, request):
    """The address of the site, under a server mode."""
    mode, protocol = request.param
    run = mirror.play("site.yml", "-e", f"server={mode}", "-e", f"protocol={protocol}")
    assert run.code == 0, run.output
    return f"{mirror.prefix}.11"


@pytest.fixture
def ask(site):
    """Return what sends a request: its answer, and what that was read to."""

    def asked(method, path, body=None, headers=None, chunked=False):
        connection = HTTPConnection(site, PORT, timeout=60)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    return asked


def test_a_body_is_read_to_its_end(ask):
    sent = os.urandom(5_000_000)
    for body in (b"", sent[:1], sent[:100_000], sent):
        answer, told = ask("POST", "/read", body)
        assert answer.status == 200, told
        assert json.loads(told) == {"length": len(body), "sha256": sha256(body).hexdigest()}


def test_a_body_whose_length_nobody_said_is_read_too(ask):
    pieces = [os.urandom(7000) for _ in range(40)]
    answer, told = ask("POST", "/read", iter(pieces), {"Transfer-Encoding": "chunked"}, True)
    assert answer.status == 200, told
    body = b"".join(pieces)
    assert json.loads(told) == {"length": len(body), "sha256": sha256(body).hexdigest()}


def test_a_form_comes_with_its_file(ask):
    parts = [b'name="who"\r\n\r\nme', b'name="file"; filename="a"\r\n\r\n' + bytes(2_000_000)]
    lines = [b"--end\r\nContent-Disposition: form-data; " + part for part in parts]
    body = b"\r\n".join([*lines, b"--end--\r\n"])
    answer, told = ask("POST", "/form", body, {"Content-Type": "multipart/form-data; boundary=end"})
    assert (answer.status, json.loads(told)) == (200, {"who": "me", "file": 2_000_000})


def test_what_does_not_read_a_body_is_heard(ask):
    sizes = (1000, 900_000, 9_500_000)
    for _ in range(3):
        assert [ask("POST", "/unread", bytes(size))[0].status for size in sizes] == [302] * 3
        answers = [ask("POST", "/unread/streamed", bytes(size)) for size in sizes]
        assert [(answer.status, told) for answer, told in answers] == [(200, b"no matter\n")] * 3


@everywhere
def test_a_path_and_its_arguments_stay_as_they_are(site, ask):
    _, told = ask("GET", "/seen/a%2Fb/c%20d//e/caf%C3%A9/%2525?x=1&x=%2F&y=%E2%82%AC")
    seen = json.loads(told)
    assert seen["path"] == "a/b/c d//e/café/%25"
    assert seen["arguments"] == {"x": ["1", "/"], "y": ["€"]}
    for query, arguments in (("", {}), ("?b=1", {"b": ["1"]})):
        _, told = ask("GET", f"/seen/a%3Fb=1{query}")
        seen = json.loads(told)
        assert (seen["path"], seen["arguments"]) == ("a?b=1", arguments)


@everywhere
def test_an_application_sees_the_address_of_its_client(site, ask):
    _, told = ask("GET", "/seen/a", headers={"X-Real-IP": "192.0.2.1"})
    seen = json.loads(told)
    told = {name.lower(): value for name, value in seen["headers"]}
    with socket.create_connection((site, PORT)) as link:
        here = link.getsockname()[0]
    assert [seen["address"], told["x-real-ip"], told["x-forwarded-for"]] == [here] * 3


@everywhere
def test_headers_of_another_servers_connection_do_no_harm(site, ask):
    answer, body = ask("GET", "/headers")
    assert (answer.status, body, answer.headers["X-Own"]) == (200, b"whole", "kept")
    assert {"Keep-Alive", "Trailer", "Upgrade"}.isdisjoint(answer.headers.keys())


@everywhere
@pytest.mark.parametrize("kind", ["plain", "second", "looked at", "packed", "pipe"])
def test_a_file_is_sent_from_where_it_is_read(site, ask, kind):
    answer, body = ask("GET", f"/file/{quote(kind)}")
    assert (answer.status, body == b"a line\n" * 5000) == (200, True), len(body)


@pytest.mark.parametrize(
    ("line", "name", "url"),
    [
        ("/seen/a", "shop.test", "http://shop.test/seen/a"),
        ("/seen/a", "Shop.test:8443", "http://shop.test:8443/seen/a"),
        ("/seen/a", "[::1]:8443", "http://[::1]:8443/seen/a"),
        ("/seen/a", "shop.test.:8443", "http://shop.test:8443/seen/a"),
        # A whole URL goes before the header, which may be made up.
        ("http://shop.test/seen/a", "evil.test:81", "http://shop.test/seen/a"),
        ("http://shop.test:8443/seen/a", "shop.test:8443", "http://shop.test:8443/seen/a"),
    ],
)
def test_the_name_is_the_one_that_was_asked_for(site, line, name, url):
    request = f"GET {line} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    assert _asked(site, request)["url"] == url


# What servers, frameworks and their middleware believe a proxy.
BELIEVED = [f"X-Forwarded-{what}" for what in ("For", "Host", "Port", "Prefix", "Proto")]
BELIEVED += [f"X-Forwarded-{what}" for what in ("Protocol", "Scheme", "Server", "Ssl")]
BELIEVED += ["X-Real-IP", "Forwarded", "Proxy"]


def test_what_a_proxy_is_believed_no_client_says(site):
    forged = [f"{name}: forged {name}\r\n" for name in (*BELIEVED, "X-Own")]
    request = f"GET /seen/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{''.join(forged)}\r\n"
    headers = _asked(site, request)["headers"]
    assert [value for _, value in headers if value.startswith("forged")] == ["forged X-Own"]
    assert "http" in [value for name, value in headers if name == "X-Forwarded-Proto"]


# Prints what the application says that it saw of a request from an address of the host, with these headers.
FROM = f"""python3 - <<'END'
import socket
link = socket.create_connection(("127.0.0.1", {PORT}), 20, ("%s", 0))
link.sendall(b"GET /seen/a HTTP/1.0\\r\\nHost: shop.test\\r\\n%s\\r\\n")
print(b"".join(iter(lambda: link.recv(65536), b"")).decode())
END"""
# From where it comes, what it says of its way, and what is believed of that.
WAYS_HERE = [
    ("127.0.0.2", "192.0.2.9, 192.0.2.7, 127.0.1.3", "https", "192.0.2.7", "https"),
    ("127.0.1.3", "2001:db8::7", "http", "2001:db8::7", "http"),
    ("127.0.0.2", "192.0.2.7", "https, http", "192.0.2.7", "http"),
    ("127.0.0.2", "", "https", "127.0.0.2", "http"),
    ("127.0.0.3", "192.0.2.7", "https", "127.0.0.3", "http"),
    ("127.0.0.3", "127.0.0.2", "https", "127.0.0.3", "http"),
]


@pytest.mark.parametrize(("address", "way", "scheme", "client", "by"), WAYS_HERE)
@pytest.mark.usefixtures("site")
def test_a_proxy_is_believed_if_it_is_trusted(single, address, way, scheme, client, by):
    told = f"X-Forwarded-For: {way}\\r\\n" if way else ""
    told += f"X-Forwarded-Proto: {scheme}\\r\\nX-Real-IP: 192.0.2.8\\r\\n"
    seen = json.loads(single.run("box1", FROM % (address, told)).splitlines()[-1])
    assert seen["url"] == f"{by}://shop.test/seen/a"
    headers = dict(seen["headers"])
    assert (headers["X-Forwarded-For"], headers["X-Real-Ip"]) == (client, client)
    assert headers["X-Forwarded-Proto"] == by


def test_where_no_name_is_asked_for_it_is_the_address(site):
    """As load balancers do that only look whether it lives."""
    assert _asked(site, "GET /seen/a HTTP/1.0\r\n\r\n")["url"] == f"http://{site}/seen/a"


def test_an_address_of_ipv6_is_written_as_one(site, single):
    asked = [
        "python3 - <<'END'",
        "import socket",
        f'link = socket.create_connection(("::1", {PORT}))',
    ]
    asked += [r'link.sendall(b"GET /seen/a HTTP/1.0\r\n\r\n")']
    asked += ['print(b"".join(iter(lambda: link.recv(65536), b"")).decode())', "END"]
    told = single.run("box1", "\n".join(asked)).splitlines()[-1]
    assert json.loads(told)["url"] == "http://[::1]/seen/a"


# Sends a request more than one client may at once, without bodies; once one is refused, asks from other addresses, and
# for others, as a proxy that is trusted.
CROWD = f"""python3 - <<'END'
import select, socket

def ask(address, line, length=0, client="192.0.2.7"):
    there = "fd00:64::1" if ":" in address else "127.0.0.1"
    link = socket.create_connection((there, {PORT}), 20, (address, 0))
    for sent in (line + " HTTP/1.1", "Host: a", "X-Forwarded-For: " + client, "Connection: close"):
        link.sendall(sent.encode() + b"\\r\\n")
    link.sendall(b"Content-Length: %d\\r\\n\\r\\n" % length)
    return link

held = [ask("fd00:64::1", "POST /read", 9) for _ in range({AT_ONCE} + 1)]
(refused,), _, _ = select.select(held, [], [], 60)
print(refused.recv(12).decode())
for address in ("fd00:64::2", "fd00:64:0:1::1"):
    print(ask(address, "GET /healthz").recv(12).decode())
for client in ("fd00:64::3", "fd00:64:0:1::3"):
    print(ask("127.0.0.2", "GET /healthz", client=client).recv(12).decode())
END"""


def test_a_network_of_ipv6_is_one_client(site, single):
    for address in ("fd00:64::1", "fd00:64::2", "fd00:64:0:1::1"):
        single.run("box1", f"ip -6 address replace {address}/128 dev lo")
    told = [line.split()[1] for line in single.run("box1", CROWD).splitlines()]
    assert told == ["429", "429", "200", "429", "200"]


def _asked(site, request):
    """Return what the application says that it saw of a raw request."""
    with socket.create_connection((site, PORT), 30) as link:
        link.sendall(request.encode())
        answer = b"".join(iter(lambda: link.recv(65536), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_a_static_file_has_a_type_that_browsers_take(ask):
    answers = {name: ask("GET", f"/static/{name}") for name in TYPES}
    assert {name: answer.headers["Content-Type"] for name, (answer, _) in answers.items()} == TYPES
    assert {told for _, told in answers.values()} == {"ü".encode()}


def test_large_cookies_are_passed_on(ask):
    for number in (1, 3):
        answer, _ = ask("GET", f"/cookies/{number}")
        assert answer.status == 200
        assert len(answer.headers.get_all("Set-Cookie")) == number


def test_an_answer_that_comes_in_pieces_comes_in_pieces(site):
    connection = HTTPConnection(site, PORT, timeout=60)
    connection.request("GET", "/slowly")
    answer = connection.getresponse()
    came = [(answer.readline(), time.monotonic()) for _ in range(3)]
    connection.close()
    assert [line for line, _ in came] == [b"first\n", b"second\n", b"third\n"]
    assert came[2][1] - came[0][1] > 1


def test_a_large_answer_is_whole_and_a_client_may_leave_in_the_middle(site, ask):
    for _ in range(3):
        connection = HTTPConnection(site, PORT, timeout=60)
        connection.request("GET", "/large/40")
        connection.getresponse().read(1000)
        connection.close()
    answer, body = ask("GET", "/large/40")
    assert (answer.status, len(body)) == (200, 40_000_000)
