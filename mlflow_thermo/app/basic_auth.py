"""``mlflow server --app-name thermo-basic-auth``: the page on a server with MLflow's basic authentication."""

from __future__ import annotations

from typing import Any

from click import ClickException
from mlflow.exceptions import MlflowException

# Where Flask-WTF is not installed this says so.
from mlflow.server import app, auth

from mlflow_thermo.app.pages import pages, rules, static_prefix


def create_protected_app() -> Any:
    """MLflow's server with basic authentication, and the page behind it."""
    prefix = static_prefix()
    app.register_blueprint(pages(prefix))
    for rule in rules():
        # With MLFLOW_BASIC_AUTH_FAIL_CLOSED a route that is not listed is for administrators alone. Whoever has logged
        # in may have the page: what it shows is asked of routes that MLflow itself protects.
        auth.BEFORE_REQUEST_VALIDATORS[prefix + rule, "GET"] = _anyone_with_a_login
    return auth.create_app(app)


def _anyone_with_a_login() -> bool:
    return True


# `mlflow server` imports this before it starts its workers. A missing key or password stops it here, as it does for its
# own app of that kind, instead of every worker for ever; and a new database gets its tables once, not from all at once.
try:
    auth.get_flask_server_secret_key()
    auth.bootstrap_admin_user()
except MlflowException as error:
    raise ClickException(error.message) from error
