"""Lightning's checkpoints, copies and runs, and what becomes of the recording in them."""

import copy
import logging
import pickle
import subprocess
import sys

import pytest
import torch

from mlflow_thermo import ThermoError, schema
from mlflow_thermo.store import read_index
from tests.mlflow_thermo.integrations.problem import LIGHTNING, WITH_TESTS, network, plain_loop, recorded, same

pytestmark = LIGHTNING


class TestCheckpoints:
    def interrupted(self, lightning, folder, at=21, **options):
        """A training that is cut off after its checkpoint of update 16."""
        from lightning.pytorch.callbacks import ModelCheckpoint

        def crash(update, loss):
            if update == at:
                raise RuntimeError("crash")
            return loss

        saver = ModelCheckpoint(folder / "checkpoints", every_n_train_steps=8, save_top_k=-1)
        with pytest.raises(RuntimeError, match="crash"):
            callback, model = lightning.Callback(**options), lightning.Model(spoil=crash)
            lightning.fit(callback, model, callbacks=[saver], enable_checkpointing=True)
        return next(folder.glob("checkpoints/*step=16.ckpt"))

    def test_a_resumed_training_goes_on_recording(self, lightning, tmp_path):
        path = self.interrupted(lightning, tmp_path, directory=tmp_path / "trainer")
        callback = lightning.Callback(directory=tmp_path / "trainer")
        lightning.fit(callback, ckpt_path=path)
        assert callback.error == ""
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))
        assert same(recorded(tmp_path / "trainer", "spaced"), recorded(tmp_path / "plain", "spaced"))

    @pytest.mark.parametrize("same_run", [True, False])
    def test_a_run_that_is_resumed_has_it_all(self, lightning, store, tmp_path, same_run):
        """The first one, also where the resumed training has a run of its own."""
        import mlflow

        with mlflow.start_run() as first:
            path = self.interrupted(lightning, tmp_path, directory=tmp_path / "trainer")
        callback = lightning.Callback(directory=tmp_path / "trainer")
        with mlflow.start_run(run_id=first.info.run_id if same_run else None):
            lightning.fit(callback, ckpt_path=path)
        assert callback.error == ""
        assert store.get_run(first.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE
        folder = tmp_path / "downloaded"
        folder.mkdir()
        store.download_artifacts(first.info.run_id, schema.ARTIFACT_ROOT, str(folder))
        assert same(recorded(folder / schema.ARTIFACT_ROOT), plain_loop(tmp_path / "plain", 4))

    def test_without_a_directory_the_rest_is_recorded(self, lightning, store, tmp_path, caplog):
        import mlflow

        with mlflow.start_run():
            path = self.interrupted(lightning, tmp_path)
        callback = lightning.Callback()
        with mlflow.start_run() as run:
            trainer = lightning.fit(callback, ckpt_path=path)
        assert (trainer.global_step, callback.recorder.steps_taken, callback.error) == (32, 16, "")
        assert "only a recording with directory= can be resumed" in caplog.text
        assert store.get_run(run.info.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE

    def test_a_recording_that_cannot_be_resumed_does_not_stop_the_training(self, lightning, tmp_path):
        path = self.interrupted(lightning, tmp_path, directory=tmp_path / "trainer")
        callback = lightning.Callback(directory=tmp_path / "elsewhere")
        trainer = lightning.fit(callback, ckpt_path=path)
        assert trainer.global_step == 32
        assert "does not hold the 16 snapshots" in callback.error

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
    def test_a_copy_has_the_settings(self, lightning, tmp_path, copied):
        copies = []

        def keep(update, loss):
            if update == 3:
                copies.append(copied(callback))
            return loss

        callback = lightning.Callback(directory=tmp_path / "one", total_steps=32)
        lightning.fit(callback, lightning.Model(spoil=keep))
        assert copies[0].recorder is None
        assert read_index(tmp_path / "one" / "spaced").complete
        with pytest.raises(ThermoError, match="already holds a series"):
            lightning.fit(copies[0])

    def test_a_trainer_that_is_copied_in_the_middle(self, lightning, tmp_path):
        """Its copy has the callback's settings; the training and its recording do not notice."""
        copies = []

        def keep(update, loss):
            if update == 20:
                copies.append(copy.deepcopy(trainer_of[0].trainer))
            return loss

        model = lightning.Model(spoil=keep)
        trainer_of = [model]
        callback = lightning.Callback(directory=tmp_path / "trainer")
        lightning.fit(callback, model)
        assert copies[0].callbacks[0].recorder is None
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))


