"""Temperature against learning rate, by four methods under their own names."""

from analysis.temperature._points import TemperatureCurve
from analysis.temperature.broken_law import BrokenLaw, broken_power_law
from analysis.temperature.curve import METHODS, OPTIMUM, temperature_curve

__all__ = ["METHODS", "OPTIMUM", "BrokenLaw", "TemperatureCurve", "broken_power_law", "temperature_curve"]
