"""The result of every method of a temperature curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import NO_INTERVAL, UNIDENTIFIED, ZERO_TEMPERATURE, FloatArray, StrArray
from analysis.temperature.states import States


@dataclass(frozen=True)
class TemperatureCurve:
    """Temperature at each learning rate, in the order in which the learning rates were given.

    Attributes
    ----------
    lr, temperature, lower, upper, stderr : (n,) arrays; temperatures in loss units per nat. NaN where a number
        does not exist, with a `status` that says why.
    status : (n,) statuses of `analysis.results`; a temperature whose status is not ``ok`` is tentative.
    method : how it was computed.
    level : of the interval ``[lower, upper]``; NaN where the bounds are not a confidence interval.
    covariance : (n, n) of the temperatures: neighbours share their data. None where it is not known.
    notes : remarks for the reader, such as standard errors that were missing.
    """

    lr: FloatArray
    temperature: FloatArray
    lower: FloatArray
    upper: FloatArray
    stderr: FloatArray
    status: StrArray
    method: str
    level: float
    covariance: FloatArray | None = None
    notes: tuple[str, ...] = ()


def without_interval(states: States, temperature: FloatArray, method: str) -> TemperatureCurve:
    """The curve of temperatures (n,) from states without standard errors.

    A negative temperature, or one that does not exist, is NaN and ``unidentified``; where the loss does not change at
    all the status is ``zero-temperature``. The others are ``no-interval``: how far to trust them is not known.
    """
    status = np.full(len(temperature), NO_INTERVAL, dtype="<U32")
    status[temperature == 0] = ZERO_TEMPERATURE
    none = ~(temperature >= 0)
    status[none] = UNIDENTIFIED
    nothing = np.full(len(temperature), np.nan)
    missing = [
        name for name, errors in (("loss", states.loss_stderr), ("entropy", states.entropy_stderr)) if errors is None
    ]
    return TemperatureCurve(
        states.lr, np.where(none, np.nan, np.abs(temperature)), nothing, nothing, nothing, status, method, float("nan"),
        notes=(f"no interval: the standard errors of the {' and the '.join(missing)} are not known",),
    )  # fmt: skip
