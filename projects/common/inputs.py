"""What a run is trained on, as MLflow knows data sets: the UI's Dataset column, filters and the digest come from it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag
from mlflow.exceptions import MlflowException

from mlflow_thermo.errors import first_line

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

#: MLflow's key for the part of the data that an input is.
_CONTEXT = "mlflow.data.context"
#: MLflow looks whether its experiment has a data set and then adds it: of runs that begin together all but one fail
#: the first time.
_ATTEMPTS = 3


def log_dataset(client: MlflowClient, run_id: str, name: str, parts: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Log a data set as inputs of a run; a server that does not take them costs the run no more than a warning.

    Parameters
    ----------
    parts : samples (n, ...) and labels (n,) by what they are used for, as in ``{"training": (x, y)}``.
    """
    # Imported here: it takes a while, and only trainings have data.
    from mlflow.data import from_numpy  # type: ignore[attr-defined]

    inputs = []
    for context, (x, y) in parts.items():
        found = from_numpy(x.cpu().numpy(), targets=y.cpu().numpy(), name=name)
        inputs.append(DatasetInput(found._to_mlflow_entity(), [InputTag(_CONTEXT, context)]))
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            client.log_inputs(run_id, datasets=inputs)
            return
        except MlflowException as error:
            if attempt == _ATTEMPTS:
                logger.warning("run %s: its data set %s is not logged: %s", run_id, name, first_line(error))
