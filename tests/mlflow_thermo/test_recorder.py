"""The recorder in a real training loop, against a real store."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mlflow_thermo import SnapshotRecorder, ThermoError, schema
from mlflow_thermo.store import read_index, read_weights, sha256_of
from tests.mlflow_thermo.training import SERIES, make, train


def test_a_folder_without_mlflow(tmp_path):
    w = make()
    with SnapshotRecorder([("w", w)], series=SERIES, directory=tmp_path, lr=0.5, seed=2, attributes={"a": 1}) as r:
        train(r, w, 20)
    index = read_index(tmp_path / "spaced")
    assert index.steps == (4, 8, 12, 16, 20)
    assert index.loss == (4.0, 8.0, 12.0, 16.0, 20.0)
    # The mean over the four steps that end at the snapshot.
    assert index.loss_mean == (2.5, 6.5, 10.5, 14.5, 18.5)
    assert (index.lr, index.seed, index.attributes, index.complete) == (0.5, 2, {"a": 1}, True)
    np.testing.assert_array_equal(read_weights(tmp_path / "spaced")[:, 0], [3, 7, 11, 15, 19])
    np.testing.assert_array_equal(read_weights(tmp_path / "consecutive")[:, 0], [17, 18, 19])
    assert r.index("consecutive").loss_mean == (18.0, 19.0, 20.0)
    with pytest.raises(ThermoError, match="choose one of spaced, consecutive"):
        r.index("bursts")


def test_losses_may_be_absent(tmp_path):
    w = make()
    with SnapshotRecorder([("w", w)], series=SERIES, directory=tmp_path) as r:
        for _ in range(20):
            r.step()
    assert set(read_index(tmp_path / "spaced").loss) == {None}


def test_default_series_through_the_active_run(store, tmp_path):
    import mlflow

    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    seen = []
    with mlflow.start_run() as run, SnapshotRecorder(net, total_steps=40, lr=0.1) as recorder:
        for _ in range(40):
            loss = net(torch.ones(4, 3)).square().mean()
            loss.backward()
            seen.append(torch.cat([p.detach().flatten() for p in net.parameters()]).numpy().copy())
            recorder.step(loss)
            optimizer.step()
            optimizer.zero_grad()
    back = store.get_run(run.info.run_id)
    assert back.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE
    assert back.data.metrics[schema.METRIC_LR] == 0.1
    folder = store.download_artifacts(run.info.run_id, schema.ARTIFACT_ROOT, str(tmp_path))
    digests = schema.digests_of(back.data.tags[schema.TAG_DIGEST])
    assert digests == {name: sha256_of(Path(folder) / name / schema.INDEX_NAME) for name in digests}
    assert list(digests) == ["spaced", "consecutive", "bursts"]
    index = read_index(f"{folder}/spaced")
    weights = read_weights(f"{folder}/spaced")
    np.testing.assert_array_equal(weights, np.array(seen)[np.array(index.steps) - 1])
    assert [p.name for p in index.layout] == ["weight", "bias"]
    # The recorder's own temporary folder is gone once the server has everything.
    assert not recorder.directory.exists()


def test_an_exception_keeps_what_was_recorded(store, tmp_path):
    import mlflow

    w = make()
    with pytest.raises(RuntimeError, match="crash"), mlflow.start_run() as run:
        with SnapshotRecorder([("w", w)], series=SERIES) as recorder:
            train(recorder, w, 10)
            raise RuntimeError("crash")
    back = store.get_run(run.info.run_id)
    assert back.info.status == "FAILED"
    assert back.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL
    folder = store.download_artifacts(run.info.run_id, schema.ARTIFACT_ROOT, str(tmp_path))
    index = read_index(f"{folder}/spaced")
    assert not index.complete
    np.testing.assert_array_equal(read_weights(f"{folder}/spaced")[:, 0], [3, 7])


def test_a_loop_that_ends_early_is_partial(store):
    import mlflow

    w = make()
    with mlflow.start_run() as run, SnapshotRecorder([("w", w)], series=SERIES) as recorder:
        train(recorder, w, 19)
    assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL


def test_nan_weights_are_recorded_as_they_are(tmp_path):
    w = make()
    with SnapshotRecorder([("w", w)], series=SERIES, directory=tmp_path) as r:
        train(r, w, 7)
        for _ in range(13):
            with torch.no_grad():
                w.fill_(float("nan"))
            r.step(torch.tensor(float("nan")))
    weights = read_weights(tmp_path / "spaced")
    assert np.isfinite(weights[0]).all()
    assert np.isnan(weights[1:]).all()
    assert read_index(tmp_path / "spaced").loss == (4.0, None, None, None, None)


@pytest.mark.parametrize("storage", ["full", "isometric", "sketch"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floats(tmp_path, storage, dtype):
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(50).to(dtype))
    kept = []
    with SnapshotRecorder([("w", w)], 16, directory=tmp_path, storage=storage, sketch_columns=40) as recorder:
        for _ in range(16):
            kept.append(w.detach().double().numpy().copy())
            recorder.step(0.5)
            with torch.no_grad():
                w += torch.randn(50).to(dtype)
    steps = np.array(read_index(tmp_path / "consecutive").steps)
    found, exact = read_weights(tmp_path / "consecutive").astype(float), np.array(kept)[steps - 1]
    if storage == "full":
        np.testing.assert_array_equal(found, exact)
    else:
        norms = np.linalg.norm(exact, axis=1)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1) / norms, 1, atol=1e-6 if storage != "sketch" else 0.6)


def test_numbers_of_other_libraries_go_into_the_index(tmp_path):
    recorder = SnapshotRecorder(
        [("w", make())], np.int64(10), directory=tmp_path, lr=np.float32(0.5), seed=torch.tensor(3)
    )
    recorder.close()
    index = read_index(tmp_path / "spaced")
    assert (index.lr, index.seed) == (0.5, 3)


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"lr": "fast"}, "lr must be a finite positive number, got 'fast'"),
            ({"lr": 0.0}, "lr must be"),
            ({"lr": float("nan")}, "lr must be"),
            ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
            ({"sketch_columns": "many"}, "sketch_columns must be a whole number"),
            ({"attributes": {"a": float("nan")}}, "attributes: cannot be written as JSON"),
            ({"attributes": {"a": object()}}, "attributes: cannot be written as JSON"),
            ({"total_steps": 10.5}, "total_steps must be a whole number"),
        ],
    )
    def test_arguments(self, tmp_path, options, message):
        with pytest.raises(ThermoError, match=message):
            SnapshotRecorder([("w", make())], directory=tmp_path, **{"total_steps": 10, **options})
        assert not list(tmp_path.iterdir())

    def test_a_second_recorder_in_a_run(self, store):
        import mlflow

        with mlflow.start_run() as run, SnapshotRecorder([("w", make())], 10):
            with pytest.raises(ThermoError, match=f"run {run.info.run_id} holds snapshots already"):
                SnapshotRecorder([("v", make())], 10)

    def test_no_run_and_no_directory(self, store):
        with pytest.raises(ThermoError, match=r"mlflow\.start_run\(\), or give a directory"):
            SnapshotRecorder([("w", make())], total_steps=5)

    @pytest.mark.parametrize("total", [None, 0, -3])
    def test_total_steps(self, tmp_path, total):
        with pytest.raises(ThermoError, match="total_steps"):
            SnapshotRecorder([("w", make())], total_steps=total, directory=tmp_path)

    def test_two_series_of_one_name(self, tmp_path):
        with pytest.raises(ThermoError, match="share one name"):
            SnapshotRecorder([("w", make())], series=(SERIES[0], SERIES[0]), directory=tmp_path)

    def test_a_folder_that_holds_a_series(self, tmp_path):
        SnapshotRecorder([("w", make())], series=SERIES, directory=tmp_path)
        with pytest.raises(ThermoError, match="already holds a series"):
            SnapshotRecorder([("w", make())], series=SERIES, directory=tmp_path)


def test_recording_does_not_change_the_training(tmp_path):
    def final(record):
        torch.manual_seed(3)
        net = nn.Linear(5, 5)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        recorder = SnapshotRecorder(net, 50, directory=tmp_path) if record else None
        for _ in range(50):
            loss = (net(torch.randn(8, 5)) - 1).square().mean()
            loss.backward()
            if recorder:
                recorder.step(loss)
            optimizer.step()
            optimizer.zero_grad()
        return net.weight.detach()

    torch.testing.assert_close(final(True), final(False), rtol=0, atol=0)


def test_a_folder_asks_for_no_mlflow(tmp_path):
    """A machine that only trains may not have MLflow."""
    code = (
        "import sys, torch; from mlflow_thermo import Schedule, SnapshotRecorder\n"
        f"w = torch.zeros(3, requires_grad=True); every = Schedule('every', (1, 2)); folder = {str(tmp_path)!r}\n"
        "with SnapshotRecorder([('w', w)], series=[every], directory=folder) as recorder:\n"
        "    recorder.step(1.0); recorder.step(2.0)\n"
        "assert recorder.index('every').complete and 'mlflow' not in sys.modules\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
