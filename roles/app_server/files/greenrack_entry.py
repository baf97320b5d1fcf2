"""Imports the application's own entry, gives it whole requests, and writes down what this process has become.

Servers are told to import `greenrack_entry:app`. Nothing here comes before the application's entry
but what starts no threads and opens no sockets, so an entry that patches is still the first to. Of an
application whose entry does not, GREENRACK_PATCH names what is patched here: gevent, psycogreen.
The gate reads the report, RUNTIME_DIRECTORY/PID.report: a claim of "async" is checked inside.
"""

import contextlib
import errno
import importlib
import importlib.util
import io
import itertools
import os
import re
import sys

_patches = os.environ.get("GREENRACK_PATCH", "").split(",")
if "gevent" in _patches:
    from gevent import monkey

    monkey.patch_all()
if "psycogreen" in _patches and importlib.util.find_spec("psycopg2"):
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()

_AGAIN = 5  # seconds until a worker that could not start is tried again


def _reports():
    """Return the reports there are, {path: whether it is of another worker of this server that is there}."""
    from pathlib import Path

    def there(number):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{number}/stat").read_text()
            return int(stat.rpartition(")")[2].split()[1]) == os.getppid()
        return False

    folder = Path(os.environ["RUNTIME_DIRECTORY"])
    return {path: there(path.stem) for path in folder.glob("*.report")}


_module, _attribute = os.environ["GREENRACK_CALLABLE"].split(":")
try:
    app = getattr(importlib.import_module(_module), _attribute.removesuffix("()"))
    if _attribute.endswith("()"):
        app = app()
except BaseException as error:
    import signal
    import traceback

    beside = any(_reports().values())
    if beside or isinstance(error, SystemExit):  # of which no server says where it was raised
        traceback.print_exc()
    if not beside:
        raise
    # Servers take a worker that cannot start for an application that cannot, and end those that serve.
    sys.stderr.flush()
    signal.sigtimedwait([], _AGAIN)
    os._exit(1)

_switches = os.environ.get("GREENRACK_SWITCHES", "").split(",")
_uwsgi = sys.modules.get("uwsgi")  # not imported: an application may have a module of that name
# nginx has decoded the path that it sends by the uwsgi protocol, and gunicorn decodes it again.
_twice = "protocol=uwsgi" in _switches and not hasattr(_uwsgi, "cores")

_IN_MEMORY = 2**16  # bytes of a body; a larger one goes to a file


def _read(source, length):
    """Return a request's body, read to its end; ConnectionResetError if that comes too early."""
    import tempfile  # not before the application's entry has patched what this needs

    # In /var/tmp, for /tmp may be memory.
    body = io.BytesIO() if length <= _IN_MEMORY else tempfile.TemporaryFile(dir="/var/tmp")  # noqa: SIM115
    while length > 0 and (piece := source.read(min(length, 65536))):
        body.write(piece)
        length -= len(piece)
    if length:
        raise ConnectionResetError(errno.ECONNRESET, "the request's body ended too early")
    body.seek(0)
    return body


class _Answer:
    """The pieces of an answer, with whose end it is closed, and what else is given."""

    def __init__(self, pieces, answer, *others):
        self._pieces, self._ending = pieces, (*reversed(others), answer)

    def __iter__(self):
        return iter(self._pieces)

    def close(self):
        with contextlib.ExitStack() as stack:
            for each in self._ending:
                if hasattr(each, "close"):
                    stack.callback(each.close)


def _as_asked(environ):
    """Say what was asked, and by whom, as nginx does; by themselves servers tell of their own socket, or nothing."""
    if _twice:
        path, query = environ["RAW_URI"], environ["QUERY_STRING"]
        path = path.removesuffix(f"?{query}") if query else path
        environ["PATH_INFO"] = path.removeprefix(environ["SCRIPT_NAME"])
    if "HTTP_X_REAL_IP" in environ:
        environ["REMOTE_ADDR"] = environ["HTTP_X_REAL_IP"]
    scheme = environ["wsgi.url_scheme"] = environ.get("HTTP_X_FORWARDED_PROTO", "http")
    host, port = re.fullmatch(r"(\[.*\]|[^:]*)(?::(\d+))?.*", environ.get("HTTP_HOST", "")).groups()
    if host:
        environ["SERVER_NAME"] = host
    environ["SERVER_PORT"] = port or {"https": "443"}.get(scheme, "80")


