"""The page *Thermodynamics* inside MLflow's server: ``mlflow server --app-name thermo`` serves it at ``/thermo/``.

What the page shows it asks of MLflow's own routes, in the name of whoever looks at it, so that MLflow decides who may
see what. Nothing here is imported before a server is started.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from mlflow_thermo.app.basic_auth import create_protected_app as create_protected_app
    from mlflow_thermo.app.serving import create_app as create_app

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {"basic_auth": ["create_protected_app"], "serving": ["create_app"]},
)
