"""Temperature against learning rate, by four methods under their own names."""

from analysis.temperature._points import TemperatureCurve
from analysis.temperature.curve import METHODS, OPTIMUM, temperature_curve

__all__ = ["METHODS", "OPTIMUM", "TemperatureCurve", "temperature_curve"]
