"""A part of a sweep for any machine that has the tracking server in reach: what to train, and how it is done there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import projects
from analysis.study import uri_for_all
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError, first_line
from mlflow_thermo.plugin import SWEEP_VARIABLE
from projects.common import Outcome, Workers
from projects.fixed_lr.unfinished import Part, done_runs, folder_of, let_go, outcome_of, parts_to_go_on

#: Seconds between two looks whether the sweep goes on.
LOOK = 10.0
#: Seconds that a training whose worker was lost has to end and to save where it is.
CLOSING = 120.0

#: Receives what the training of a part says: that it ``began``, or its progress.
Say = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Sweep:
    """Where the runs of a sweep belong, in terms that mean the same on every machine.

    Attributes
    ----------
    sweep : id of the sweep.
    run_id, sign : its own run, and the sign of life on it of the program that conducts it.
    experiment_id, tracking_uri : where its runs are.
    """

    sweep: str
    run_id: str
    sign: str
    experiment_id: str
    tracking_uri: str

    @classmethod
    def of_run(cls, client: MlflowClient, sweep: str, run_id: str) -> Sweep:
        """The sweep of a run on the client's server; ThermoError where that has a password in its URI."""
        run = client.get_run(run_id)
        uri = uri_for_all(client.tracking_uri)
        return cls(sweep, run_id, run.data.tags[schema.TAG_ALIVE], run.info.experiment_id, uri)

    def goes_on(self) -> bool:
        """Whether the program that gave out the parts still wants them; True while the server does not say."""
        # By any error: a server that is away ends no training.
        with suppress(Exception):
            run = MlflowClient(self.tracking_uri).get_run(self.run_id)
            # One that was killed and resumed has given out new parts.
            return bool(run.info.status == "RUNNING" and run.data.tags.get(schema.TAG_ALIVE) == self.sign)
        return True


@dataclass(frozen=True)
class Assignment:
    """A part, the parameters of its runs, and the sweep that they belong to."""

    part: Part
    options: Mapping[str, Any]
    sweep: Sweep


def train_part(workers: Workers, part: Part, options: Mapping[str, Any], say: Say) -> list[Outcome]:
    """Train a part in a process of its own, or go on with it."""
    say({"event": "began"})
    if part.together:
        return workers.train_stack(part.lrs, part.seed, dict(options), say, part.resume)
    return workers.train_one(part.lrs[0], part.seed, dict(options), say, part.resume)


def train_anywhere(given: Assignment, say: Say | None = None) -> list[Outcome]:
    """Train what is missing of a part on the machine of the caller, which any executor may be.

    The part may have been begun by a worker that was lost: runs that are done count, those whose checkpoint is in reach
    go on from it, and the others leave the sweep.
    """
    sweep = given.sweep
    # First, as long as it takes: the parameters have to be those of the one who waits for the answer.
    workers = Workers(child_environment(sweep.sweep, sweep.tracking_uri, sweep.experiment_id))
    try:
        parts, outcomes = _left_of(given)
    except (ThermoError, MlflowException, OSError) as error:
        return failed(given.part, first_line(error))
    with _stopping_with(sweep, workers):
        for part in parts:
            outcomes += train_part(workers, part, given.options, say or (lambda event: None))
    return outcomes


def _left_of(given: Assignment) -> tuple[list[Part], list[Outcome]]:
    """What is left to be trained of a part, and the runs of it that are done."""
    part, sweep, work_dir = given.part, given.sweep, given.options.get("work_dir", "")
    client, where = MlflowClient(sweep.tracking_uri), (sweep.experiment_id, sweep.sweep)
    going_on = _within(part, parts_to_go_on(client, *where, work_dir))
    for one in going_on:
        # Its program may be about to save what this one goes on from.
        with folder_of(one, work_dir).locked(CLOSING):
            pass
    # Looked at again: by now it may have ended well.
    going_on = _within(part, parts_to_go_on(client, *where, work_dir)) if going_on else []
    done = {place: run for place, run in done_runs(client, *where).items() if place in part.places}
    taken = {place for one in going_on for place in one.places}
    kept = {run.info.run_id for run in done.values()} | {run_id for one in going_on for run_id in one.run_ids}
    let_go(client, *where, kept, part.places)
    outcomes = [outcome_of(place, run) for place, run in done.items() if place not in taken]
    anew = tuple(lr for lr, place in zip(part.lrs, part.places, strict=True) if place not in taken | set(done))
    return [*going_on, *([Part(anew, part.seed, together=part.together)] if anew else [])], outcomes


def _within(part: Part, found: list[Part]) -> list[Part]:
    """Those of the parts that lie wholly in one; who trains the other places may go on with the rest."""
    return [one for one in found if set(one.places) <= set(part.places)]


@contextmanager
def _stopping_with(sweep: Sweep, workers: Workers) -> Iterator[None]:
    """Stop the workers when the sweep is ended or given out anew: an executor cannot stop what it has begun."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            if not sweep.goes_on():
                workers.stop()
                return

    threading.Thread(target=watch, daemon=True, name="thermo-sweep").start()
    try:
        yield
    finally:
        over.set()


def failed(part: Part, message: str) -> list[Outcome]:
    """The outcomes of a part that could not be trained."""
    return [Outcome(lr, part.seed, "", False, "", message, 0.0) for lr in part.lrs]


def child_environment(sweep: str, tracking_uri: str, experiment_id: str = "") -> dict[str, str]:
    """The environment of the processes that train a sweep's runs on this machine."""
    # They open runs of their own in the same experiment, by its id, and must not write into the sweep's run.
    left_out = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    environment |= {SWEEP_VARIABLE: sweep, "MLFLOW_TRACKING_URI": tracking_uri}
    if experiment_id:
        environment["MLFLOW_EXPERIMENT_ID"] = experiment_id
    root = str(Path(projects.__file__).parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # Two spinning compute threads on nets this small are 10 to 60 times slower than one on a busy machine.
    return environment | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def trouble_here(sweep: Sweep) -> str:
    """Why this machine cannot train for a sweep, in words with the remedy; empty if it can."""
    begin = time.monotonic()
    try:
        MlflowClient(sweep.tracking_uri).get_run(sweep.run_id)
    except Exception as error:
        return (
            f"it does not find the sweep's run on the tracking server ({first_line(error)}, after "
            f"{time.monotonic() - begin:.0f} s): give one that every worker reaches as MLFLOW_TRACKING_URI, with its "
            "user and password in the environment of the workers"
        )
    return ""