class TestRuns:
    def test_the_run_of_the_trainers_own_logger(self, lightning, tmp_path, empty_database, monkeypatch):
        """On a tracking server that is not the one of the program."""
        import shutil

        import mlflow
        from lightning.pytorch.loggers import MLFlowLogger
        from mlflow import MlflowClient

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'programs.db'}")
        shutil.copyfile(empty_database, tmp_path / "own.db")
        uri = f"sqlite:///{tmp_path / 'own.db'}"
        logger = MLFlowLogger("study", tracking_uri=uri, artifact_location=str(tmp_path / "artifacts"))
        logger.run_id  # noqa: B018 (it starts the run, and leads MLflow there)
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'programs.db'}")
        try:
            callback = lightning.Callback()
            lightning.fit(callback, logger=logger, log_every_n_steps=1)
            assert mlflow.get_tracking_uri().endswith("programs.db")
        finally:
            mlflow.set_tracking_uri(None)
        run = MlflowClient(uri).get_run(logger.run_id)
        assert callback.error == ""
        assert (run.info.status, run.data.tags[schema.TAG_SNAPSHOTS]) == ("FINISHED", schema.SNAPSHOTS_COMPLETE)
        assert run.data.metrics[schema.METRIC_LR] == 0.1

    def test_the_package_under_its_other_name(self, lightning, store, tmp_path):
        """`pytorch_lightning` comes along with `lightning`, and has classes of its own."""
        import pytorch_lightning as pl
        from pytorch_lightning.loggers import MLFlowLogger

        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

        class Model(pl.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = network()

            def training_step(self, batch, number):
                return torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=0.1)

        logger = MLFlowLogger("study", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
        callback = lightning.Callback(directory=tmp_path / "trainer")
        trainer = pl.Trainer(
            max_epochs=4, accelerator="cpu", callbacks=[callback], logger=logger, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Model(), lightning.loader())
        assert same(recorded(tmp_path / "trainer"), plain_loop(tmp_path / "plain", 4))
        assert store.get_run(logger.run_id).data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_COMPLETE

    def test_no_run_and_no_directory(self, lightning, store):
        with pytest.raises(ThermoError, match=r"mlflow\.start_run\(\), or give a directory"):
            lightning.fit(lightning.Callback())

    def test_other_processes_record_nothing(self, lightning, tmp_path):
        script = tmp_path / "program.py"
        script.write_text(
            "from mlflow_thermo.integrations.lightning import ThermoCallback\n"
            "from tests.mlflow_thermo.integrations.lightning_models import fit\n"
            f"callback = ThermoCallback(directory={str(tmp_path / 'recorded')!r})\n"
            "trainer = fit(callback, devices=2, strategy='ddp')\n"
            f"said = open({str(tmp_path)!r} + f'/said-{{trainer.global_rank}}', 'w')\n"
            "print(callback.recorder is None, file=said, flush=True)\n"
        )
        shown = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=WITH_TESTS)
        assert shown.returncode == 0, shown.stderr
        assert [(tmp_path / f"said-{number}").read_text() for number in (0, 1)] == ["False\n", "True\n"]
        index = read_index(tmp_path / "recorded" / "consecutive")
        assert (index.n_snapshots, index.complete) == (16, True)
