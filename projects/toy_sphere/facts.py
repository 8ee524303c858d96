"""The numbers that the sphere toy is known for, measured beside exact."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from analysis.results import InsufficientData
from analysis.testsystems import toys
from projects.toy_sphere.decay import DecayStudy
from projects.toy_sphere.study import ToyStudy, small_lr_slope

#: The loss rises linearly with learning rates up to this.
SMALL_LR = 0.03

#: What each fact is, and what it should be.
_EXACT: dict[str, tuple[str, str]] = {
    "op_low_lr_snr": ("over-parameterised, SNR at the lowest lr", "tan 30° = 0.577"),
    "op_largest_converging_lr": ("over-parameterised, largest lr at which every chain converges", "below 1"),
    "op_smallest_other_lr": ("over-parameterised, smallest lr at which one does not", "1 or above"),
    "up_loss_slope": ("under-parameterised, slope of U − 0.03846 in lr up to 0.03", "0.0370"),
    "up_stochastic_norm": ("under-parameterised, norm of the stochastic gradient at the optimum", "0.3846"),
    "decay_slope_fixed_elr_d3": ("weight decay at fixed effective lr, dS/d ln λ in 3 dimensions", "-1"),
    "decay_slope_fixed_elr_d10": ("weight decay at fixed effective lr, dS/d ln λ in 10 dimensions", "-4.5"),
    "decay_slope_fixed_lr_d3": ("weight decay at fixed lr, dS/d ln λ in 3 dimensions", "-0.5"),
    "decay_slope_fixed_lr_d10": ("weight decay at fixed lr, dS/d ln λ in 10 dimensions", "-2.25"),
}


@dataclass(frozen=True)
class Fact:
    """One number that the toy is known for.

    Attributes
    ----------
    name : one of those documented here.
    value, stderr : as measured; stderr is None where it is not known.
    """

    name: str
    value: float
    stderr: float | None = None

    @property
    def what(self) -> str:
        """What the number is, in words."""
        return _EXACT[self.name][0]

    @property
    def exact(self) -> str:
        """What it should be, in words."""
        return _EXACT[self.name][1]

    def numbers(self) -> dict[str, float]:
        """Its numbers by name, for toy.json and for metrics."""
        return {self.name: self.value} | ({} if self.stderr is None else {f"{self.name}_stderr": self.stderr})

    def to_dict(self) -> dict[str, str]:
        """The row of a table: what, exact, measured."""
        return {"what": self.what, "exact": self.exact, "measured": f"{self.value:.4g}"}


def toy_facts(studies: Sequence[ToyStudy], decays: Sequence[DecayStudy]) -> list[Fact]:
    """All facts that the learning rates allow.

    Parameters
    ----------
    studies : of both toys.
    """
    over, under = (next(study for study in studies if study.name == name) for name in ("op", "up"))
    found: list[Fact] = []
    if np.isfinite(over.snr[0]):
        found.append(Fact("op_low_lr_snr", float(over.snr[0])))
    whole = over.lr[over.converged >= 1]
    if len(whole):
        found.append(Fact("op_largest_converging_lr", float(whole.max())))
    # Below it a training that is too short has not come to its end yet.
    lost = over.lr[(over.converged < 1) & (over.lr > whole.max(initial=0.0))]
    if len(lost):
        found.append(Fact("op_smallest_other_lr", float(lost.min())))
    # A grid with too few small learning rates has no slope; the other facts stand.
    with suppress(InsufficientData):
        found.append(Fact("up_loss_slope", *small_lr_slope(under, SMALL_LR, toys()[1].least_loss)))
    found.append(Fact("up_stochastic_norm", float(under.minibatch_norm[0])))
    return found + [Fact(f"decay_slope_{study.protocol}_d{study.n_weights}", study.slope) for study in decays]
