"""The training program, in this process, against a real store."""

import math
import os
import re
from itertools import islice

import numpy as np
import pytest
import torch

from mlflow_thermo import schema
from mlflow_thermo.delivery import deliver, waiting_outbox
from mlflow_thermo.observables import full_gradient
from mlflow_thermo.store import read_index, read_weights
from projects.common.lifetime import ParentWatch
from projects.fixed_lr import train
from projects.fixed_lr.config import resolve
from projects.fixed_lr.loop import measure
from projects.fixed_lr.training_setup import prepare, uniform_baseline

QUICK = {"preset": "digits-up", "log_points": 3, "noise_batches": 2}


@pytest.fixture
def program(store, monkeypatch, capsys):
    """Runs the program with options; returns exit status, stdout, stderr and the run (None where there is none)."""

    def run(command=train.main, experiment="study", **options):
        arguments = [f"--{name}={value}" for name, value in {**QUICK, **options}.items()]
        monkeypatch.setattr("sys.argv", ["train", f"--experiment={experiment}", *arguments])
        try:
            train.entry(command)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        shown = capsys.readouterr()
        where = store.get_experiment_by_name(experiment).experiment_id
        runs = store.search_runs([where])
        return code, shown.out, shown.err, runs[0] if runs else None

    yield run
    torch.set_num_threads(1)


def snapshots(store, run, tmp_path, series="spaced"):
    tmp_path.mkdir(exist_ok=True)
    folder = store.download_artifacts(run.info.run_id, f"{schema.ARTIFACT_ROOT}/{series}", str(tmp_path))
    return read_index(folder), read_weights(folder)


@pytest.mark.parametrize("storage", ["isometric", "sketch"])
def test_other_forms_of_storage(program, store, tmp_path, storage):
    """The same training as with whole snapshots, and their distances."""
    from scipy.spatial.distance import pdist

    code, _, err, run = program(lr=0.01, steps=100, storage=storage)
    assert (code, err) == (0, "")
    index, weights = snapshots(store, run, tmp_path)
    _, _, _, whole = program(lr=0.01, steps=100, storage="full")
    _, exact = snapshots(store, whole, tmp_path / "whole")
    assert (index.storage, index.d, index.n_snapshots, index.complete) == (storage, 1530, 50, True)
    error = np.sqrt(np.mean((pdist(weights.astype(float)) / pdist(exact.astype(float)) - 1) ** 2))
    assert error < (1e-6 if storage == "isometric" else 3 * index.sketch_error)


def test_a_run_from_beginning_to_end(program, store, tmp_path):
    code, out, err, run = program(lr=0.1, steps=300, seed=3)
    assert (code, err) == (0, "")
    assert run.info.status == "FINISHED"
    assert f"run       {run.info.run_id}" in out
    assert "final U" in out
    assert "mlflow ui --backend-store-uri sqlite:" in out
    # lr = 0.1 is in the uniform state: say so, and where to go.
    assert "regime    uniform: the weights wander over the whole sphere" in out
    assert "0.00056 to 0.018 is the range worth trying with digits-up" in out
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    assert tags[schema.TAG_KIND] == schema.KIND_TRAIN
    assert tags[schema.TAG_REGIME] == "uniform"
    assert tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE
    assert tags[schema.TAG_DEVICE].startswith("cpu") or torch.cuda.is_available()
    assert tags[schema.TAG_VERSION]
    assert (params["d"], params["n_train"], params["seed"], params["label_noise"]) == ("1530", "1500", "3", "0.3")
    assert {schema.METRIC_TRAIN_LOSS, schema.METRIC_TEST_ACCURACY, schema.METRIC_SNR, schema.METRIC_NOISE_RMS,
            schema.METRIC_MINIBATCH_NORM, schema.METRIC_GRADIENT_NORM, schema.METRIC_UNIFORM_LOSS,
            schema.METRIC_LR, "sums/wg", "sums/steps"} <= set(metrics)  # fmt: skip
    assert metrics[schema.METRIC_WEIGHT_NORM] == pytest.approx(1.0, abs=1e-5)
    assert [m.step for m in store.get_metric_history(run.info.run_id, schema.METRIC_TRAIN_LOSS)] == [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 55, 300,
    ]  # fmt: skip
    index, weights = snapshots(store, run, tmp_path)
    assert index.steps == tuple(range(151, 301))
    assert (index.protocol, index.lr, index.seed) == ("sphere", 0.1, 3)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, rtol=1e-5)
    assert index.attributes["uniform_loss"] == pytest.approx(metrics[schema.METRIC_UNIFORM_LOSS])
    assert snapshots(store, run, tmp_path / "c", "consecutive")[0].steps == tuple(range(1, 301))


