"""What a program that is to go on with a run finds: on the server, and in the run's folder on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from projects.fixed_lr.checkpoint import State
from projects.fixed_lr.config import TrainConfig, resolve
from projects.fixed_lr.work import WorkFolder, resumable, stacks, work_root

#: Parameters that say how the files of this machine are used, and change nothing of the training.
HERE = ("data_folder", "download", "work_dir", "checkpoint_every", "wait")
#: Runs that an error message lists.
_LISTED = 5


@dataclass(frozen=True)
class Begun:
    """A run that goes on.

    Attributes
    ----------
    checkpoint : where it was; None where it has to begin again.
    """

    run_id: str
    config: TrainConfig
    checkpoint: State | None


def find_begun(run_id: str, given: dict[str, Any]) -> Begun:
    """The run to go on with.

    Parameters
    ----------
    given : parameters that the user gave, which have to be those of the run.

    Raises
    ------
    ThermoError
        No such run, a finished one, one of a stack, other parameters, or no checkpoint on this machine.
    """
    if given.get("checkpoint_every") == 0:
        raise ThermoError("checkpoint_every=0 keeps nothing to go on from: leave it out with resume")
    client, work_dir = MlflowClient(), given.get("work_dir", "")
    run = existing(client, run_id, work_dir)
    if run.info.status == "FINISHED":
        # Killed after its last word to the server, it had no time to tidy up.
        WorkFolder(work_dir, run_id).remove()
        raise ThermoError(f"run {run_id} is finished: there is nothing to resume")
    found = WorkFolder(work_dir, run_id).state()
    if found is None and any(run_id in stack["runs"] for stack in stacks(work_dir)):
        sweep = run.data.tags.get(schema.TAG_SWEEP, "ID")
        raise ThermoError(
            f"run {run_id} is trained together with others: go on with mlflow run . -e sweep -P resume={sweep}"
        )
    if found is None:
        # Nothing is on the server yet that another machine could go on with.
        if schema.TAG_SNAPSHOTS not in run.data.tags and "lr" in given:
            return Begun(run_id, resolve(given), None)
        raise ThermoError(
            f"run {run_id} has no checkpoint in {work_root(work_dir)}: give the work_dir of its training, or train anew"
        )
    return Begun(run_id, same_config(run_id, found["configs"][0], given), found if found["loop"] is not None else None)


def existing(client: MlflowClient, run_id: str, work_dir: str) -> Run:
    """The run of that id; ThermoError where there is none, with those that can be resumed."""
    with suppress(MlflowException):
        return client.get_run(run_id)
    known = resumable(work_dir)
    near = get_close_matches(run_id, known, n=1)
    where = f"{work_root(work_dir)} has {', '.join(known[:_LISTED]) or 'none that can be resumed'}"
    hint = f"did you mean {near[0]}?" if near else where
    raise ThermoError(f"run {run_id!r} does not exist: {hint}")


def same_config(run_id: str, saved: dict[str, Any], given: dict[str, Any]) -> TrainConfig:
    """The config of a checkpoint; ThermoError where the user gave another value of a parameter that matters."""
    known = {field.name for field in fields(TrainConfig)}
    if set(saved) - known:
        raise ThermoError(f"the checkpoint of run {run_id} is of another version of the training: train anew")
    for name, value in given.items():
        # MLflow gives the default preset where the user gave none.
        if (name, value) == ("preset", TrainConfig.preset):
            continue
        if name not in HERE and name in saved and value != saved[name]:
            raise ThermoError(
                f"run {run_id} has {name}={saved[name]}, but {name}={value} was given: give the same, or train anew"
            )
    return TrainConfig(**{**saved, **{name: given[name] for name in HERE if name in given}})


def facts_of(configs: Sequence[TrainConfig], run_ids: Sequence[str]) -> State:
    """What the checkpoint of runs that are trained side by side says about them before their first step."""
    return {"configs": [asdict(config) for config in configs], "runs": list(run_ids), "loop": None}


def take_over(run_id: str) -> None:
    """Mark the run as running again, and the new one that ``mlflow run`` has opened as one that holds nothing."""
    client = MlflowClient()
    own = os.environ.get("MLFLOW_RUN_ID")
    if own and own != run_id:
        # Not deleted: MLflow still ends it.
        client.set_tag(own, schema.TAG_KIND, schema.KIND_RESUME)
        client.update_run(own, name=f"resume of {run_id}")
        os.environ["MLFLOW_RUN_ID"] = run_id
    client.update_run(run_id, status="RUNNING")


def how_to_go_on(config: TrainConfig, run_id: str) -> str:
    """The command that goes on with a run."""
    preset = "" if config.preset == TrainConfig.preset else f" -P preset={config.preset}"
    folder = f" -P work_dir={config.work_dir}" if config.work_dir else ""
    return f"mlflow run . -P lr={config.lr!r}{preset} -P resume={run_id}{folder}"
