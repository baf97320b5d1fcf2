"""Asks an application server on its own socket, in HTTP or in the uwsgi protocol."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

TLS = "/etc/greenrack/tls"  # of role internal_tls


class NoAnswer(Exception):
    """Nothing answered in time; says what was asked, and what came last."""


def connect(bind, timeout):
    """Return a socket connected to `bind`."""
    if bind.startswith("unix:"):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(timeout)
        link.connect(bind[len("unix:") :])
        return link
    address, port = bind.rsplit(":", 1)
    return socket.create_connection((address.strip("[]"), int(port)), timeout=timeout)


def secured(link, name):
    """Return the connection with TLS on it: the host shows its certificate, and wants one of `name`."""
    context = ssl.create_default_context(cafile=f"{TLS}/ca.crt")
    context.load_cert_chain(f"{TLS}/host.crt", f"{TLS}/host.key")
    return context.wrap_socket(link, server_hostname=name)


def told_by_nginx(scheme):
    """Return the headers by which nginx tells of a client that came by this scheme; none where there is no nginx."""
    client = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"}
    return {**client, "X-Forwarded-Proto": scheme} if scheme else {}


def http_request(path, host, scheme):
    """Return the bytes of a GET request."""
    headers = {"Host": host, **told_by_nginx(scheme), "Connection": "close"}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def uwsgi_request(path, host, scheme):
    """Return the bytes of a GET request in the uwsgi protocol: a head and length-prefixed pairs."""
    headers = told_by_nginx(scheme).items()
    query = path.partition("?")[2]
    variables = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path,
        "PATH_INFO": path.partition("?")[0],
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": host,
        "SERVER_PORT": "80",
        "HTTP_HOST": host,
        "REMOTE_ADDR": "127.0.0.1",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers},
    }
    body = b""
    for pair in variables.items():
        for word in pair:
            body += struct.pack("<H", len(word)) + word.encode()
    return struct.pack("<BHB", 0, len(body), 0) + body


REQUESTS = {"http": http_request, "uwsgi": uwsgi_request}


def ask(bind, protocol, path, timeout, host="localhost", tls_name=None, scheme=""):
    """Return (status, first bytes of the answer) of one request; raise OSError or ValueError.

    scheme: what nginx would say a client came by, http or https; empty where there is none.
    """
    end = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(connect(bind, timeout))
        link = stack.enter_context(secured(link, tls_name)) if tls_name else link
        link.sendall(REQUESTS[protocol](path, host, scheme))
        answer = b""
        while len(answer) < 4096:
            # Of the whole answer, not of each piece: one that trickles in would take for ever.
            link.settimeout(max(end - time.monotonic(), 0.001))
            piece = link.recv(4096)
            if not piece:
                break
            answer += piece
    words = answer.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError(f"no HTTP answer, but {answer[:80]!r}")
    return int(words[1]), answer.decode(errors="replace")


def ask_together(count, *one):
    """Ask `count` times at once, as ask() is told; return the seconds until the last answer, and the answers.

    Of a request without one, the status is 0, and the text says why.
    """

    def answer():
        try:
            return ask(*one)
        except (OSError, ValueError) as error:
            return 0, f"none: {error or type(error).__name__}"

    with ThreadPoolExecutor(count) as pool:
        start = time.monotonic()
        answers = [future.result() for future in [pool.submit(answer) for _ in range(count)]]
        return time.monotonic() - start, answers


# What no wait will change, once it has been answered for some seconds.
FINAL = {301, 302, 303, 307, 308, 401, 403, 404, 405, 410}
PATIENCE = 5


def wait_for_answer(
    bind, protocol, path, timeout, vain=lambda: "", host="localhost", tls_name=None, scheme=""
):
    """Return the seconds until `path` was answered 2xx; raise NoAnswer after `timeout` seconds.

    Every second vain() is asked why there will be no answer: an empty string, and it is waited for.
    """
    start = looked = time.monotonic()
    said, why, final = "nothing", "", None
    while (left := start + timeout - time.monotonic()) > 0:
        try:
            status, answer = ask(bind, protocol, path, left, host, tls_name, scheme)
            if 200 <= status < 300:
                return round(time.monotonic() - start, 3)
            said = shortened(answer)
            final = (final or time.monotonic()) if status in FINAL else None
        except (OSError, ValueError) as error:
            # The last question has little time, and what was answered before it says more.
            cut = isinstance(error, socket.timeout) and said.startswith("HTTP/")
            said, final = said if cut else f"{error}", None
        if time.monotonic() > looked + 1:
            looked, why = time.monotonic(), vain()
        if final and time.monotonic() > final + PATIENCE:
            why = "and will not. Valid is a path that is, without a log-in (of an application, app_health_path)"
        if why:
            break
        time.sleep(0.05)
    asked = path if host == "localhost" else f"{path} of {host}"
    raise NoAnswer(
        f"did not answer GET {asked} with 2xx on {bind} {why or f'within {timeout} s'}. Last answer: {said}"
    )


def shortened(answer):
    """Return what says most of an answer that is not 2xx: its status, where it sends to, and how its text begins."""
    head, _, body = answer.partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    where = [line for line in headers if line.lower().startswith("location:")]
    text = " ".join(re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>", " ", body).split())
    return ", ".join([status, *where, *([text[:300]] if text else [])])


def journal(unit, since=0):
    """Return the end of the unit's journal; since: seconds since the epoch."""
    # Not both, for some versions count the lines from there on.
    some = f"--since=@{int(since)}" if since else "--lines=40"
    said = run(["journalctl", "--no-pager", "--output=cat", some, f"--unit={unit}"])
    return "\n".join(said.splitlines()[-40:])


def run(command):
    """Return what a command printed, whatever its exit code."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
