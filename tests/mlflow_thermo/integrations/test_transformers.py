"""The Trainer of Transformers trains, and the recording is that of a plain loop."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from mlflow_thermo import ThermoError, schema
from mlflow_thermo.store import read_index
from tests.mlflow_thermo.integrations.problem import WITH_TESTS, plain_loop, recorded, same

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("transformers"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*no accelerator"),
    pytest.mark.filterwarnings("ignore:.*warmup_ratio is deprecated"),
]


@pytest.fixture(scope="module")
def transformers():
    """Callback and models."""
    from mlflow_thermo.integrations import transformers as callbacks
    from tests.mlflow_thermo.integrations import transformers_models

    transformers_models.Callback = callbacks.ThermoCallback
    return transformers_models


class TestUpdates:
    @pytest.mark.parametrize(("accumulate", "n"), [(1, 64), (2, 64), (4, 64)])
    def test_the_same_as_a_plain_loop(self, transformers, tmp_path, accumulate, n):
        callback = transformers.Callback(directory=tmp_path / "trainer")
        transformers.train(callback, tmp_path, n=n, gradient_accumulation_steps=accumulate)
        assert callback.error == ""
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4, accumulate, n))

    def test_the_seed_and_options_of_the_recorder(self, transformers, tmp_path):
        transformers.train(transformers.Callback(directory=tmp_path / "a", select="*.bias"), tmp_path, seed=7)
        index = read_index(tmp_path / "a" / "spaced")
        assert (index.d, index.seed, index.layout[0].name, index.lr) == (1, 7, "net.bias", 0.1)

    @pytest.mark.parametrize("accumulate", [1, 2])
    def test_losses_over_tokens(self, transformers, tmp_path, accumulate):
        """A language model: the loss of an update is the mean over the tokens of all its micro-batches."""
        callback = transformers.Callback(directory=tmp_path / "trainer")
        rows, model = transformers.Texts(16), transformers.language_model()
        transformers.train(callback, tmp_path, model, epochs=2, rows=rows, gradient_accumulation_steps=accumulate)
        first = transformers.language_model()
        taken = [rows[k] for k in range(8 * accumulate)]
        batch = {name: torch.stack([one[name] for one in taken]) for name in ("input_ids", "labels")}
        index = read_index(tmp_path / "trainer" / "consecutive")
        assert index.n_snapshots == 4 // accumulate
        np.testing.assert_allclose(index.loss[0], first(**batch).loss.item(), rtol=1e-5)
        # Input and output embedding are one tensor.
        assert index.d == sum(parameter.numel() for parameter in first.parameters())

    def test_a_scaler_that_skips_updates(self, transformers, tmp_path, caplog):
        from accelerate.utils import GradScalerKwargs  # noqa: F401 (accelerate is there)

        model = transformers.Model(spoil=lambda call, loss: loss * float("inf") if call in (5, 20) else loss)

        class Scaled(transformers.Ordered):
            def create_accelerator_and_postprocess(self):
                super().create_accelerator_and_postprocess()
                self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

        callback = transformers.Callback(directory=tmp_path / "trainer")
        trainer = transformers.train(callback, tmp_path, model, kind=Scaled)
        index, weights = recorded(tmp_path / "trainer")
        assert (trainer.state.global_step, index.n_snapshots, index.complete) == (32, 30, True)
        assert np.isfinite(index.loss).all()
        assert (np.diff(weights, axis=0) != 0).any(axis=1).all()
        assert "step" not in caplog.text

    def test_a_trainer_that_computes_its_own_loss(self, transformers, tmp_path):
        transformers.train(transformers.Callback(directory=tmp_path / "trainer"), tmp_path, kind=transformers.OwnLoss)
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))

    def test_one_that_tells_nobody(self, transformers, tmp_path, caplog, monkeypatch):
        monkeypatch.setattr(transformers.OwnLoss, "tell", False)
        transformers.train(transformers.Callback(directory=tmp_path / "trainer"), tmp_path, kind=transformers.OwnLoss)
        assert caplog.text.count("no loss was seen with update 1: without losses there is no temperature") == 1
        assert set(read_index(tmp_path / "trainer" / "spaced").loss) == {None}

    def test_evaluations_are_no_micro_batches(self, transformers, tmp_path):
        class Evaluating(transformers.Ordered):
            def evaluate(self, *_, **__):
                with torch.no_grad():
                    self.model(**{name: value[None] for name, value in self.train_dataset[0].items()})
                return {}

        options = {"eval_strategy": "steps", "eval_steps": 1}

        def kind(*arguments, **more):
            return Evaluating(*arguments, eval_dataset=transformers.Rows(8), **more)

        transformers.train(transformers.Callback(directory=tmp_path / "trainer"), tmp_path, kind=kind, **options)
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))

    def test_a_compiled_model(self, transformers, tmp_path):
        callback = transformers.Callback(directory=tmp_path / "trainer")
        transformers.train(callback, tmp_path, torch_compile=True, torch_compile_backend="eager")
        assert callback.error == ""
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))


class TestLearningRate:
    @pytest.mark.parametrize("kind", ["linear", "cosine"])
    def test_one_that_falls_is_refused_at_once(self, transformers, tmp_path, kind):
        with pytest.raises(ThermoError, match="a scheduler changes the learning rate.*train without a scheduler"):
            transformers.train(transformers.Callback(directory=tmp_path / "a"), tmp_path, lr_scheduler_type=kind)
        assert not (tmp_path / "a").exists()

    def test_a_warmup_is_left_out(self, transformers, tmp_path):
        callback = transformers.Callback(directory=tmp_path / "a")
        options = {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 6}
        transformers.train(callback, tmp_path, **options)
        index = read_index(tmp_path / "a" / "consecutive")
        assert (index.n_snapshots, index.complete, index.lr, callback.error) == (26, True, 0.1, "")

    def test_one_that_moves_later_ends_the_recording_alone(self, transformers, tmp_path, caplog):
        callback = transformers.Callback(directory=tmp_path / "a")
        trainer = transformers.train(
            callback, tmp_path, schedule=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 20)
        )
        assert trainer.state.global_step == 32
        assert "update 21 has another one than the first" in callback.error
        assert "the training goes on, its recording ends at update 21" in caplog.text
        index = read_index(tmp_path / "a" / "consecutive")
        assert (index.n_snapshots, index.complete) == (20, False)


def unchanged(call, loss):
    return loss


def crash(call, loss):
    if call == 21:
        raise RuntimeError("crash")
    return loss


class TestEnd:
    def test_an_exception(self, transformers, tmp_path):
        with pytest.raises(RuntimeError, match="crash"), transformers.Callback(directory=tmp_path / "a") as callback:
            transformers.train(callback, tmp_path, transformers.Model(crash))
        index = read_index(tmp_path / "a" / "consecutive")
        assert (index.n_snapshots, index.complete) == (20, False)

    def test_an_exception_that_nobody_told_the_callback_about(self, transformers, tmp_path):
        """The next training with it closes what was left open, and so does the end of the program."""
        callback = transformers.Callback(directory=tmp_path / "a")
        with pytest.raises(RuntimeError, match="crash"):
            transformers.train(callback, tmp_path, transformers.Model(crash))
        with pytest.raises(ThermoError, match="already holds a series"):
            transformers.train(callback, tmp_path)
        assert read_index(tmp_path / "a" / "consecutive").n_snapshots == 20

    def test_an_early_stop(self, transformers, tmp_path, caplog):
        from transformers import TrainerCallback

        class Stop(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                control.should_training_stop = state.global_step == 20

        def kind(*arguments, callbacks, **more):
            return transformers.Ordered(*arguments, callbacks=[*callbacks, Stop()], **more)

        transformers.train(transformers.Callback(directory=tmp_path / "a"), tmp_path, kind=kind)
        assert "the training ended at step 20 of 32" in caplog.text
        assert not read_index(tmp_path / "a" / "spaced").complete

    def test_a_disk_that_fails_does_not_stop_the_training(self, transformers, tmp_path, caplog):
        def spoil(call, loss):
            if call == 10:
                (tmp_path / "a" / "consecutive").rename(tmp_path / "gone")
            return loss

        callback = transformers.Callback(directory=tmp_path / "a")
        trainer = transformers.train(callback, tmp_path, transformers.Model(spoil))
        assert trainer.state.global_step == 32
        assert "snapshots cannot be written" in callback.error


class TestCheckpoints:
    def interrupted(self, transformers, folder, **options):
        saving = {"save_strategy": "steps", "save_steps": 8}
        with pytest.raises(RuntimeError, match="crash"):
            transformers.train(transformers.Callback(**options), folder, transformers.Model(crash), **saving)
        return folder / "checkpoint-16"

    def test_a_resumed_training_goes_on_recording(self, transformers, tmp_path):
        self.interrupted(transformers, tmp_path, directory=tmp_path / "a")
        callback = transformers.Callback(directory=tmp_path / "a")
        transformers.train(callback, tmp_path, resume=True)
        assert callback.error == ""
        for series in ("consecutive", "spaced", "bursts"):
            plain = tmp_path / "plain"
            if not plain.exists():
                plain_loop(plain, 4)
            assert same(recorded(tmp_path / "a", series), recorded(plain, series))

    def test_without_a_directory_the_rest_is_recorded(self, transformers, store, tmp_path, caplog):
        import mlflow

        with mlflow.start_run():
            path = self.interrupted(transformers, tmp_path)
        callback = transformers.Callback()
        with mlflow.start_run() as run:
            transformers.train(callback, tmp_path, resume=str(path))
        assert (callback.recorder.steps_taken, callback.error) == (16, "")
        assert "only a recording with directory= can be resumed" in caplog.text
        assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
    def test_a_copy_has_the_settings(self, transformers, tmp_path, copied):
        callback, copies = transformers.Callback(directory=tmp_path / "a"), []

        def keep(call, loss):
            if call == 3:
                copies.append(copied(callback))
            return loss

        transformers.train(callback, tmp_path, transformers.Model(keep))
        assert copies[0].recorder is None
        assert read_index(tmp_path / "a" / "spaced").complete

    def test_a_model_that_is_copied_in_the_middle(self, transformers, tmp_path):
        """The callback looks at the model's output, which a copy of the model takes along."""
        from transformers import TrainerCallback

        copies = []

        class Copy(TrainerCallback):
            def on_step_end(self, args, state, control, model, **kwargs):
                if state.global_step == 20:
                    copies.extend([copy.deepcopy(model), pickle.loads(pickle.dumps(model))])
                for one in copies:
                    one(x=torch.ones(1, 3), labels=torch.ones(1, 1))

        def kind(*arguments, callbacks, **more):
            return transformers.Ordered(*arguments, callbacks=[*callbacks, Copy()], **more)

        callback = transformers.Callback(directory=tmp_path / "trainer")
        transformers.train(callback, tmp_path, transformers.Model(unchanged), kind=kind)
        assert len(copies) == 2
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))


