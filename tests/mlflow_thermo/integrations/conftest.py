"""Trainers that are imported by the tests that need them alone."""

import logging

import pytest


@pytest.fixture(scope="module")
def lightning():
    """Callback and models, and a Lightning that says little."""
    from mlflow_thermo.integrations import lightning as callbacks
    from tests.mlflow_thermo.integrations import lightning_models

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning_models.Callback = callbacks.ThermoCallback
    return lightning_models
