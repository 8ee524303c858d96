"""Runs that say RUNNING although their program was killed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.tracking.errors import server_errors
from analysis.tracking.finding import connect, find_experiment, search_runs
from mlflow_thermo import schema
from mlflow_thermo.delivery import Sign

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Orphan:
    """A run that nobody writes to any more, and why that is known."""

    run_id: str
    name: str
    why: str


@server_errors()
def orphans(client: MlflowClient, experiment_id: str) -> list[Orphan]:
    """The runs of an experiment that say RUNNING and whose program has ended.

    On this machine the process itself is looked for; one elsewhere counts as gone when it has given no sign for half an
    hour. Runs of other tools, which give no signs, are never among them.
    """
    found = []
    for run in search_runs(client, experiment_id, "attributes.status = 'RUNNING'"):
        sign = Sign.read(run.data.tags.get(schema.TAG_ALIVE, ""))
        why = "" if sign is None else sign.gone(time.time())
        if why:
            found.append(Orphan(run.info.run_id, run.info.run_name, why))
    return found


@server_errors()
def orphans_of(experiment: str, tracking_uri: str | None = None, *, experiment_id: str | None = None) -> list[Orphan]:
    """`orphans` of the experiment of that name, or with that id."""
    client = connect(tracking_uri)
    return orphans(client, find_experiment(client, experiment, experiment_id).experiment_id)


def close_orphans(found: Sequence[Orphan], tracking_uri: str | None = None) -> None:
    """End runs as KILLED."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    for orphan in found:
        close_orphan(client, orphan)


@server_errors()
def close_orphan(client: MlflowClient, orphan: Orphan) -> None:
    """End the run as KILLED; a program that goes on all the same ends it in its own way later."""
    client.set_terminated(orphan.run_id, "KILLED")
