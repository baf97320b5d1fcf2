"""What a hostile client sends, and what it is told."""

import socket

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
HOSTILE = {
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in disguise": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunk of nonsense": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a line that goes on": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n : 2\r\n\r\n",
    "a header with a nul": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\x002\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a huge header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
    "a huge line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 9000 + b"\r\n",
    "a huge body": POST + b"Content-Length: 99999999999\r\n\r\n",
    "a method of its own": b"BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect": b"CONNECT db1:5432 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a version of its own": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "out of the root": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "out of the root, encoded": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a nul in the path": b"GET /%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}
# What could make two servers see different requests.
SMUGGLING = ("two lengths", "length and chunks", "chunks in disguise", "chunk of nonsense")


def told(address, port, request):
    """Return the status a raw request gets; 0 where the connection is closed without one."""
    with socket.create_connection((address, port), 10) as link:
        link.settimeout(30)
        answer = b""
        try:
            link.sendall(request)
            while b"\r\n" not in answer and (got := link.recv(4096)):
                answer += got
        except ConnectionError:
            pass
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0


# Of a client that waits with half of its body: whether it was answered before the rest, and with what after it. It runs
# where the application is reached from.
HALF = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 30) as link:
    link.sendall(b"POST /healthz HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 100000\\r\\n\\r\\n" + bytes(50000))
    link.settimeout(1)
    try:
        early = bool(link.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        early = False
    link.settimeout(30)
    link.sendall(bytes(50000))
    print(early, link.recv(65536).split()[1].decode())
"""


def refused(status):
    """Return whether a status is that of a refusal: 501 and 505 are what HTTP has for encodings and versions."""
    return status == 0 or 400 <= status <= 499 or status in (501, 505)
