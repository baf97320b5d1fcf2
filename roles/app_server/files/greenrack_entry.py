"""Imports the application's own entry, gives it whole requests, and writes down what this process has become.

Servers are told to import `greenrack_entry:app`. Nothing here comes before the application's entry
but what starts no threads and opens no sockets, so an entry that patches is still the first to. Of an
application whose entry does not, GREENRACK_PATCH names what is patched here: gevent, psycogreen.
The gate reads the report, RUNTIME_DIRECTORY/PID.report: a claim of "async" is checked inside.
"""

import errno
import importlib
import importlib.util
import io
import os
import sys

_patches = os.environ.get("GREENRACK_PATCH", "").split(",")
if "gevent" in _patches:
    from gevent import monkey

    monkey.patch_all()
if "psycogreen" in _patches and importlib.util.find_spec("psycopg2"):
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()

_module, _attribute = os.environ["GREENRACK_CALLABLE"].split(":")
app = getattr(importlib.import_module(_module), _attribute.removesuffix("()"))
if _attribute.endswith("()"):
    app = app()

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
    """An answer with whose end the body of its request is closed, which applications may keep for long, in circles."""

    def __init__(self, answer, body):
        self._answer, self._body = answer, body

    def __iter__(self):
        return iter(self._answer)

    def close(self):
        try:
            if hasattr(self._answer, "close"):
                self._answer.close()
        finally:
            self._body.close()


def _whole(application):
    """Return the application, asked once the body of its request is there.

    nginx has all of it, and sends it while it waits for the answer. An answer that comes before all was sent, to a form
    whose sender has to log in first, say, is lost where the server then closes the connection: nginx tells 502.
    """

    def whole(environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length <= 0:
            return application(environ, start_response)
        body = environ["wsgi.input"] = _read(environ["wsgi.input"], length)
        answer = application(environ, start_response)
        # uWSGI knows a file that is the answer by itself, and that has `read`.
        return answer if length <= _IN_MEMORY or hasattr(answer, "read") else _Answer(answer, body)

    return whole


if "proxy=true" in os.environ.get("GREENRACK_SWITCHES", "").split(","):
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
    """Return the application, whose failure is answered: uWSGI would send nothing, of which nginx makes a 502."""

    def answering(environ, start_response):
        try:
            return application(environ, start_response)
        except Exception:
            import traceback

            traceback.print_exc()
            kind = [("Content-Type", "text/plain")]
            start_response("500 Internal Server Error", kind, sys.exc_info())
            return [b"Internal Server Error\n"]

    return answering


_uwsgi = sys.modules.get("uwsgi")  # not imported: an application may have a module of that name
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
    path = Path(os.environ["RUNTIME_DIRECTORY"], f"{os.getpid()}.report")
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(facts))
    partial.replace(path)


_report()
