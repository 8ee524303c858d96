"""The recorder in a real training loop, against a real store."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mlflow_thermo import Schedule, SnapshotRecorder, bursts, consecutive, schema, spaced
from mlflow_thermo.schema import ThermoError
from mlflow_thermo.store import read_index, read_weights


class TestSchedules:
    def test_spaced_covers_the_second_half_with_one_stride(self):
        steps = spaced(12_000, 1000).steps
        assert len(steps) == 1000
        assert set(np.diff(steps)) == {6}
        assert steps[-1] == 12_000
        assert steps[0] > 6000

    @pytest.mark.parametrize("total", [1, 2, 7, 999, 1999, 2001])
    def test_spaced_of_short_trainings(self, total):
        steps = spaced(total, 1000).steps
        assert 1 <= len(steps) <= 1000
        assert steps[0] > total * 0.5 - 1
        assert steps[-1] == total
        assert len(set(np.diff(steps))) <= 1

    def test_consecutive_is_the_last_iterates(self):
        assert consecutive(1500, 1000).steps == tuple(range(501, 1501))
        assert consecutive(3, 1000).steps == (1, 2, 3)

    @pytest.mark.parametrize(("total", "n", "size"), [(12_000, 10, 100), (3000, 10, 100), (1_600_000, 10, 1000)])
    def test_bursts_end_at_log_spaced_steps_and_do_not_touch(self, total, n, size):
        steps = np.array(bursts(total, n, size).steps)
        parts = np.split(steps, np.nonzero(np.diff(steps) > 1)[0] + 1)
        assert {len(part) for part in parts} == {size}
        assert steps[-1] == total
        ends = np.array([part[-1] for part in parts])
        assert n - 3 <= len(ends) <= n
        ratios = ends[1:] / ends[:-1]
        # Early bursts that would touch the next are dropped; the rest keep one ratio.
        np.testing.assert_allclose(ratios[2:], (total / size) ** (1 / (n - 1)), rtol=0.02)

    @pytest.mark.parametrize(("total", "size", "expected"), [(1, 100, 1), (50, 100, 50), (100, 10, 100)])
    def test_bursts_of_short_trainings(self, total, size, expected):
        steps = bursts(total, 10, size).steps
        assert steps[-1] == total
        assert len(steps) <= expected

    def test_bad_bursts(self):
        with pytest.raises(ThermoError, match="n=0"):
            bursts(100, 0, 10)

    @pytest.mark.parametrize("steps", [(), (0, 1), (2, 2), (3, 1)])
    def test_bad_steps(self, steps):
        with pytest.raises(ThermoError, match="series 'x'"):
            Schedule("x", steps)

    @pytest.mark.parametrize("make", [spaced, consecutive])
    def test_no_snapshots(self, make):
        with pytest.raises(ThermoError, match="n must be at least 1, got 0"):
            make(100, 0)

    def test_nothing_to_record_after_the_end(self):
        with pytest.raises(ThermoError, match="fraction"):
            spaced(10, start=1.0)


def train(recorder, parameter, steps, first=0):
    """A loop whose weights before step t are t − 1, with loss t."""
    for t in range(first + 1, first + steps + 1):
        with torch.no_grad():
            parameter.fill_(t - 1)
        recorder.step(torch.tensor(float(t)))


def make(d=6):
    return nn.Parameter(torch.zeros(d))


SERIES = (Schedule("spaced", tuple(range(4, 21, 4))), Schedule("consecutive", (18, 19, 20)))


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
    assert len(back.data.tags[schema.TAG_DIGEST]) == 64
    assert back.data.metrics[schema.METRIC_LR] == 0.1
    folder = store.download_artifacts(run.info.run_id, schema.ARTIFACT_ROOT, str(tmp_path))
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


def test_resume_after_a_kill(tmp_path):
    """A second process that starts from the last closed chunk makes the same series as one that was not killed."""
    whole, parts = make(), make()
    series = (Schedule("spaced", tuple(range(1, 33))),)
    with SnapshotRecorder([("w", whole)], series=series, directory=tmp_path / "whole") as r:
        train(r, whole, 32)
    killed = SnapshotRecorder([("w", parts)], series=series, directory=tmp_path / "parts")
    train(killed, parts, 20)  # two closed chunks of 8; never closed, as after kill -9
    assert killed.index("spaced").steps[-1] == 16  # waits for the thread that writes
    again = SnapshotRecorder([("w", parts)], series=series, directory=tmp_path / "parts", resume=True)
    done = again.index("spaced").steps[-1]
    assert done == 16
    again.fast_forward(done)
    train(again, parts, 32 - done, first=done)
    again.close()
    for name in ("whole", "parts"):
        np.testing.assert_array_equal(read_weights(tmp_path / name / "spaced")[:, 0], np.arange(32))
    assert read_index(tmp_path / "parts" / "spaced") == read_index(tmp_path / "whole" / "spaced")


def test_a_server_that_is_away_loses_nothing(store, monkeypatch, caplog):
    import mlflow
    from mlflow import MlflowClient

    w = make()
    log_artifact = MlflowClient.log_artifact
    away = {"now": True}

    def unreliable(self, run_id, *arguments):
        if away["now"]:
            raise ConnectionError("no route to http://user:secret@host")
        return log_artifact(self, run_id, *arguments)

    monkeypatch.setattr(MlflowClient, "log_artifact", unreliable)
    series = (Schedule("spaced", tuple(range(1, 33))),)
    with caplog.at_level(logging.WARNING), mlflow.start_run() as run:
        with SnapshotRecorder([("w", w)], series=series) as recorder:
            train(recorder, w, 16)
            away["now"] = False
            train(recorder, w, 16, first=16)
        assert "will retry: no route to http://host" in caplog.text
        files = {item.path for item in store.list_artifacts(run.info.run_id, "thermo/spaced")}
        assert len(files) == 5
    # Away for good: the error says where the data is and how to send it.
    away["now"] = True
    with mlflow.start_run() as run:
        recorder = SnapshotRecorder([("w", w)], series=series)
        train(recorder, w, 32)
        with pytest.raises(ThermoError, match="mlflow artifacts log-artifacts") as caught:
            recorder.close()
    assert str(recorder.directory) in str(caught.value)
    assert read_weights(recorder.directory / "spaced").shape == (32, 6)
    assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_RECORDING


def test_an_index_that_did_not_arrive_is_not_called_complete(store, monkeypatch):
    """The chunks alone are nothing that a reader could find."""
    import mlflow
    from mlflow import MlflowClient

    w = make()
    log_artifact = MlflowClient.log_artifact

    def unreliable(self, run_id, path, target):
        if path.endswith("index.json"):
            raise ConnectionError("502 Bad Gateway")
        return log_artifact(self, run_id, path, target)

    with mlflow.start_run() as run:
        recorder = SnapshotRecorder([("w", w)], series=SERIES)
        train(recorder, w, 20)
        monkeypatch.setattr(MlflowClient, "log_artifact", unreliable)
        with pytest.raises(ThermoError, match="did not take all snapshots"):
            recorder.close()
    assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_RECORDING
    assert read_index(recorder.directory / "spaced").complete


class TestResume:
    SERIES = (Schedule("spaced", tuple(range(1, 33))),)

    def start(self, folder, series=SERIES, d=6, steps=0, **options):
        w = make(d)
        recorder = SnapshotRecorder([("w", w)], series=series, directory=folder, **options)
        train(recorder, w, steps)
        return recorder, w

    def test_flushed_at_a_checkpoint(self, tmp_path):
        first, _ = self.start(tmp_path, steps=21)
        first.flush()
        again, w = self.start(tmp_path, resume=True)
        again.fast_forward(21)
        train(again, w, 11, first=21)
        again.close()
        assert read_index(tmp_path / "spaced").complete
        np.testing.assert_array_equal(read_weights(tmp_path / "spaced")[:, 0], np.arange(32))

    def test_after_a_checkpoint_later_than_the_last_chunk(self, tmp_path, caplog):
        first, _ = self.start(tmp_path, steps=21)
        assert first.index("spaced").steps[-1] == 16
        again, w = self.start(tmp_path, resume=True)
        again.fast_forward(21)
        assert "misses its snapshots from step 17 to 21" in caplog.text
        train(again, w, 6, first=21)
        again.flush()
        # A gap is still one when the training is cut off and goes on once more.
        last, w = self.start(tmp_path, resume=True)
        last.fast_forward(27)
        train(last, w, 5, first=27)
        last.close()
        index = read_index(tmp_path / "spaced")
        assert not index.complete
        assert index.steps == (*range(1, 17), *range(22, 33))
        np.testing.assert_array_equal(read_weights(tmp_path / "spaced")[:, 0], np.array(index.steps) - 1)
        assert index.loss_mean == index.loss

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"d": 7}, r"its d differs \(6 there, 7 now\)"),
            ({"lr": 0.2}, r"its lr differs \(0.1 there, 0.2 now\)"),
            ({"seed": 1}, "its seed differs"),
            ({"protocol": "sphere"}, "its protocol differs"),
            ({"series": (Schedule("spaced", tuple(range(2, 65, 2))),)}, "at other steps than the schedule 'spaced'"),
        ],
    )
    def test_of_another_training(self, tmp_path, options, message):
        first, _ = self.start(tmp_path, steps=20, lr=0.1)
        first.flush()
        before = read_index(tmp_path / "spaced")
        with pytest.raises(ThermoError, match=message):
            self.start(tmp_path, resume=True, **{"lr": 0.1, **options})
        assert read_index(tmp_path / "spaced") == before

    def test_a_finished_series_that_is_to_go_on(self, tmp_path):
        first, _ = self.start(tmp_path, steps=32)
        first.close()
        longer = (Schedule("spaced", tuple(range(1, 65))),)
        again, w = self.start(tmp_path, series=longer, resume=True)
        again.fast_forward(32)
        train(again, w, 16, first=32)
        again.close()
        index = read_index(tmp_path / "spaced")
        assert (index.n_snapshots, index.complete) == (48, False)

    def test_a_reduced_series_is_not_to_go_on(self, tmp_path):
        first, _ = self.start(tmp_path, d=40, steps=32, storage="isometric")
        first.close()
        longer = (Schedule("spaced", tuple(range(1, 65))),)
        with pytest.raises(ThermoError, match="at other steps than the schedule"):
            self.start(tmp_path, series=longer, d=40, resume=True, storage="isometric")

    def test_a_gap_makes_the_run_partial(self, store, tmp_path):
        import mlflow

        first, _ = self.start(tmp_path, steps=21)
        assert first.index("spaced").steps[-1] == 16
        with mlflow.start_run() as run:
            again, w = self.start(tmp_path, resume=True)
            again.fast_forward(21)
            train(again, w, 11, first=21)
            again.close()
        assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL

    @pytest.mark.parametrize("storage", ["full", "isometric"])
    def test_a_finished_series_stays_finished(self, tmp_path, storage):
        first, _ = self.start(tmp_path, d=40, steps=32, storage=storage)
        first.close()
        before = read_index(tmp_path / "spaced")
        assert (before.complete, before.storage) == (True, storage)
        again, w = self.start(tmp_path, d=40, resume=True, storage=storage)
        train(again, w, 3)
        again.close(complete=False)
        assert read_index(tmp_path / "spaced") == before

    def test_without_a_directory(self, store):
        import mlflow

        with mlflow.start_run(), pytest.raises(ThermoError, match="resume needs the directory"):
            SnapshotRecorder([("w", make())], 10, resume=True)


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
    """A machine that only trains may not have it."""
    code = (
        "import sys, torch; from mlflow_thermo import Schedule, SnapshotRecorder\n"
        f"w = torch.zeros(3, requires_grad=True); every = Schedule('every', (1, 2)); folder = {str(tmp_path)!r}\n"
        "with SnapshotRecorder([('w', w)], series=[every], directory=folder) as recorder:\n"
        "    recorder.step(1.0); recorder.step(2.0)\n"
        "assert recorder.index('every').complete and 'mlflow' not in sys.modules\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
