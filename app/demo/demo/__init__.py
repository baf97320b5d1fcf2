"""A small web application that waits: for a slow HTTP API, for PostgreSQL, or for both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from demo import database, errors, health, settings, upstream, views


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the application, set up from the environment and, above it, from config.

    demo.settings lists the settings; a bad one raises SettingError. Nothing is connected to
    before a request needs it, so the application may be made before its servers are up, and
    before the server that runs it forks.
    """
    config = config or {}
    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(config)
    app.config.from_mapping(settings.load({**os.environ, **config}))

    errors.init_app(app)
    upstream.init_app(app)
    database.init_app(app)
    app.register_blueprint(views.blueprint)
    app.register_blueprint(health.blueprint)

    proxies = app.config["TRUSTED_PROXIES"]
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)
    return app