def test_closing_words_hold_no_password(program, server, monkeypatch):
    import mlflow

    uri = server.uri.replace("://", "://user:secret@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    # MLflow's own links would hold it too.
    code, out, err, _ = program(lr=0.1, steps=40)
    assert code == 0
    assert f"look      open {server.uri}" in out
    assert "secret" not in out + err


def test_window_sums_are_those_of_the_second_half(program, store, tmp_path):
    """Against the weights themselves, of which every iterate is recorded before its update."""
    lr = 0.01
    run = program(lr=lr, steps=200, protocol="fixed_lr", weight_decay=0.0)[3]
    weights = snapshots(store, run, tmp_path, "consecutive")[1].astype(float)
    assert len(weights) == 200
    along = weights @ (weights[0] / np.linalg.norm(weights[0]))
    metrics = run.data.metrics
    assert (metrics["sums/steps"], metrics["sums/window_steps"]) == (200, 100)
    assert metrics["sums/wr"] == pytest.approx(along.sum(), rel=1e-5)
    assert metrics["sums/window_wr"] == pytest.approx(along[100:].sum(), rel=1e-5)
    # Plain SGD moves by lr·g: all but the last gradient can be read off.
    gradients = -np.diff(weights, axis=0)[100:] / lr
    squares, products = (gradients**2).sum(), (gradients * weights[100:-1]).sum()
    assert squares <= metrics["sums/window_gg"] <= squares + 10 * (gradients**2).sum(axis=1).max()
    last = np.sqrt((gradients**2).sum(axis=1).max()) * np.linalg.norm(weights[-1])
    assert metrics["sums/window_wg"] == pytest.approx(products, abs=3 * last)


def test_a_seed_repeats_itself_and_another_does_not(program, store, tmp_path):
    final = []
    for i, seed in enumerate((0, 0, 1)):
        run = program(lr=0.01, steps=60, seed=seed)[3]
        final.append(snapshots(store, run, tmp_path / str(i))[1][-1])
    np.testing.assert_array_equal(final[0], final[1])
    assert not np.array_equal(final[0], final[2])


@pytest.mark.parametrize(
    "options",
    [
        {"model": "mlp", "width": 8, "loss": "mse", "protocol": "fixed_lr", "sampling": "epochs"},
        {"model": "resnet18", "width": 1, "protocol": "fixed_elr", "samples_per_label": 30},
        {"dataset": "random", "model": "convnet", "width": 1, "label_noise": 0.0},
        # Fewer images than a batch: it is drawn with replacement.
        {"samples_per_label": 5, "batch_size": 128},
        {"samples_per_label": 5, "batch_size": 128, "sampling": "epochs"},
    ],
)
def test_the_other_models_protocols_and_data(program, options):
    code, _, err, run = program(lr=0.01, steps=24, snapshots=12, **options)
    assert (code, err) == (0, "")
    assert run.info.status == "FINISHED"
    assert math.isfinite(run.data.metrics[schema.METRIC_LOSS])
    for name, value in options.items():
        assert run.data.params[name] == str(value)


def test_a_diverged_run_keeps_what_it_recorded_and_is_tagged(program, store, tmp_path):
    code, _, err, run = program(lr=1e30, steps=600)
    assert code == 1
    assert err.splitlines() == [line for line in err.splitlines() if line.startswith("error: lr=1e+30 diverged")]
    assert "0.00056 to 0.018 is the range worth trying" in err
    assert run.info.status == "FAILED"
    assert run.data.tags[schema.TAG_REGIME] == run.data.tags[schema.TAG_STATUS] == schema.DIVERGED
    assert run.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL
    assert run.data.metrics[schema.METRIC_UNIFORM_LOSS] > 0
    assert store.list_artifacts(run.info.run_id, "thermo/consecutive")
    assert not [*tmp_path.glob(".thermo/*")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": "abc"}, "lr must be a finite positive number, got 'abc'"),
        ({"lr": "nan"}, "lr must be a finite positive number"),
        ({"lr": "-0.1"}, "lr must be a finite positive number"),
        ({"dataset": "mnist"}, "dataset 'mnist' is unknown"),
        ({"model": "vgg"}, "model 'vgg' is unknown"),
        ({"preset": "nope"}, "preset 'nope' is unknown"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
    ],
)
def test_bad_parameters_are_one_line_and_start_no_run(program, options, message):
    code, _, err, run = program(**{"lr": 0.1, **options})
    assert code == 1
    assert run is None
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert message in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "cifar10", "data_folder": "nowhere"}, "put the folder cifar-10-batches-py into"),
        ({"samples_per_label": 1000}, "samples_per_label=1000 is more than"),
        ({"device": "cuda"}, "device 'cuda' is not available"),
    ],
)
def test_what_fails_later_fails_the_run(program, options, message):
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    code, _, err, run = program(lr=0.1, steps=20, **options)
    assert code == 1
    assert message in err
    assert run.info.status == "FAILED"