class TestRuns:
    def test_the_run_of_the_trainers_own_callback(self, transformers, store, tmp_path, monkeypatch):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
        callback = transformers.Callback()
        transformers.train(callback, tmp_path, report_to="mlflow", logging_strategy="steps", logging_steps=8)
        (run,) = store.search_runs([store.get_experiment_by_name("study").experiment_id])
        assert callback.recorder.run_id == run.info.run_id
        assert (run.info.status, run.data.tags[schema.TAG_SNAPSHOTS]) == ("FINISHED", schema.SNAPSHOTS_COMPLETE)
        assert "loss" in run.data.metrics

    def test_other_processes_record_nothing(self, tmp_path):
        """The loss is that of the first process's share, in units of the whole batch."""
        script = tmp_path / "program.py"
        script.write_text(
            "from mlflow_thermo.integrations.transformers import ThermoCallback\n"
            "from tests.mlflow_thermo.integrations.transformers_models import Texts, Trainer, language_model, train\n"
            f"callback = ThermoCallback(directory={str(tmp_path / 'recorded')!r})\n"
            f"rows, model, folder = Texts(32), language_model(), {str(tmp_path)!r}\n"
            "trainer = train(callback, folder, model, epochs=2, rows=rows, kind=Trainer)\n"
            f"said = open({str(tmp_path)!r} + f'/said-{{trainer.args.process_index}}', 'w')\n"
            "print(callback.recorder is None, callback.error, file=said, flush=True)\n"
            # Otherwise the end of one process is at times the end of the other, by a signal.
            "import torch.distributed as dist\n"
            "dist.barrier(); dist.destroy_process_group()\n"
        )
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(script)]
        shown = subprocess.run(command, capture_output=True, text=True, env=WITH_TESTS)
        assert shown.returncode == 0, shown.stderr
        assert [(tmp_path / f"said-{number}").read_text() for number in (0, 1)] == ["False \n", "True \n"]
        index = read_index(tmp_path / "recorded" / "consecutive")
        assert (index.n_snapshots, index.complete) == (4, True)
        # Of eight tokens that are as good as equally likely.
        np.testing.assert_allclose(index.loss[0], np.log(8), rtol=0.1)

    def test_no_run_and_no_directory(self, transformers, store, tmp_path):
        with pytest.raises(ThermoError, match=r"mlflow\.start_run\(\), or give a directory"):
            transformers.train(transformers.Callback(), tmp_path)
