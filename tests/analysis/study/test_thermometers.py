"""Temperatures without entropy as a study gives them, and their disagreement in a Gibbs study."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from analysis import StudyConfig, Trajectory, analyze, analyze_run
from analysis.report import summary, text_table
from analysis.report.checks import check_lines
from analysis.results import NO_SNAPSHOTS
from analysis.trajectory import RunError
from mlflow_thermo.schema import GRADIENTS, MINIBATCH_SQUARES, SPACED

K = np.geomspace(1.0, 30.0, 6)


@dataclass(frozen=True)
class Gibbs:
    """A quadratic at temperature `lr`, recorded `copies` times: a copy is a weight under another name."""

    lr: float
    copies: int = 1
    noisy: bool = False
    seed: int = 0
    uniform_loss = uniform_loss_std = None

    @property
    def run_id(self):
        return f"T={self.lr:.3g}"

    @property
    def set_temperature(self):
        return self.lr

    def load(self, series):
        rng = np.random.default_rng(int(1e6 * self.lr))
        x = rng.normal(size=(8, 100, len(K))) * np.sqrt(self.lr / K)
        g = K * x
        loss = 1 + (x * g).sum(axis=-1) / 2
        if self.noisy:
            # Copies that differ by a little are no twins, and D is wrong all the same.
            extra = x + 0.02 * rng.normal(size=x.shape) * np.sqrt(self.lr / K)
            x, g = np.concatenate([x, extra], axis=-1), np.concatenate([g, g], axis=-1)
        elif self.copies > 1:
            x, g = np.tile(x, self.copies), np.tile(g, self.copies)
        whole = Trajectory(np.arange(1, 101), x, loss, lr=self.lr, run_id=self.run_id)
        if series == SPACED:
            return whole
        if series == GRADIENTS:
            facts = {MINIBATCH_SQUARES: [float(v) for v in (g**2).sum(-1).mean(-1) + 0.3]}
            return replace(whole.take(slice(1, None, 2)), weights=g[:, 1::2], attributes=facts)
        raise RunError("no such series", NO_SNAPSHOTS)


LADDER = np.geomspace(0.01, 0.1, 7)


def test_a_gibbs_study_finds_its_temperatures():
    result = analyze([Gibbs(t) for t in LADDER], StudyConfig())
    assert result.gibbs
    assert result.axis_title == "Temperature that was set"
    assert [run.status for run in result.runs] == ["ok"] * 7
    for run in result.runs:
        assert run.temperature.value == pytest.approx(run.lr, rel=0.15)
        assert run.thermometers.virial.value == pytest.approx(run.lr, abs=4 * run.thermometers.virial.stderr)
        assert run.set_temperature == run.lr
    frame = result.to_frame()
    assert {"virial_temperature", "noise_temperature", "set_temperature"} <= set(frame.columns)
    assert "temperature that was set" in result.plot_temperature().to_dict()["title"]
    # In words too: the axis is a temperature, nothing changes regime, and every thermometer stands beside the truth.
    assert "·T_set^(" in summary(result)
    assert text_table(result).split()[0] == "T_set"
    assert "lr" not in " ".join(result.notes)
    lines = dict(check_lines(result))
    for name in ("dU/dS", "virial ⟨(w − w̄)·∇L⟩/D", "gradient noise lr·E|g − ∇L|²/2D"):
        assert lines[f"{name} over the temperature that was set"].split()[1] == "(median),"
    assert float(lines["virial ⟨(w − w̄)·∇L⟩/D over the temperature that was set"].split()[0]) == pytest.approx(
        1, abs=0.1
    )
    assert "Stationary range, which all fits take" not in lines


def test_a_weight_under_two_names_is_named():
    result = analyze([Gibbs(t, copies=2) for t in LADDER])
    assert {run.status for run in result.runs} == {"inconsistent-record"}
    assert "one weight under two names" in result.runs[0].note


def test_thermometers_that_disagree():
    """Weights that are almost copies are no twins; but T = dU/dS and the virial contradict each other."""
    result = analyze([Gibbs(t, noisy=True) for t in LADDER])
    inner = result.runs[1:-1]
    assert {run.status for run in inner} == {"thermometers-disagree"}
    assert "errors apart" in inner[0].note


def test_one_run_alone():
    found = analyze_run(Gibbs(0.05))
    assert (found.status, found.temperature) == ("ok", None)
    assert found.thermometers.virial.value == pytest.approx(0.05, rel=0.1)
    # The gradients' noise: 0.05·0.3/(2·6).
    assert found.thermometers.noise.value == pytest.approx(0.05 * 0.3 / 12, abs=4 * found.thermometers.noise.stderr)
    assert found.thermometers.p_value > 1e-3
    assert found.entropy.stderr > 0


@dataclass(frozen=True)
class Noisy:
    """A Gibbs state whose losses along the training are noisy and, as batch norm makes them, off by a constant."""

    lr: float
    every: int = 1
    set_temperature = uniform_loss = uniform_loss_std = None
    seed = 0
    OFFSET = 0.5

    @property
    def run_id(self):
        return f"lr={self.lr:.3g}"

    def load(self, series):
        exact = Gibbs(self.lr).load(SPACED)
        if series == SPACED:
            noise = np.random.default_rng(int(1e7 * self.lr)).normal(size=exact.loss.shape)
            return replace(exact, loss=exact.loss + self.OFFSET + 0.3 * noise)
        if series == GRADIENTS and self.every:
            return replace(exact.take(slice(None, None, self.every)), weights=K * exact.weights[:, :: self.every])
        raise RunError("no such series", NO_SNAPSHOTS)


def test_full_losses_spare_a_study_the_noise_of_the_batches():
    result = analyze([Noisy(t) for t in LADDER])
    for run in result.runs:
        assert run.loss.value == pytest.approx(1 + 3 * run.lr, abs=4 * run.loss.stderr)
        # √3·T a snapshot, 800 of them; that of the batches would be 0.011.
        assert run.loss.stderr == pytest.approx(3**0.5 * run.lr / 800**0.5, rel=0.25)
        assert run.temperature.value == pytest.approx(run.lr, rel=0.15)


@pytest.mark.parametrize("every", [0, 20])
def test_full_losses_are_taken_for_all_runs_or_for_none(every):
    """They differ from losses of batches by a constant, which a run of the other kind would turn into a slope."""
    result = analyze([Noisy(LADDER[0], every), *(Noisy(t) for t in LADDER[1:])])
    assert all(run.loss.value == pytest.approx(1 + Noisy.OFFSET + 3 * run.lr, abs=0.06) for run in result.runs)


def test_few_full_losses_do_not_replace_many_exact_ones():
    result = analyze([Gibbs(t) for t in LADDER])
    every = [Gibbs(t).load(SPACED).loss.mean() for t in LADDER]
    assert [run.loss.value for run in result.runs] == pytest.approx(every)