def test_a_run_that_cannot_be_tagged_does_not_stay_open(program, monkeypatch):
    from mlflow import MlflowClient

    def refuse(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    code, _, err, run = program(lr=0.1, steps=20)
    assert code == 1
    assert "no space left" in err
    assert run.info.status == "FAILED"


def test_a_running_program_that_is_told_to_stop(program, store, monkeypatch):
    """SIGTERM ends the run as KILLED with everything recorded so far on the server."""
    import signal

    calls = []

    def check(self):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ParentWatch, "check", check)
    before = signal.getsignal(signal.SIGTERM)
    try:
        code, _, err, run = program(lr=0.01, steps=1000)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code == 1
    assert f"run {run.info.run_id} was ended: stopped by signal 15" in err
    assert run.info.status == "KILLED"
    assert run.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL
    assert store.list_artifacts(run.info.run_id, "thermo/spaced")


def test_a_server_that_goes_away_costs_neither_the_training_nor_the_snapshots(program, store, monkeypatch, caplog):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def gone(*_, **__):
        raise MlflowException("no route to host")

    def check(self):
        for name in ("log_batch", "log_artifact", "set_tag", "set_terminated"):
            monkeypatch.setattr(MlflowClient, name, gone)

    monkeypatch.setattr(ParentWatch, "check", check)
    code, _, err, run = program(lr=0.01, steps=400, log_points=20, snapshots=50, wait=1)
    assert code == 1
    assert "not delivered, will try again: no route to host" in caplog.text
    said = r"error: run \w+: .* not taken everything \(no route to host\); .* is safe in ([^,]+),"
    found = re.search(said, err)
    assert found, err
    for series, last in (("spaced", 400), ("consecutive", 400), ("bursts", 400)):
        index = read_index(f"{found[1]}/{series}")
        assert (index.complete, index.steps[-1]) == (True, last)
        assert np.isfinite(read_weights(f"{found[1]}/{series}")).all()
    # The training is over: so will the run be, as soon as the rest is delivered.
    monkeypatch.undo()
    waiting_outbox(run.info.run_id).close()
    assert [one.run_id for one in deliver(found[1], store._tracking_client.tracking_uri)] == [run.info.run_id]
    ended = store.get_run(run.info.run_id)
    assert (ended.info.status, ended.data.tags[schema.TAG_SNAPSHOTS]) == ("FINISHED", schema.SNAPSHOTS_COMPLETE)
    assert len(store.get_metric_history(run.info.run_id, schema.METRIC_TRAIN_LOSS)) >= 15


class TestLoop:
    def prepared(self, **options):
        return prepare(resolve({"preset": "digits-up", "lr": 0.01, "noise_batches": 3, **options}), torch.device("cpu"))

    def test_full_gradient_and_noise_agree_with_the_batches_of_training(self):
        """E g_B over many training batches is the full gradient, batch normalisation and all."""
        e = self.prepared(batch_size=500)
        full, _ = full_gradient(e.weighted_gradient, e.data.x_train, e.data.y_train, 500)
        mean = torch.zeros_like(full)
        n = 200
        for x, y in islice(e.training_batches(e.generator), n):
            mean += e.weighted_gradient(x, y, torch.full((500,), 1 / 500))[0] / n
        assert float((mean - full).norm() / full.norm()) < 0.1

    def test_measuring_changes_neither_weights_nor_batches(self):
        a, b = self.prepared(), self.prepared()
        (values,) = measure(a)
        uniform_baseline(a, a.noise_generator)
        assert torch.equal(a.weights, b.weights)
        first = [next(e.training_batches(e.generator))[1] for e in (a, b)]
        assert torch.equal(first[0], first[1])
        assert values[schema.METRIC_SNR] == pytest.approx(
            values[schema.METRIC_GRADIENT_NORM] / values[schema.METRIC_NOISE_RMS]
        )

    def test_uniform_baseline_is_the_loss_of_random_weights(self):
        e = self.prepared()
        mean, std = uniform_baseline(e, torch.Generator().manual_seed(0))
        again, _ = uniform_baseline(e, torch.Generator().manual_seed(1))
        assert abs(mean - again) < 4 * std / 32**0.5 * 2**0.5
        assert mean > 2.3  # a head of norm 10 makes random guesses confident, and worse than ln 10
