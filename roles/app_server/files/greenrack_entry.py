"""Imports the application's own entry, reads what it leaves of a request, and writes down what this process has become.

Servers are told to import `greenrack_entry:app`. Nothing here comes before the application's entry
but what starts no threads and opens no sockets, so an entry that patches is still the first to. Of an
application whose entry does not, GREENRACK_PATCH names what is patched here: gevent, psycogreen.
GREENRACK_DRAIN is set where the server closes a connection on which nginx is still sending.
The gate reads the report, RUNTIME_DIRECTORY/PID.report: a claim of "async" is checked inside.
"""

import contextlib
import importlib
import importlib.util
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


def _drain(body):
    """Read the rest of a request's body, for nobody."""
    with contextlib.suppress(OSError):  # nginx has gone
        while body.read(65536):
            pass


class _Answer:
    """The application's answer; once it has been sent, the rest of the request's body is read."""

    def __init__(self, answer, body):
        self._answer, self._body = answer, body

    def __iter__(self):
        return iter(self._answer)

    def close(self):
        try:
            if hasattr(self._answer, "close"):
                self._answer.close()
        finally:
            _drain(self._body)


def _reading_on(application):
    """Return the application, which leaves nothing of a request's body.

    Where an answer comes before the body was read, to a form whose sender has to log in first, say, nginx, still
    sending, would be cut off, and tell its client 502 instead.
    """

    def reading_on(environ, start_response):
        if environ.get("CONTENT_LENGTH") in (None, "", "0"):
            return application(environ, start_response)
        body = environ["wsgi.input"]  # the application may put its own there
        try:
            return _Answer(application(environ, start_response), body)
        except Exception:
            _drain(body)
            raise

    return reading_on


if os.environ.get("GREENRACK_DRAIN"):
    app = _reading_on(app)


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
    uwsgi = sys.modules.get("uwsgi")  # not imported: an application may have a module of that name
    if hasattr(uwsgi, "cores"):
        return ["greenlets" if uwsgi.loop == b"gevent" else "threads", uwsgi.cores]
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
