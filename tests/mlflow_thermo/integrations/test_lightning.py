"""Lightning trains, and the recording is that of a plain loop."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from mlflow_thermo import Schedule, ThermoError
from mlflow_thermo.store import read_index
from tests.mlflow_thermo.integrations.problem import LIGHTNING, plain_loop, recorded, same

pytestmark = LIGHTNING


class TestUpdates:
    @pytest.mark.parametrize(("accumulate", "n"), [(1, 64), (2, 64), (3, 64), (2, 56)])
    def test_the_same_as_a_plain_loop(self, lightning, tmp_path, accumulate, n):
        """Also where the last micro-batches of an epoch are fewer."""
        callback = lightning.Callback(directory=tmp_path / "trainer")
        lightning.fit(callback, n=n, accumulate_grad_batches=accumulate)
        assert callback.error == ""
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4, accumulate, n))

    def test_manual_optimization(self, lightning, tmp_path):
        lightning.fit(lightning.Callback(directory=tmp_path / "trainer"), lightning.Manual())
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))

    def test_options_of_the_recorder(self, lightning, tmp_path):
        series = [Schedule("spaced", (3, 6))]
        lightning.fit(lightning.Callback(directory=tmp_path, series=series, select="*.bias", seed=7))
        index = read_index(tmp_path / "spaced")
        assert (index.steps, index.d, index.seed, index.layout[0].name) == ((3, 6), 1, 7, "net.bias")
        with pytest.raises(ThermoError, match="'sed' is no argument of the callback"):
            lightning.Callback(sed=7)

    def test_a_scaler_that_skips_updates(self, lightning, tmp_path, caplog):
        """An infinite gradient in two updates: those are no steps, and the series is complete all the same."""
        from lightning.pytorch.plugins import MixedPrecision

        precision = MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu", init_scale=8.0))
        model = lightning.Model(spoil=lambda update, loss: loss * float("inf") if update in (5, 20) else loss)
        callback = lightning.Callback(directory=tmp_path)
        trainer = lightning.fit(callback, model, plugins=[precision])
        index, weights = recorded(tmp_path)
        assert (trainer.global_step, index.n_snapshots, index.complete) == (32, 30, True)
        assert np.isfinite(index.loss).all()
        assert (np.diff(weights, axis=0) != 0).any(axis=1).all()
        assert caplog.messages == []
        # The scale is not in the losses.
        np.testing.assert_allclose(index.loss[0], plain_loop(tmp_path / "plain", 4)[0].loss[0], rtol=1e-2)

    def test_a_batch_that_is_left_out_is_no_update(self, lightning, tmp_path):
        model = lightning.Model(spoil=lambda update, loss: None if update == 5 else loss)
        with pytest.warns(UserWarning, match="returned `None`"):
            lightning.fit(lightning.Callback(directory=tmp_path), model)
        index, weights = recorded(tmp_path)
        assert (index.n_snapshots, index.complete) == (31, True)
        assert (np.diff(weights, axis=0) != 0).any(axis=1).all()


class TestLearningRate:
    def test_a_constant_schedule_is_none(self, lightning, tmp_path):
        model = lightning.Model(lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0))
        lightning.fit(lightning.Callback(directory=tmp_path / "trainer"), model)
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))

    @pytest.mark.parametrize(("interval", "updates"), [("step", 6), ("epoch", 8)])
    def test_a_warmup_is_left_out(self, lightning, tmp_path, interval, updates):
        last = 6 if interval == "step" else 1

        def warm(optimizer):
            return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (last + 1)))

        callback = lightning.Callback(directory=tmp_path)
        lightning.fit(callback, lightning.Model(warm, interval=interval))
        index = read_index(tmp_path / "consecutive")
        assert (index.n_snapshots, index.complete, index.lr, callback.error) == (32 - updates, True, 0.1, "")

    def test_a_warmup_of_another_kind_is_given(self, lightning, tmp_path):
        model = lightning.Model(lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=5))
        callback = lightning.Callback(directory=tmp_path, warmup=5)
        lightning.fit(callback, model)
        assert (read_index(tmp_path / "consecutive").n_snapshots, callback.error) == (27, "")

    @pytest.mark.parametrize(
        "schedule",
        [
            lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 32),
            lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 64),
        ],
    )
    def test_one_that_moves_all_along_is_refused_at_once(self, lightning, tmp_path, schedule):
        with pytest.raises(ThermoError, match="changes the learning rate, and a temperature is that of a fixed one"):
            lightning.fit(lightning.Callback(directory=tmp_path), lightning.Model(schedule))
        assert not list(tmp_path.iterdir())

    def test_one_that_moves_later_ends_the_recording_alone(self, lightning, tmp_path, caplog):
        model = lightning.Model(lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 20))
        callback = lightning.Callback(directory=tmp_path)
        trainer = lightning.fit(callback, model)
        assert trainer.global_step == 32
        assert "update 21 has another one than the first that was recorded (0.01 and 0.1)" in callback.error
        assert "the training goes on, its recording ends at update 21" in caplog.text
        index = read_index(tmp_path / "consecutive")
        assert (index.n_snapshots, index.complete) == (20, False)

    def test_two_learning_rates(self, lightning, tmp_path):
        with pytest.raises(ThermoError, match="the learning rates 0.05, 0.1"):
            lightning.fit(lightning.Callback(directory=tmp_path), lightning.TwoRates())
        lightning.fit(lightning.Callback(directory=tmp_path, select="*.bias"), lightning.TwoRates())
        assert read_index(tmp_path / "spaced").lr == 0.05

    def test_two_optimizers(self, lightning, tmp_path):
        with pytest.raises(ThermoError, match="2 optimizers"):
            lightning.fit(lightning.Callback(directory=tmp_path), lightning.TwoOptimizers())


class TestEnd:
    def test_an_exception(self, lightning, tmp_path):
        def crash(update, loss):
            if update == 25:
                raise RuntimeError("crash")
            return loss

        with pytest.raises(RuntimeError, match="crash"):
            lightning.fit(lightning.Callback(directory=tmp_path), lightning.Model(spoil=crash))
        index = read_index(tmp_path / "consecutive")
        assert (index.n_snapshots, index.complete) == (24, False)

    def test_an_early_stop(self, lightning, tmp_path, caplog):
        from lightning.pytorch.callbacks import EarlyStopping

        stop = EarlyStopping("loss", patience=1, min_delta=100.0, check_on_train_epoch_end=True)
        trainer = lightning.fit(lightning.Callback(directory=tmp_path), callbacks=[stop], epochs=4)
        assert 0 < trainer.global_step < 32
        assert f"the training ended at step {trainer.global_step} of 32" in caplog.text
        assert not read_index(tmp_path / "spaced").complete

    def test_a_disk_that_fails_does_not_stop_the_training(self, lightning, tmp_path, caplog):
        def spoil(update, loss):
            if update == 10:
                (tmp_path / "consecutive" / "index.json").unlink()
                (tmp_path / "consecutive").rename(tmp_path / "gone")
            return loss

        callback = lightning.Callback(directory=tmp_path)
        trainer = lightning.fit(callback, lightning.Model(spoil=spoil))
        assert trainer.global_step == 32
        assert "snapshots cannot be written" in callback.error
        assert "the training goes on" in caplog.text

    def test_an_unknown_length(self, lightning, tmp_path):
        with pytest.raises(ThermoError, match="give total_steps="):
            lightning.fit(lightning.Callback(directory=tmp_path), max_epochs=-1, max_steps=-1)
        callback = lightning.Callback(directory=tmp_path, total_steps=16)
        trainer = lightning.fit(callback, max_epochs=-1, max_time="00:00:00:01")
        assert trainer.global_step > 16
        assert read_index(tmp_path / "consecutive").complete

    def test_a_trial_run_records_nothing(self, lightning, tmp_path):
        callback = lightning.Callback()
        lightning.fit(callback, fast_dev_run=True)
        assert callback.recorder is None


@pytest.mark.parametrize("name", ["lightning", "transformers"])
def test_without_the_library_one_line_names_the_extra(name):
    code = (
        "import sys\n"
        f"sys.modules[{name!r}] = None\n"
        "from mlflow_thermo import ThermoError\n"
        "try:\n"
        f"    import mlflow_thermo.integrations.{name}\n"
        "except ThermoError as error:\n"
        "    print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"pip install 'mlflow-thermo[{name}]'" in shown.stdout
    assert len(shown.stdout.splitlines()) == 1