# Of a server's own connection, and no application's to say (PEP 3333): one server fails, one keeps them to itself, and
# what others pass on, nginx believes.
_HOPS = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization"}
_HOPS |= {"te", "trailer", "trailers", "transfer-encoding", "upgrade"}


def _beginning(start_response):
    """Return what begins an answer, without headers that are not the application's."""

    def begin(status, headers, exc_info=None):
        headers = [header for header in headers if header[0].lower() not in _HOPS]
        # uWSGI takes no argument by its name.
        return start_response(status, headers, *([exc_info] if exc_info else []))

    return begin


def _whole(application):
    """Return the application, asked once the body of its request is there.

    nginx has all of it, and sends it while it waits for the answer. An answer that comes before all was sent, to a form
    whose sender has to log in first, say, is lost where the server then closes the connection: nginx tells 502.
    """

    def whole(environ, start_response):
        _as_asked(environ)
        start_response = _beginning(start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length <= 0:
            return application(environ, start_response)
        body = environ["wsgi.input"] = _read(environ["wsgi.input"], length)
        answer = application(environ, start_response)
        # A body that is a file is closed with the answer: applications may keep it for long, in circles.
        return answer if length <= _IN_MEMORY else _Answer(answer, answer, body)

    return whole


if "proxy=true" in _switches:
    _flask = sys.modules.get("flask")
    if hasattr(_flask, "Flask") and isinstance(app, _flask.Flask):  # `flask run` takes nothing else
        app.wsgi_app = _whole(app.wsgi_app)
    else:
        app = _whole(app)


def _signalled(application):
    """Return the application, asked with the signals let through that uWSGI's threads hold back, all but the first.

    What a request starts inherits what is held back: no `terminate()` would end it. HUP stays with the first thread,
    for uWSGI answers it, which is a gentle stop, by ending all threads but the one it comes to.
    """
    import signal

    through = signal.valid_signals() - {signal.SIGHUP}

    def signalled(environ, start_response):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, through)
        return application(environ, start_response)

    return signalled


def _answering(application):
    """Return the application, whose failure before its first piece is answered, as other servers do.

    uWSGI would send nothing, of which nginx makes a 502; or, where a generator fails, 200.
    """

    def answering(environ, start_response):
        answer = None
        try:
            answer = application(environ, start_response)
            pieces = iter(answer)
            first = next(pieces, b"")
        except Exception:
            import traceback

            traceback.print_exc()
            _Answer((), answer).close()
            # Not with what was raised, which uWSGI would raise again.
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"Internal Server Error\n"]
        return _Answer(itertools.chain([first], pieces), answer)

    return answering


if hasattr(_uwsgi, "cores"):
    app = _answering(app if _uwsgi.loop == b"gevent" else _signalled(app))


def _tls():
    """Return "ok", or what making a TLS context fails with, as it does when patching came late."""
    import ssl

    try:
        ssl.create_default_context()
        if "urllib3" in sys.modules:
            from urllib3.util.ssl_ import create_urllib3_context

            create_urllib3_context()
    except Exception as error:  # whatever it is, the gate tells it
        return type(error).__name__
    return "ok"


def _waits():
    """Return whether psycopg2 lets others run while it waits; None if there is no psycopg2."""
    try:
        from psycopg2.extensions import get_wait_callback
    except ImportError:
        return None
    return get_wait_callback() is not None


def _serves():
    """Return how the server has this process take requests, and how many at once, as it says itself.

    None of a server that says nothing, and none of a number where as many are taken as come.
    """
    if hasattr(_uwsgi, "cores"):
        return ["greenlets" if _uwsgi.loop == b"gevent" else "threads", _uwsgi.cores]
    for word, kind in (("--without-threads", "one"), ("--with-threads", "threads")):
        if word in sys.argv:  # flask's
            return [kind, None]
    kind, _, number = os.environ.get("GREENRACK_SERVES", "").partition(" ")
    return [kind, int(number) if number else None] if kind else None


def _report():
    import json
    import socket
    from pathlib import Path

    facts = {
        "patched": socket.socket.__module__.startswith("gevent"),
        "tls": _tls(),
        "wait_callback": _waits(),
        "serves": _serves(),
    }
    for path, there in _reports().items():  # or they would fill its memory
        if not there:
            path.unlink(missing_ok=True)
    path = Path(os.environ["RUNTIME_DIRECTORY"], f"{os.getpid()}.report")
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(facts))
    partial.replace(path)


with contextlib.suppress(OSError):  # there may be no room: the gate misses it, clients do not
    _report()
