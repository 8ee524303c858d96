"""The whole analysis on a study whose temperatures are known, and on studies with holes in them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from analysis.results import CORRUPT, DIVERGED, NO_SNAPSHOTS, OK, TOO_FEW
from analysis.source import from_folder
from analysis.trajectory import RunError, Trajectory
from analysis.workflow import StudyConfig, analyze
from mlflow_thermo.schema import ThermoError
from mlflow_thermo.store import read_index

from .conftest import D, exact_temperature


@pytest.mark.parametrize("entropy", ["auto", "gaussian-ml", "kl"])
def test_finds_the_exact_temperatures(study, entropy):
    study.write_all()
    result = analyze(from_folder(study.root), StudyConfig(entropy=entropy))
    exact = np.array([exact_temperature(r.lr) for r in result.runs])
    found = np.array([r.temperature for r in result.runs])
    inside = [r.temperature_lower <= t <= r.temperature_upper for r, t in zip(result.runs, exact, strict=True)]
    assert np.mean(inside) >= 7 / 9
    np.testing.assert_allclose(found[1:-1], exact[1:-1], rtol=0.25)
    assert [r.regime for r in result.runs] == ["stationary"] * 9
    assert all(r.n_eff > 300 for r in result.runs)
    # T = lr·σ²/(2 − lr): the exponent over this range lies a little above 1.
    law = result.power_law
    assert law["exponent"] == pytest.approx(1.1, abs=0.15)
    assert law["n"] == 9
    assert result.estimator["dim"] == D


def test_loss_and_free_energy(study):
    study.write_all()
    result = analyze(from_folder(study.root), StudyConfig())
    for run in result.runs:
        # Equipartition: U = d·T/2.
        assert abs(run.loss - D * exact_temperature(run.lr) / 2) < 5 * run.loss_stderr
        assert run.free_energy == pytest.approx(run.loss - run.temperature * run.entropy)
        assert run.paper_temperature is None  # there are no consecutive iterates


def test_the_paper_s_temperature_stands_beside(study):
    for i, lr in enumerate(study.lrs):
        folder = study.write_run(f"run{i}", lr)
        study.write_series(folder, lr, *study.samples(lr), series="consecutive")
    result = analyze(from_folder(study.root), StudyConfig())
    paper = [r.paper_temperature for r in result.runs]
    assert paper[0] is None
    # Independent samples instead of iterates: the interval's estimate of the same T, coarser.
    assert all(r.paper_ratio == pytest.approx(r.paper_temperature / r.temperature) for r in result.runs[2:-2])
    np.testing.assert_allclose(paper[2:-2], [exact_temperature(r.lr) for r in result.runs[2:-2]], rtol=0.6)


def test_seeds(study):
    lrs = np.repeat(study.lrs[::2], 3)
    for i, lr in enumerate(lrs):
        study.write_run(f"run{i:02d}", lr, seed=i % 3)
    result = analyze(from_folder(study.root), StudyConfig())
    assert [r.seed for r in result.runs] == [0, 1, 2] * 5
    assert result.power_law["n"] == 15


def test_holes_are_named_and_the_rest_is_analysed(study):
    folders = study.write_all()
    chunk = folders[2] / "spaced" / read_index(folders[2] / "spaced").chunks[0].file
    chunk.write_bytes(chunk.read_bytes()[:-1])
    weights, loss = study.samples(0.1)
    weights[5] = np.nan
    study.write_series(study.root / "nan", 0.1, weights, loss)
    few = study.samples(0.2, 8)
    study.write_series(study.root / "short", 0.2, *few)
    result = analyze(from_folder(study.root), StudyConfig())
    by_id = {r.run_id: r for r in result.runs}
    assert by_id["run2"].status == CORRUPT
    assert "half-written" in by_id["run2"].note
    assert by_id["nan"].status == DIVERGED
    assert "run nan holds weights or losses that are not finite: lower its lr=0.1" in by_id["nan"].note
    assert by_id["short"].status == TOO_FEW
    assert sum(r.temperature is not None for r in result.runs) == 8
    assert len(result.notes) == 3
    assert by_id["run4"].status == OK


@dataclass
class Broken:
    """A run that cannot be read."""

    run_id: str = "gone"
    lr: float = 0.1
    seed: int = 0
    uniform_loss: float | None = None
    uniform_loss_std: float | None = None

    def load(self, series: str) -> Trajectory:
        raise RunError(f"run {self.run_id} holds no series", NO_SNAPSHOTS)


def test_fewer_than_three_learning_rates(study):
    for i, lr in enumerate((0.1, 0.1, 0.2)):
        study.write_run(f"run{i}", lr)
    with pytest.raises(ThermoError, match="at least 3 learning rates, 2 have usable snapshots"):
        analyze(from_folder(study.root), StudyConfig())
    with pytest.raises(ThermoError, match="0 have usable snapshots.*first problem: run gone holds no series"):
        analyze([Broken()], StudyConfig())
    with pytest.raises(ThermoError, match="at least 3 learning rates"):
        analyze([], StudyConfig())


def test_a_run_without_a_learning_rate_is_named(study):
    study.write_all()
    records = from_folder(study.root)
    records[0] = replace(records[0], lr=float("nan"))
    result = analyze(records, StudyConfig())
    assert result.runs[0].note == "run run0 has no learning rate: log the metric thermo/lr"


def test_unknown_estimator(study):
    study.write_all()
    with pytest.raises(ThermoError, match="entropy: unknown entropy estimator 'magic': choose one of"):
        analyze(from_folder(study.root), StudyConfig(entropy="magic"))


class TestRegimes:
    def write(self, study, name, lr, loss):
        weights, _ = study.samples(lr, len(loss))
        study.write_series(
            study.root / name, lr, weights, loss, attributes={"uniform_loss": 5.0, "uniform_loss_std": 0.1}
        )

    def test_only_stationary_runs_are_fitted(self, study):
        steps = np.arange(1000, 7000, 10)
        fitted = (0.02, 0.05, 0.1, 0.2, 0.4)
        for i, lr in enumerate((1e-4, 1e-3)):
            self.write(study, f"a{i}", lr, 1e-3 * (steps / 1000) ** -1.0 * study.rng.uniform(0.9, 1.1, 600))
        for i, lr in enumerate(fitted):
            study.write_run(f"b{i}", lr)
        self.write(study, "c", 0.9, 5 + 0.05 * study.rng.normal(size=600))
        result = analyze(from_folder(study.root), StudyConfig())
        assert [r.status for r in result.runs if r.regime == "converging"] == ["converging"] * 2
        assert [r.status for r in result.runs if r.regime == "uniform"] == ["uniform"]
        assert [r.lr for r in result.runs if r.temperature is not None] == list(fitted)
        assert result.power_law["lr_min"] == pytest.approx(0.02)

    def test_too_few_stationary_runs_say_so(self, study):
        steps = np.arange(1000, 7000, 10)
        for i, lr in enumerate((1e-4, 1e-3, 1e-2)):
            self.write(study, f"a{i}", lr, 1e-3 * (steps / 1000) ** -1.0 * study.rng.uniform(0.9, 1.1, 600))
        result = analyze(from_folder(study.root), StudyConfig())
        assert result.power_law is None
        assert result.notes == ("0 stationary runs: no temperature, which needs 3 stationary learning rates",)
        assert all(r.entropy is not None for r in result.runs)


def test_sphere_runs_use_the_tangent_space(study):
    """Von Mises–Fisher on S² with concentration κ: U = 1 − ⟨cos θ⟩ has T = 1/κ."""
    for i, kappa in enumerate(np.geomspace(4, 60, 6)):
        u = study.rng.uniform(size=1000)
        cos = 1 + np.log(u + (1 - u) * np.exp(-2 * kappa)) / kappa
        angle = study.rng.uniform(0, 2 * np.pi, 1000)
        sin = np.sqrt(1 - cos**2)
        weights = np.stack([sin * np.cos(angle), sin * np.sin(angle), cos], axis=1).astype(np.float32)
        study.write_series(study.root / f"run{i}", 1 / kappa, weights, 1 - cos, protocol="sphere")
    result = analyze(from_folder(study.root), StudyConfig())
    assert result.estimator["dim"] == 2
    inside = [r.temperature_lower <= r.lr <= r.temperature_upper for r in result.runs]
    assert sum(inside) >= 5
    for run in sorted(result.runs, key=lambda r: r.lr)[1:-1]:
        assert run.temperature == pytest.approx(run.lr, rel=0.25)
