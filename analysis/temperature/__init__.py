"""Temperature against learning rate, by four methods under their own names."""

from analysis.temperature._points import TemperatureCurve
from analysis.temperature.curve import METHODS, temperature_curve

__all__ = ["METHODS", "TemperatureCurve", "temperature_curve"]
