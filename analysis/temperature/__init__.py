"""Temperature against learning rate, by four methods under their own names."""

from analysis.temperature._points import Averages, Points, TemperatureCurve, rounding, scatter
from analysis.temperature.broken_law import BrokenLaw, broken_power_law
from analysis.temperature.consistency import thermodynamic_consistency
from analysis.temperature.convex import convex_fit
from analysis.temperature.curve import METHODS, at_optimum, checked_points, temperature_curve
from analysis.temperature.equipartition import equipartition
from analysis.temperature.guide import power_law_guide
from analysis.temperature.linear import polynomial
from analysis.temperature.pooling import States, pooled, with_seed_scatter
from analysis.temperature.virial import fluctuation_dissipation, virial_temperature

__all__ = [
    "METHODS",
    "Averages",
    "BrokenLaw",
    "Points",
    "States",
    "TemperatureCurve",
    "at_optimum",
    "broken_power_law",
    "checked_points",
    "convex_fit",
    "equipartition",
    "fluctuation_dissipation",
    "polynomial",
    "pooled",
    "power_law_guide",
    "rounding",
    "scatter",
    "temperature_curve",
    "thermodynamic_consistency",
    "virial_temperature",
    "with_seed_scatter",
]
