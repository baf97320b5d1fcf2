"""The entry for servers with processes and threads: `wsgi:app`."""

from demo import create_app

app = create_app()
