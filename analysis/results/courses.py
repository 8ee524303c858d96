"""Numbers along the training of a run, as columns."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.results.arrays import EqualNumbers, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Course(EqualNumbers):
    """Loss, entropy and temperature along one training, an entry for each burst; NaN where a number does not exist.

    Attributes
    ----------
    steps : (m,) last optimiser step of each burst.
    size : snapshots of a burst.
    loss, loss_stderr : (m,) mean minibatch loss, loss units.
    entropy, entropy_stderr : (m,) nats.
    temperature, lower, upper : (m,) dU/dS between the neighbouring bursts with its 95 % interval, loss units per nat.
    paper_entropy, paper_temperature : (m,) the same with the entropy of the paper's graph, in its units.
    """

    steps: IntArray
    size: int
    loss: FloatArray
    loss_stderr: FloatArray
    entropy: FloatArray
    entropy_stderr: FloatArray
    temperature: FloatArray
    lower: FloatArray
    upper: FloatArray
    paper_entropy: FloatArray
    paper_temperature: FloatArray


@dataclass(frozen=True, eq=False)
class GradientCourse(EqualNumbers):
    """Norms of the gradients of one run at its log points; NaN where one is missing.

    Attributes
    ----------
    steps : (n,) optimiser steps.
    full_norm : (n,) |∇L|.
    minibatch_norm, minibatch_norm_stderr : (n,) E|g_B|.
    snr, snr_stderr : (n,) |∇L| / sqrt(E|g_B − ∇L|²).
    train_loss : (n,) full training loss, loss units.
    """

    steps: IntArray
    full_norm: FloatArray
    minibatch_norm: FloatArray
    minibatch_norm_stderr: FloatArray
    snr: FloatArray
    snr_stderr: FloatArray
    train_loss: FloatArray
