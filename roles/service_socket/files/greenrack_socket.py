"""Starts a server with the socket it listens on, which systemd keeps: who asks while it is started again waits for it.

greenrack_socket.py BIND BACKLOG COMMAND [WORD...]   runs COMMAND, its listening socket being descriptor 3
greenrack_socket.py --let-go                         has systemd forget the socket, for a stop begins

BIND is ADDRESS:PORT or unix:PATH, BACKLOG the connections that may wait. Of a server that ended within LIVED seconds
of its start nothing is kept any more: it may end again and again, and whoever can be served by another host shall not
wait for this one.
"""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

GIVEN = 3  # the first descriptor that systemd passes on, and what servers are told
LIVED = 10  # seconds after which a server was well
NAME = "FDNAME=listener"


def notify(word, descriptors=()):
    """Tell systemd; by hand, as in a test, there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.connect(address.replace("@", "\0", 1))
            socket.send_fds(to, [f"{word}\n{NAME}".encode()], descriptors)


def place(bind):
    """Return the kind of socket, and the address it is bound to as the kernel tells it."""
    path = bind.removeprefix("unix:")
    if path != bind:
        return socket.AF_UNIX, path
    address, port = bind.rsplit(":", 1)
    return socket.AF_INET, (socket.gethostbyname(address), int(port))


def listen(bind, backlog):
    """Return a new listening socket; what an earlier server has left at its path is removed."""
    family, address = place(bind)
    listener = socket.socket(family)
    if family == socket.AF_UNIX:
        Path(address).unlink(missing_ok=True)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        sys.exit(f"cannot listen at {bind}: {error}")
    listener.listen(int(backlog))
    return listener


def kept(bind):
    """Return whether systemd passes on a socket to which clients come who come to `bind`."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return False
    family, address = place(bind)
    with socket.socket(fileno=os.dup(GIVEN)) as given:
        # It may be another place's since, and a server that ended in good order may have removed its path.
        return given.getsockname() == address and (
            family != socket.AF_UNIX or Path(address).exists()
        )


def started(stamp):
    """Write down when the server is started; return how many seconds ago it was before, unless it was stopped since."""
    before = None
    with contextlib.suppress(OSError, ValueError):
        before = float(stamp.read_text())
    stamp.write_text(str(time.monotonic()))
    return None if before is None else time.monotonic() - before


def prepare(bind, backlog):
    """Have the listening socket as descriptor GIVEN, and systemd keep it if the server was well."""
    folder = Path(os.environ["RUNTIME_DIRECTORY"])
    ago, have = started(folder / "started"), kept(bind)
    well = ago is None or ago >= LIVED
    if not (have and well):
        notify("FDSTOREREMOVE=1")
    if not have:
        os.dup2(listen(bind, backlog).detach(), GIVEN)
        os.set_inheritable(GIVEN, True)
        if well:
            notify("FDSTORE=1", [GIVEN])
    for report in folder.glob("*.report"):  # of processes that are gone, whose numbers come again
        report.unlink()


def main(bind, backlog, *command):
    """Become the server."""
    prepare(bind, backlog)
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"):
        os.environ.pop(name, None)  # some servers act on them by themselves
    os.execv(command[0], command)  # noqa: S606


def let_go():
    """Let no client wait for a server that is stopped, but where the next one is about to take over.

    systemd calls this also where one ended by itself.
    """
    if "MAINPID" not in os.environ:
        return
    folder = Path(os.environ["RUNTIME_DIRECTORY"])
    (folder / "started").unlink(missing_ok=True)
    try:
        (folder / "handover").unlink()
    except FileNotFoundError:
        notify("FDSTOREREMOVE=1")


if __name__ == "__main__":
    let_go() if sys.argv[1:] == ["--let-go"] else main(*sys.argv[1:])
