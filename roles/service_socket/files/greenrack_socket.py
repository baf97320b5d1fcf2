"""Starts a server with the socket it listens on, which systemd keeps: who asks while it is started again waits for it.

greenrack_socket.py BIND BACKLOG COMMAND [WORD...]   runs COMMAND, its listening socket being descriptor 3
greenrack_socket.py --stop                           has systemd forget the socket, for a stop begins
greenrack_socket.py --ended                          the same, if the server has ended by itself before, a moment ago

BIND is ADDRESS:PORT or unix:PATH, BACKLOG the connections that may wait. Whoever can be served by another host shall
not wait for a server that ends again and again.
"""

import contextlib
import errno
import os
import socket
import sys
import time
from pathlib import Path

GIVEN = 3  # the first descriptor that systemd passes on, and what servers are told
AGAIN = 60  # seconds between two ends; a deploy waits as long for a start, by default
NAME = "FDNAME=listener"


def notify(word, descriptors=()):
    """Tell systemd; by hand, as in a test, there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.connect(address.replace("@", "\0", 1))
            socket.send_fds(to, [f"{word}\n{NAME}".encode()], descriptors)


def place(bind):
    """Return the family and the address of a socket that is bound there, as the kernel tells them."""
    path = bind.removeprefix("unix:")
    if path != bind:
        return socket.AF_UNIX, path
    address, port = bind.rsplit(":", 1)
    found = socket.getaddrinfo(address.strip("[]"), int(port), type=socket.SOCK_STREAM)
    family, *_, there = found[0]
    return family, there


def bound(bind):
    """Return a new socket; what an earlier server has left at its path is removed."""
    family, address = place(bind)
    new = socket.socket(family)
    if family == socket.AF_UNIX:
        Path(address).unlink(missing_ok=True)
    else:
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end = time.monotonic() + 1
    while True:
        try:
            new.bind(address)
            return new
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise
        time.sleep(0.05)  # systemd may be about to close what it kept


def kept(bind):
    """Return the socket that systemd passes on, if clients come to it who come to `bind`, else None."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    family, address = place(bind)
    with contextlib.suppress(OSError):  # what is no socket is no use either
        old = socket.socket(fileno=GIVEN)
        # It may be another place's since. gunicorn removes its path as it stops: nobody comes to that socket any more.
        if old.getsockname() == address and (family != socket.AF_UNIX or Path(address).exists()):
            return old
        old.close()
    return None


def prepare(bind, backlog):
    """Have the listening socket as descriptor GIVEN, and systemd keep it."""
    listener = kept(bind)
    fresh = listener is None
    if fresh:
        notify("FDSTOREREMOVE=1")
        listener = bound(bind)
        if listener.family == socket.AF_UNIX:  # for its group, in which is nginx
            Path(listener.getsockname()).chmod(0o660)
    listener.listen(int(backlog))  # as many may wait now, also of one that listens already
    if listener.fileno() != GIVEN:
        os.dup2(listener.fileno(), GIVEN)
    os.set_inheritable(GIVEN, True)
    listener.detach()
    if fresh:
        notify("FDSTORE=1", [GIVEN])


def main(bind, backlog, *command):
    """Become the server."""
    try:
        prepare(bind, backlog)
    except OSError as error:
        sys.exit(f"cannot listen at {bind}: {error}")
    for report in FOLDER.glob("*.report"):  # of processes that are gone, whose numbers come again
        report.unlink()
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"):
        os.environ.pop(name, None)  # some servers act on them by themselves
    os.execv(command[0], command)  # noqa: S606


def stop():
    """Let no client wait for a server that is stopped, unless the next one is announced."""
    if "MAINPID" not in os.environ:  # it has ended by itself, in good order, and nobody stops it
        return
    (FOLDER / "stopping").touch()
    if not (FOLDER / "handover").exists():
        notify("FDSTOREREMOVE=1")


def ended():
    """Let no client wait for a server that ended by itself twice."""
    stopped, before = (FOLDER / "stopping").exists(), FOLDER / "ended"
    for name in ("stopping", "handover"):
        (FOLDER / name).unlink(missing_ok=True)
    if stopped:
        return
    with contextlib.suppress(
        OSError, ValueError
    ):  # it is the first time, or that was written to a full disk
        if time.monotonic() - float(before.read_text()) < AGAIN:
            notify("FDSTOREREMOVE=1")
    before.write_text(str(time.monotonic()))


if __name__ == "__main__":
    FOLDER = Path(os.environ["RUNTIME_DIRECTORY"])
    if sys.argv[1] == "--stop":
        stop()
    elif sys.argv[1] == "--ended":
        ended()
    else:
        main(*sys.argv[1:])
