"""A study whose temperatures are known: SGD on an isotropic quadratic with Gaussian gradient noise."""

import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

from analysis import cli
from analysis.cli.program import DEBUG
from mlflow_thermo import schema
from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import SeriesWriter

CURVATURE, NOISE, D, N = 1.0, 0.5, 3, 600


def exact_temperature(lr):
    """T = dU/dS: of U = d·h·v/2 and S = d/2·ln v with v = lr·σ²/(h·(2 − lr·h)) this is h·v."""
    return lr * NOISE**2 / (2 - lr * CURVATURE)


@dataclass
class Study:
    """Writes runs of the exact system, each a folder of series as the recorder makes them."""

    root: object
    lrs: tuple = tuple(np.geomspace(0.01, 1.0, 9))
    rng: object = field(default_factory=lambda: np.random.default_rng(7))

    def samples(self, lr, n=N):
        """Independent stationary weights (n, d) and their losses (n,)."""
        weights = self.rng.normal(size=(n, D)) * np.sqrt(exact_temperature(lr) / CURVATURE)
        return weights.astype(np.float32), CURVATURE * (weights**2).sum(axis=1) / 2

    def write_series(self, folder, lr, weights, loss, series=schema.SPACED, complete=True, **index):
        writer = SeriesWriter.create(
            folder / series,
            SeriesIndex(
                **{"series": series, "d": weights.shape[1], "dtype": "float32", "protocol": "fixed_lr", **index}, lr=lr
            ),
        )
        half = len(weights) // 2
        for part in (slice(0, half), slice(half, None)):
            steps = np.arange(1000, 1000 + 10 * len(weights), 10)[part]
            writer.append(steps, weights[part], loss[part], loss[part])
        writer.close(complete)
        return folder / series

    def write_run(self, name, lr, **index):
        weights, loss = self.samples(lr)
        folder = self.root / name
        self.write_series(folder, lr, weights, loss, **index)
        return folder

    def write_all(self):
        return [self.write_run(f"run{i}", lr) for i, lr in enumerate(self.lrs)]

    def log_run(self, client, experiment_id, folder, lr, *, status="FINISHED", seed=0, tags=None):
        """Put a written run on a tracking server the way the training does; returns its id."""
        run = client.create_run(experiment_id, tags={schema.TAG_KIND: schema.KIND_TRAIN, **(tags or {})})
        run_id = run.info.run_id
        client.log_param(run_id, "seed", seed)
        client.log_metric(run_id, schema.METRIC_LR, lr)
        if folder is not None:
            client.log_artifacts(run_id, str(folder), schema.ARTIFACT_ROOT)
        client.set_terminated(run_id, status)
        return run_id


@pytest.fixture
def study(tmp_path):
    root = tmp_path / "runs"
    root.mkdir()
    return Study(root)


@pytest.fixture
def tracked(study, store):
    """The study on a fresh sqlite store, in experiment "study", as one sweep."""
    experiment = store.get_experiment_by_name("study").experiment_id
    for folder, lr in zip(study.write_all(), study.lrs, strict=True):
        study.log_run(store, experiment, folder, lr, tags={schema.TAG_SWEEP: "first"})
    return store


@pytest.fixture
def command(monkeypatch, capsys):
    """Exit status and outputs of the console command, in this process."""
    # What --debug leaves for the programs that a command starts.
    monkeypatch.setenv(DEBUG, "")
    # How slow a machine is must not show in what a test compares.
    monkeypatch.setattr("analysis.cli.display.LINE_EVERY", 1e9)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlflow-thermo", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run
