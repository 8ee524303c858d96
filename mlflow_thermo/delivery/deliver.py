"""Delivers what a program has left behind because its server was away, or because it was killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow_thermo.delivery.journal import ENTRIES, JOURNAL, Journal
from mlflow_thermo.delivery.requests import send
from mlflow_thermo.errors import ThermoError


@dataclass(frozen=True)
class Delivered:
    """A folder whose journal is empty now: the run that it was for, and how many entries were sent."""

    folder: Path
    run_id: str
    entries: int


def deliver(folder: str | Path, tracking_uri: str | None = None) -> Iterator[Delivered]:
    """Send what waits in a folder, and in the folders below it, to the tracking server; one by one.

    Parameters
    ----------
    folder : that a recording has left behind, or one that holds several such.
    tracking_uri : of the server; by default MLflow's own.

    Raises
    ------
    ThermoError
        Nothing to deliver there, a journal that is none, a run that does not exist, or another program at work there.
    """
    from mlflow import MlflowClient

    root = Path(folder)
    found = sorted(path.parents[1] for path in root.rglob(f"{JOURNAL}/{ENTRIES}"))
    if not found:
        problem = "holds nothing to be delivered" if root.is_dir() else "does not exist"
        raise ThermoError(f"folder {root} {problem}: give one that a recording has left behind")
    client = MlflowClient(tracking_uri)
    for one in found:
        journal = Journal(one)
        try:
            waiting = len(journal)
            while len(journal):
                send(client, journal.run_id, one, journal)
        finally:
            journal.close()
        yield Delivered(one, journal.run_id, waiting)
