"""Temperature against learning rate by four methods, its power laws, and thermometers that need no entropy."""

from analysis.temperature.broken_law import BrokenLaw, broken_power_law
from analysis.temperature.consistency import thermodynamic_consistency
from analysis.temperature.convex import convex_fit
from analysis.temperature.curve import METHODS, at_optimum, temperature_curve
from analysis.temperature.equipartition import equipartition
from analysis.temperature.gradients import DirectionTemperatures, direction_temperatures, noise_temperature
from analysis.temperature.laws import FEWEST_SEEDS, SeedExponent, power_law, power_law_over_seeds
from analysis.temperature.linear import polynomial
from analysis.temperature.pooling import Pooled, pooled
from analysis.temperature.resampling import slopes_over_groups
from analysis.temperature.result import TemperatureCurve
from analysis.temperature.seeds import with_seed_scatter
from analysis.temperature.states import States, rounding
from analysis.temperature.virial import fluctuation_dissipation, virial_temperature

__all__ = [
    "FEWEST_SEEDS",
    "METHODS",
    "BrokenLaw",
    "DirectionTemperatures",
    "Pooled",
    "SeedExponent",
    "States",
    "TemperatureCurve",
    "at_optimum",
    "broken_power_law",
    "convex_fit",
    "direction_temperatures",
    "equipartition",
    "fluctuation_dissipation",
    "noise_temperature",
    "polynomial",
    "pooled",
    "power_law",
    "power_law_over_seeds",
    "rounding",
    "slopes_over_groups",
    "temperature_curve",
    "thermodynamic_consistency",
    "virial_temperature",
    "with_seed_scatter",
]
