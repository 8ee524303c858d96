"""``mlflow server --app-name thermo``: the page on a server without passwords."""

from __future__ import annotations

import os
from typing import Any

from click import ClickException

from mlflow_thermo.app.pages import pages, static_prefix

#: What a server with MLflow's basic authentication is given.
_OF_PASSWORDS = ("MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_AUTH_ADMIN_PASSWORD")


def create_app() -> Any:
    """MLflow's server with the page: an ASGI app under uvicorn, else a WSGI app."""
    from mlflow.server import app

    app.register_blueprint(pages(static_prefix()))
    # MLflow's own factory of an app with passwords chooses by this name, too.
    if os.environ.get("_MLFLOW_SGI_NAME", "uvicorn") != "uvicorn":
        return app
    from mlflow.server.fastapi_app import create_fastapi_app

    return create_fastapi_app(app)


def refuse_forgotten_passwords() -> None:
    """Stop where the environment is that of a server with passwords: this one would show everything to everybody."""
    for name in _OF_PASSWORDS:
        if os.environ.get(name):
            # The command shows this one in a line.
            raise ClickException(
                f"{name} is set, as for a server that asks for passwords, which --app-name thermo does not: use "
                f"--app-name thermo-basic-auth, or unset {name}"
            )


# `mlflow server` imports this before it starts its workers, of which each would stop and be started anew for ever.
refuse_forgotten_passwords()
