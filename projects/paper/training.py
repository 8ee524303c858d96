"""Trains what a study still lacks: finished runs are kept, those that were interrupted go on from their checkpoints."""

from __future__ import annotations

import click
from mlflow import MlflowClient

from projects.common import ParentWatch
from projects.fixed_lr import (
    AUTO,
    choose_engine,
    dealt,
    done_runs,
    load_dataset,
    parts_to_go_on,
    place_of,
    resolve,
    run_sweep,
)
from projects.paper.plan import Study


def train_study(
    study: Study, scale: str, experiment_id: str, jobs: int, engine: str, watch: ParentWatch
) -> tuple[int, list[str]]:
    """Train the missing runs of a study; returns how many were there already, and a line for each that failed.

    Raises
    ------
    ThermoError
        Parameters or data that no run could be trained with.
    """
    key, client = study.key(scale), MlflowClient()
    done = done_runs(client, experiment_id, key)
    going_on = parts_to_go_on(client, experiment_id, key, study.options.get("work_dir", ""))
    places = [(lr, seed) for seed in study.seeds for lr in study.lrs]
    there = sum(place in done for place in places)
    taken = {place_of(lr, part.seed) for part in going_on for lr in part.lrs} | set(done)
    anew = [place for place in places if place not in taken]
    if not anew and not going_on:
        return there, []
    # An error in the data would fail every run: raise it before any process starts.
    config = resolve({**study.options, "lr": study.lrs[0]})
    load_dataset(
        config.dataset, config.data_folder, download=config.download,
        samples_per_label=config.samples_per_label, label_noise=config.label_noise, seed=config.data_seed,
    )  # fmt: skip
    chosen = choose_engine(engine or AUTO, config, len(anew), jobs) if anew else AUTO
    click.echo(f"{study.name}: training {len(places) - there} runs, engine {chosen}", err=True)
    outcomes = run_sweep([*going_on, *dealt(anew, chosen, jobs)], study.options, key, jobs, watch)
    return there, [f"lr={o.lr:g} seed={o.seed}: {o.message}" for o in outcomes if not o.ok]
