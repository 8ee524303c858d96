"""Which runs of a sweep are there, which can go on, and which are to be trained anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from analysis.tracking import search_runs
from mlflow_thermo import schema
from projects.common import Outcome
from projects.fixed_lr.engine import BATCHED, deal
from projects.fixed_lr.work import WorkFolder, resumable, stack_folder, stacks

#: Learning rate, to the digits that a grid has, and seed of a run.
Place = tuple[float, int]


@dataclass(frozen=True)
class Part:
    """What one process trains: learning rates of one seed.

    Attributes
    ----------
    resume : id of the (first) run that it goes on with; nothing for new runs.
    together : whether the learning rates are trained as a stack.
    run_ids : of the runs that it goes on with.
    """

    lrs: tuple[float, ...]
    seed: int
    resume: str = ""
    together: bool = False
    run_ids: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """Where its runs stand in the grid, in the order of `lrs`."""
        return tuple(place_of(lr, self.seed) for lr in self.lrs)


def place_of(lr: float, seed: int) -> Place:
    """Where a run stands in its grid."""
    return float(f"{lr:.6g}"), seed


def done_runs(client: MlflowClient, experiment_id: str, sweep: str) -> dict[Place, Run]:
    """Runs of a sweep that need not be trained again, by learning rate and seed.

    Finished with all their snapshots, or diverged, which they would again.
    """
    found: dict[Place, Run] = {}
    for run in _runs_of(client, experiment_id, sweep):
        tags = run.data.tags
        whole = run.info.status == "FINISHED" and tags.get(schema.TAG_SNAPSHOTS) == schema.SNAPSHOTS_COMPLETE
        diverged = tags.get(schema.TAG_REGIME) == schema.DIVERGED and run.info.status == "FAILED"
        place = _place(run)
        if place is not None and (whole or diverged):
            found.setdefault(place, run)
    return found


def _place(run: Run) -> Place | None:
    """Where a run stands in its grid; None for one that was killed before it said so."""
    lr = run.data.metrics.get(schema.METRIC_LR, run.data.params.get("lr"))
    return None if lr is None else place_of(float(lr), int(run.data.params.get("seed", 0)))


def parts_to_go_on(client: MlflowClient, experiment_id: str, sweep: str, work_dir: str) -> list[Part]:
    """The runs of a sweep that have a checkpoint on this machine and are not done, alone and in stacks."""
    done = {run.info.run_id for run in done_runs(client, experiment_id, sweep).values()}
    ids = {run.info.run_id for run in _runs_of(client, experiment_id, sweep)}
    parts = []
    for run_id in resumable(work_dir):
        if run_id in ids - done:
            (config,) = WorkFolder(work_dir, run_id).facts()["configs"]
            parts.append(Part((config["lr"],), config["seed"], run_id, run_ids=(run_id,)))
    for facts in stacks(work_dir):
        if set(facts["runs"]) <= ids and not set(facts["runs"]) <= done:
            configs = facts["configs"]
            lrs, run_ids = tuple(one["lr"] for one in configs), tuple(facts["runs"])
            parts.append(Part(lrs, configs[0]["seed"], run_ids[0], True, run_ids))
    return parts


def folder_of(part: Part, work_dir: str) -> WorkFolder:
    """Where the checkpoint lies that a part goes on from."""
    return stack_folder(work_dir, part.run_ids) if part.together else WorkFolder(work_dir, part.resume)


def let_go(
    client: MlflowClient, experiment_id: str, sweep: str, kept: Iterable[str], places: Container[Place] | None = None
) -> None:
    """Take the runs out of a sweep that are neither done nor go on: new ones take their places.

    Parameters
    ----------
    kept : ids of runs that stay.
    places : of the runs that may leave; all by default. Others are being trained.
    """
    for run in _runs_of(client, experiment_id, sweep):
        if run.info.run_id in kept or (places is not None and _place(run) not in places):
            continue
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
        client.delete_tag(run.info.run_id, schema.TAG_SWEEP)


def dealt(places: Iterable[Place], engine: str, jobs: int) -> list[Part]:
    """New runs at these places, as the engine trains them: large learning rates first, which show a diverging grid."""
    if engine != BATCHED:
        return [Part((lr,), seed) for lr, seed in sorted(places, key=lambda place: (place[1], -place[0]))]
    by_seed: dict[int, list[float]] = defaultdict(list)
    for lr, seed in places:
        by_seed[seed].append(lr)
    grids: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for seed, lrs in sorted(by_seed.items()):
        grids[tuple(sorted(lrs, reverse=True))].append(seed)
    return [
        Part(tuple(lrs), seed, together=True) for grid, seeds in grids.items() for lrs, seed in deal(grid, seeds, jobs)
    ]


def outcome_of(place: Place, run: Run) -> Outcome:
    """A run that was there already, for the table of a sweep."""
    regime = run.data.tags.get(schema.TAG_REGIME, "")
    ok = run.info.status == "FINISHED"
    return Outcome(*place, run.info.run_id, ok, regime, "" if ok else "diverged, as before", 0.0)


def unfinished_like(client: MlflowClient, experiment_id: str, params: dict[str, Any], own: str) -> str:
    """Id of the newest sweep with these params that was cut off; nothing where there is none."""
    query = f"tags.`{schema.TAG_KIND}` = '{schema.KIND_SWEEP}'"
    wanted = {name: str(value) for name, value in params.items()}
    for run in search_runs(client, experiment_id, query):
        sweep = run.data.tags.get(schema.TAG_SWEEP, "")
        if run.info.status != "FINISHED" and sweep != own and run.data.params == wanted:
            return sweep
    return ""


def _runs_of(client: MlflowClient, experiment_id: str, sweep: str) -> list[Run]:
    found = search_runs(client, experiment_id, f"tags.`{schema.TAG_SWEEP}` = '{sweep}'")
    return [run for run in found if run.data.tags.get(schema.TAG_KIND) != schema.KIND_SWEEP]
