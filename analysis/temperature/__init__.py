"""Temperature against learning rate, by four methods under their own names."""

from analysis.temperature._points import TemperatureCurve
from analysis.temperature.broken_law import BrokenLaw, broken_power_law
from analysis.temperature.curve import METHODS, at_optimum, temperature_curve
from analysis.temperature.pooling import States, pooled, with_seed_scatter

__all__ = [
    "METHODS",
    "BrokenLaw",
    "States",
    "TemperatureCurve",
    "at_optimum",
    "broken_power_law",
    "pooled",
    "temperature_curve",
    "with_seed_scatter",
]
