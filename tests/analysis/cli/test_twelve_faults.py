"""Twelve planted faults among sound runs of one experiment: the doctor names each run and what to do about it."""

import re
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient

from analysis.cli import cli
from mlflow_thermo import Schedule, SnapshotRecorder, schema
from mlflow_thermo.delivery import Sign
from tests.analysis.conftest import D, exact_temperature

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hospital")]
LRS = np.geomspace(0.01, 1.0, 9)
N = 400
TRAINING = {schema.TAG_KIND: schema.KIND_TRAIN}


class Laboratory:
    """Records runs of the exact system, SGD on an isotropic quadratic, as a training does: with the recorder."""

    def __init__(self, client, experiment, rng):
        self.client, self.experiment, self.rng = client, experiment, rng

    def open(self, name, **tags):
        return self.client.create_run(self.experiment, run_name=name, tags={**TRAINING, **tags}).info.run_id

    def samples(self, lr, n=N, chains=1):
        """Independent stationary weights (chain, n, d)."""
        return self.rng.normal(size=(chains, n, D)) * np.sqrt(exact_temperature(lr))

    def record(self, run_id, lr, weights, loss=None, total=None):
        """Weights (chain, n, d) as they are at each update; the run ends FINISHED."""
        losses = (weights**2).sum(axis=-1) / 2 if loss is None else loss
        chains = [torch.nn.Parameter(torch.zeros(D)) for _ in weights]
        steps = Schedule(schema.SPACED, tuple(range(1, (total or weights.shape[1]) + 1)))
        recorder = SnapshotRecorder([[("w", one)] for one in chains], series=[steps], lr=lr, run_id=run_id)
        for t in range(weights.shape[1]):
            for chain, value in zip(chains, weights[:, t], strict=True):
                chain.data = torch.as_tensor(value, dtype=torch.float32)
            recorder.step(torch.as_tensor(losses[:, t]))
        recorder.close()
        self.client.log_param(run_id, "seed", 0)
        self.client.set_terminated(run_id)

    def folder(self, run_id):
        return self.client.get_run(run_id).info.artifact_uri.removeprefix("file://") + "/thermo/spaced"


def too_short(lab, run_id, lr):
    """As many snapshots as others, whose memory is a tenth of them long."""
    weights, kicks = lab.samples(lr), lab.samples(lr)
    for t in range(1, N):
        weights[:, t] = 0.95 * weights[:, t - 1] + np.sqrt(1 - 0.95**2) * kicks[:, t]
    lab.record(run_id, lr, weights)


def not_stationary(lab, run_id, lr):
    weights = lab.samples(lr)
    lab.record(run_id, lr, weights + np.linspace(0, 4, N)[:, None] * weights.std())


def two_basins(lab, run_id, lr):
    weights = lab.samples(lr, N, 2)
    weights[1] += 6 * weights.std()
    lab.record(run_id, lr, weights, (lab.samples(lr, N, 2) ** 2).sum(axis=-1) / 2)


def too_few(lab, run_id, lr):
    lab.record(run_id, lr, lab.samples(lr, 7))


def diverged(lab, run_id, lr):
    weights = lab.samples(lr)
    loss = (weights**2).sum(axis=-1) / 2
    loss[:, -5:] = np.nan
    lab.record(run_id, lr, weights, loss)


def orphaned(lab, run_id, lr):
    sign = Sign.of_this_process(beats=False)
    lab.client.set_tag(run_id, schema.TAG_ALIVE, str(Sign(sign.host, 2**22 + 1, 1, 0)))


def missing_artifact(lab, run_id, lr):
    lab.record(run_id, lr, lab.samples(lr))
    shutil.rmtree(lab.folder(run_id).removesuffix("/spaced"))


def damaged_artifact(lab, run_id, lr):
    from pathlib import Path

    lab.record(run_id, lr, lab.samples(lr))
    chunk = next(Path(lab.folder(run_id)).glob("*.safetensors"))
    chunk.write_bytes(chunk.read_bytes()[:-7])


def frozen_weights(lab, run_id, lr):
    weights = lab.samples(lr)
    weights[..., 1] = weights[:, :1, 1]
    lab.record(run_id, lr, weights)


def moved_lr(lab, run_id, lr):
    for step, value in ((0, lr), (N, lr / 10)):
        lab.client.log_metric(run_id, "learning_rate", value, step=step)
    lab.record(run_id, lr, lab.samples(lr))


