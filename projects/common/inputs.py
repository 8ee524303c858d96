"""What a run is trained on, as MLflow knows data sets: the UI's Dataset column, filters and the digest come from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.entities import DatasetInput, InputTag

if TYPE_CHECKING:
    from torch import Tensor

    from mlflow_thermo.delivery import Outbox

#: MLflow's key for the part of the data that an input is.
_CONTEXT = "mlflow.data.context"


def log_dataset(outbox: Outbox, name: str, parts: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Log a data set as inputs of the run of an outbox.

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
    outbox.inputs(inputs)
