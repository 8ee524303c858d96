"""The results of one run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from analysis.results.arrays import EqualNumbers
from analysis.results.courses import Course, GradientCourse
from analysis.results.estimate import Estimate
from analysis.results.statuses import Status


@dataclass(frozen=True, eq=False)
class Evidence(EqualNumbers):
    """The numbers behind the status of a run's snapshots; NaN where one was not computed.

    Attributes
    ----------
    n, dim : snapshots after burn-in, of all chains; D of the entropy formulas.
    chains : of the run; NaN for a single one.
    tau, n_eff, burn_in : integrated autocorrelation time in snapshots, independent snapshots, snapshots dropped.
    tail_weight : relative variance of the squared steps between snapshots.
    edge_lag_fraction, edge_lag_independent : nearest neighbours that are neighbours in time, observed and expected of
        independent snapshots.
    msd_slope : of ln mean-squared displacement on ln lag at half of the window.
    drift_p_value, trend_p_value, spread_p_value : of no drift, no trend, equal spread in both halves.
    between_p_value : of all chains having one mean.
    far_chain, far_share : the chain whose mean is farthest from that of the others; its share of the variance between
        the chains.
    drift_dims : independent directions that the slow modes span.
    kpss, split_rhat : KPSS statistic of a constant level; potential scale reduction of the slow components.
    duplicates, stays : snapshots that repeat an earlier one, and of those the ones that repeat the snapshot before
        them: rejected moves of a sampler, or calls that were no updates.
    rank, columns : directions that the snapshots vary in, and their columns.
    active_directions, active_share : directions above a jump of the spectrum, and their share of the variance.
    uniform_share : share of the window whose loss is that of uniformly random weights.
    """

    n: float = math.nan
    chains: float = math.nan
    dim: float = math.nan
    tau: float = math.nan
    n_eff: float = math.nan
    burn_in: float = math.nan
    tail_weight: float = math.nan
    edge_lag_fraction: float = math.nan
    edge_lag_independent: float = math.nan
    msd_slope: float = math.nan
    between_p_value: float = math.nan
    far_chain: float = math.nan
    far_share: float = math.nan
    drift_p_value: float = math.nan
    drift_dims: float = math.nan
    trend_p_value: float = math.nan
    spread_p_value: float = math.nan
    kpss: float = math.nan
    split_rhat: float = math.nan
    duplicates: float = math.nan
    stays: float = math.nan
    rank: float = math.nan
    columns: float = math.nan
    active_directions: float = math.nan
    active_share: float = math.nan
    uniform_share: float = math.nan

    def known(self) -> dict[str, float]:
        """The numbers that exist, by name."""
        return {name: value for name, value in vars(self).items() if math.isfinite(value)}


@dataclass(frozen=True)
class Sampling:
    """How many independent snapshots a run has; None where it could not be judged.

    Attributes
    ----------
    n_eff, tau : independent snapshots; correlation time in snapshots.
    burn_in : snapshots dropped at the start.
    n_used : snapshots behind the entropy, equally many for all runs of a study.
    spacing, last_step : optimiser steps between two snapshots of a chain, and the step of the last one.
    evidence : the numbers behind the status (`analysis.stationarity.diagnose`).
    """

    n_eff: float | None = None
    tau: float | None = None
    burn_in: int | None = None
    n_used: int | None = None
    spacing: int | None = None
    last_step: int | None = None
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True)
class PaperNumbers:
    """The estimates of arXiv 2505.23489 from consecutive iterates; None where a run has none.

    Attributes
    ----------
    entropy : kNN-graph entropy of the iterates, graph units.
    n_used : iterates behind it.
    temperature : the interval temperature from it.
    ratio : that temperature over ours; about one half on a quadratic, where consecutive iterates measure the step
        instead of the spread.
    """

    entropy: float | None = None
    n_used: int | None = None
    temperature: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class ThreeEntropies:
    """Entropies by three assumptions, nats; where the entropy is identified, their changes agree."""

    isotropic: float | None
    subspace: float | None
    shrinkage: float | None


@dataclass(frozen=True)
class Equipartition:
    """Temperature without entropy along the leading directions; None where a number does not exist.

    Attributes
    ----------
    temperature, stderr : mean of the T_i, loss units per nat.
    spread : of the T_i beyond their errors, relative to the mean.
    p_value : of all T_i being equal.
    """

    temperature: float | None
    stderr: float | None
    spread: float | None
    p_value: float | None


@dataclass(frozen=True)
class Thermometers:
    """Temperatures that one run alone can give, from full gradients at its snapshots; None where there are none.

    Attributes
    ----------
    noise : lr·E|g_B − ∇L|²/(2D), loss units per nat.
    virial : mean of the T_i over all directions, exact for a Gibbs state.
    spread, p_value : standard deviation of the T_i beyond their errors, relative to the mean; of all T_i being equal.
    """

    noise: Estimate | None = None
    virial: Estimate | None = None
    spread: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class RunResult:
    """The results of one run; None where a number does not exist, with a status that says why.

    Attributes
    ----------
    run_id, lr, seed, n_train : of the run; lr is NaN and n_train None where the run does not say.
    status, regime, note : one of `REMEDIES`; one of `mlflow_thermo.schema.REGIMES` or empty; what went wrong and what
        to do, in words.
    loss : mean training loss over the window with its standard error, loss units.
    entropy : nats, by the study's estimator, with its standard error.
    temperature : dU/dS with its interval, loss units per nat.
    free_energy : U − T·S, loss units.
    sampling : independent snapshots and the evidence for them.
    paper : the estimates of arXiv 2505.23489.
    identification : entropies by three assumptions, whose changes agree where the entropy is identified.
    equipartition : temperature without entropy, from losses alone.
    thermometers : temperatures without entropy, from full gradients.
    set_temperature : at which a Gibbs state was sampled; None for a training.
    fluctuation_ratio : of the fluctuation-dissipation relation over the second half of training; 1 when stationary.
    late_temperature : of a run that still converges, dU/dS between the last two quarters of its window.
    uniform_loss : mean loss of uniformly random weights.
    hops : whether the run was in the uniform state for a part of its window only.
    course : loss, entropy and temperature along the training; None without bursts.
    gradients : norms and signal-to-noise ratio at the log points; None where none were logged.
    """

    run_id: str
    lr: float
    seed: int
    status: Status
    regime: str
    note: str = ""
    loss: Estimate | None = None
    entropy: Estimate | None = None
    temperature: Estimate | None = None
    free_energy: float | None = None
    sampling: Sampling = field(default_factory=Sampling)
    paper: PaperNumbers = field(default_factory=PaperNumbers)
    identification: ThreeEntropies | None = None
    equipartition: Equipartition | None = None
    thermometers: Thermometers = field(default_factory=Thermometers)
    set_temperature: float | None = None
    fluctuation_ratio: float | None = None
    late_temperature: float | None = None
    uniform_loss: float | None = None
    n_train: int | None = None
    hops: bool = False
    course: Course | None = None
    gradients: GradientCourse | None = None
