"""Trains what a study still lacks: finished runs are kept, those that were interrupted are trained again."""

from __future__ import annotations

from collections import defaultdict

import click
from mlflow import MlflowClient
from mlflow.entities import Run

from analysis.tracking import search_runs
from mlflow_thermo import schema
from projects.common import ParentWatch
from projects.fixed_lr import AUTO, choose_engine, load_dataset, resolve, run_sweep
from projects.paper.plan import Study


def done_runs(client: MlflowClient, experiment_id: str, key: str) -> dict[tuple[float, int], Run]:
    """Runs of the sweep `key` that need not be trained again, by learning rate and seed.

    Finished with all their snapshots, or diverged, which they would again.
    """
    found: dict[tuple[float, int], Run] = {}
    for run in search_runs(client, experiment_id, f"tags.`{schema.TAG_SWEEP}` = '{key}'"):
        tags = run.data.tags
        whole = run.info.status == "FINISHED" and tags.get(schema.TAG_SNAPSHOTS) == schema.SNAPSHOTS_COMPLETE
        diverged = tags.get(schema.TAG_REGIME) == schema.DIVERGED and run.info.status == "FAILED"
        lr = run.data.metrics.get(schema.METRIC_LR)
        if lr is not None and (whole or diverged):
            found.setdefault((float(f"{lr:.6g}"), int(run.data.params.get("seed", 0))), run)
    return found


def train_study(
    study: Study, scale: str, experiment_id: str, jobs: int, engine: str, watch: ParentWatch
) -> tuple[int, list[str]]:
    """Train the missing runs of a study; returns how many were there already, and a line for each that failed.

    Raises
    ------
    ThermoError
        Parameters or data that no run could be trained with.
    """
    key = study.key(scale)
    done = done_runs(MlflowClient(), experiment_id, key)
    missing: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for seed in study.seeds:
        lrs = tuple(lr for lr in study.lrs if (lr, seed) not in done)
        if lrs:
            missing[lrs].append(seed)
    there = sum((lr, seed) in done for lr in study.lrs for seed in study.seeds)
    if missing:
        # An error in the data would fail every run: raise it before any process starts.
        config = resolve({**study.options, "lr": study.lrs[0]})
        load_dataset(
            config.dataset, config.data_folder, download=config.download,
            samples_per_label=config.samples_per_label, label_noise=config.label_noise, seed=config.data_seed,
        )  # fmt: skip
    failures: list[str] = []
    for lrs, seeds in missing.items():
        config = resolve({**study.options, "lr": lrs[0]})
        chosen = choose_engine(engine or AUTO, config, len(lrs) * len(seeds), jobs)
        click.echo(f"{study.name}: training {len(lrs) * len(seeds)} runs, engine {chosen}", err=True)
        outcomes = run_sweep(lrs, seeds, study.options, key, jobs, chosen, watch)
        failures += [f"lr={o.lr:g} seed={o.seed}: {o.message}" for o in outcomes if not o.ok]
    return there, failures