def uniform(lab, run_id, lr):
    lab.client.log_metric(run_id, schema.METRIC_UNIFORM_LOSS, 5.0)
    lab.client.log_metric(run_id, schema.METRIC_UNIFORM_LOSS_STD, 0.1)
    lab.record(run_id, lr, lab.samples(lr), 5 + 0.1 * lab.rng.normal(size=(1, N)))


def killed(lab, run_id, lr):
    lab.record(run_id, lr, lab.samples(lr)[:, : N // 3], total=N)
    lab.client.set_terminated(run_id, "KILLED")


#: What the doctor has to say of the run of each fault, as a regular expression.
FAULTS = {
    too_short: r"autocorrelated: .*correlation time .*space the snapshots.*\(about 1,\d\d\d steps more\)",
    not_stationary: r"not-stationary: .*train longer.*\(about [\d,]+ steps more\)",
    two_basins: r"not-stationary: .*chains",
    too_few: r"too-few-samples: .*has 7 snapshots, at least \d+ are needed: record more",
    diverged: r"diverged: .*not finite: lower its lr=",
    orphaned: r"its program on this machine has ended",
    missing_artifact: r"out-of-reach: .*its snapshots were removed from .*: bring them back from a copy, or train it "
    "again",
    damaged_artifact: r"corrupt: .*chunk weights-\S+ is half-written",
    frozen_weights: r"inconsistent-record: .*(never|not) (change|move)",
    moved_lr: r"not-stationary: .*its metric 'learning_rate' ends at .*: .*train without a scheduler",
    uniform: r"uniform: .*T is infinite: lower the learning rate",
    killed: r"incomplete: .*wait for it to finish or train it again",
}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory, empty_database):
    """One store with nine sound runs, one of each fault, and one of another tool; what the doctor says, and the ids."""
    root = tmp_path_factory.mktemp("hospital")
    shutil.copyfile(empty_database, root / "mlflow.db")
    uri = f"sqlite:///{root / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("MLFLOW_THERMO_CACHE", str(root / "cache"))
        client = MlflowClient(uri)
        experiment = client.create_experiment("study", artifact_location=str(root / "artifacts"))
        lab = Laboratory(client, experiment, np.random.default_rng(3))
        sound = []
        for lr in LRS:
            sound.append(lab.open("sound"))
            lab.record(sound[-1], lr, lab.samples(lr))
        planted = {}
        for i, fault in enumerate(FAULTS):
            planted[fault] = lab.open(fault.__name__)
            fault(lab, planted[fault], 0.02 * 1.35**i)
        other = client.create_run(experiment, run_name="forest").info.run_id
        before = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
        done = CliRunner().invoke(cli, ["doctor", "study", "--tracking-uri", uri])
        yield lab, uri, done, planted, sound, other, before


def lines_of(done, run_id):
    return [line for line in done.output.splitlines() if line.startswith(f"run {run_id} ")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_named(hospital, fault):
    _, _, done, planted, *_ = hospital
    (line,) = lines_of(done, planted[fault])
    assert re.search(FAULTS[fault], line), line


def test_sound_runs_have_no_fault_of_their_own(hospital):
    """What lies between faulty neighbours has a temperature with a wide interval, and that is all."""
    _, _, done, _, sound, other, _ = hospital
    said = [line for run_id in sound for line in lines_of(done, run_id)]
    assert all(re.search(r": (imprecise|unidentified): ", line) for line in said), done.output
    assert lines_of(done, other) == [f"run {other} (forest): of another tool, left out"]
    # A ThermoError, which the command makes exit status 1.
    assert "1 of the runs that say RUNNING will say so for ever: --fix closes them" in str(done.exception)


def test_fix_closes_the_orphan_and_nothing_else(hospital):
    lab, uri, _, planted, _, _, before = hospital
    done = CliRunner().invoke(cli, ["doctor", "study", "--tracking-uri", uri, "--fix"])
    assert "closed as KILLED" in lines_of(done, planted[orphaned])[0]
    assert "have numbers that are tentative or missing" in str(done.exception)
    after = {run.info.run_id: run.info.status for run in lab.client.search_runs([lab.experiment])}
    assert after == {**before, planted[orphaned]: "KILLED"}
