"""Whether snapshots are independent draws of a stationary state: `diagnose`, and the diagnostics behind it."""

from analysis.stationarity.burn_in import mser_truncation
from analysis.stationarity.chains import kpss_statistic, split_rhat
from analysis.stationarity.correlation import (
    correlation_time,
    cross_fitted_scores,
    integrated_time,
    mean_and_stderr,
)
from analysis.stationarity.diagnosis import diagnose
from analysis.stationarity.drift import DriftTest, drift_test, msd_slope, spread_p_value, trend_p_value
from analysis.stationarity.neighbours import EdgeLag, edge_lag
from analysis.stationarity.record import record_problem
from analysis.stationarity.regime import BLOCKS, Regime, classify
from analysis.stationarity.several_chains import independent_draws
from analysis.stationarity.thinning import (
    FEWEST_SNAPSHOTS,
    SNAPSHOTS_PER_DIMENSION,
    evenly_spaced,
    independent_snapshots,
)
from analysis.stationarity.verdict import TEST_LEVEL, Diagnosis

__all__ = [
    "BLOCKS",
    "FEWEST_SNAPSHOTS",
    "SNAPSHOTS_PER_DIMENSION",
    "TEST_LEVEL",
    "Diagnosis",
    "DriftTest",
    "EdgeLag",
    "Regime",
    "classify",
    "correlation_time",
    "cross_fitted_scores",
    "diagnose",
    "drift_test",
    "edge_lag",
    "evenly_spaced",
    "independent_draws",
    "independent_snapshots",
    "integrated_time",
    "kpss_statistic",
    "mean_and_stderr",
    "msd_slope",
    "mser_truncation",
    "record_problem",
    "split_rhat",
    "spread_p_value",
    "trend_p_value",
]
