"""The entry for servers with greenlets (gevent): `wsgi_gevent:app`.

The order is the point: the standard library first, psycopg2 second, the application last, so
that nothing of it can hold a socket, a lock or an SSL context made before the patch.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402

from psycogreen.gevent import patch_psycopg  # noqa: E402

# Without it every greenlet of the process stands still while one waits for PostgreSQL.
# PSYCOGREEN=0 shows that.
if os.environ.get("PSYCOGREEN", "1") != "0":
    patch_psycopg()

from demo import create_app  # noqa: E402

app = create_app()
