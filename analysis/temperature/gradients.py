"""Temperatures from full gradients at the snapshots: the virial theorem, direction by direction, and gradient noise.

For a Gibbs state p ∝ exp(−L/T) and any coordinate x_i, by parts, ⟨(x_i − a)·∂(L/T − ln v)/∂x_i⟩ = 1, v the density of
the volume in the coordinates. So T_i = ⟨x_i·∂L/∂x_i⟩/(1 + ⟨x_i·∂ln v/∂x_i⟩) is T along every direction, however the
loss is curved. States of SGD need not be Gibbs: there the T_i differ, and their spread says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.linalg import eigh

from analysis.results import NORMAL_95, AnyArray, Estimate, FloatArray, InsufficientData

#: Parts of a single chain that stand for chains.
PARTS = 8
#: Fewest snapshots with a gradient.
FEWEST = 20


@dataclass(frozen=True)
class DirectionTemperatures:
    """T_i along the principal directions of a state.

    Attributes
    ----------
    temperatures, stderr : (D,) with their standard errors, loss units per nat; from the widest direction to the
        narrowest.
    virial : ⟨(w − w̄)·∇L⟩ over D, corrected for the curvature of spheres: the mean of the T_i.
    median : of the T_i.
    spread : standard deviation of the T_i beyond their errors, relative to the mean; 0 for a Gibbs state.
    p_value : of all T_i being equal.
    """

    temperatures: FloatArray
    stderr: FloatArray
    virial: Estimate
    median: Estimate
    spread: float
    p_value: float


def direction_temperatures(
    weights: AnyArray, gradients: AnyArray, spheres: Sequence[int] = ()
) -> DirectionTemperatures:
    """Temperatures along the principal directions, from full gradients at independent snapshots.

    Directions are those of one half of the chains, temperatures along them those of the other, and vice versa: along
    its own principal directions a sample looks wider than its state is.

    Parameters
    ----------
    weights, gradients : (n_chains, n, d) snapshots and ∇L at them; (n, d) of a single chain.
    spheres : weights on each of the spheres that they live on (`Trajectory.spheres`); () where they are free.

    Raises
    ------
    ValueError
        Arrays of different shape.
    InsufficientData
        Fewer than 20 snapshots, snapshots that do not vary, or spheres without a mean direction.
    """
    if weights.shape != gradients.shape or weights.ndim not in (2, 3):
        raise ValueError(f"weights have shape {weights.shape}, gradients {gradients.shape}: give one for each snapshot")
    d = weights.shape[-1]
    if weights.size // d < FEWEST:
        raise InsufficientData(f"temperatures along directions need {FEWEST} snapshots, got {weights.size // d}")
    x, slope, narrowing = _in_flat_coordinates(weights.reshape(-1, d), gradients.reshape(-1, d), spheres)
    groups = _chains(weights.shape)
    dim = d - len(spheres)
    work, room = np.zeros((len(groups), dim)), np.ones((len(groups), dim))
    for half in (0, 1):
        found = np.concatenate(groups[half::2])
        directions = _principal(x[found], dim)
        for k in range(1 - half, len(groups), 2):
            along, force, pull = (part[groups[k]] @ directions for part in (x, slope, narrowing))
            work[k] = np.mean(along * force, axis=0)
            room[k] = 1 - np.mean(along * pull, axis=0)
    temperatures = work.mean(axis=0) / room.mean(axis=0)
    stderr = _ratio_error(work, room, temperatures)
    whole, space = work.sum(axis=1), room.sum(axis=1)
    virial = float(whole.mean() / space.mean())
    virial_error = float(_ratio_error(whole[:, None], space[:, None], np.array([virial]))[0])
    # Without each chain in turn: the median of ratios has no simple error.
    left = [_without(work, k) / _without(room, k) for k in range(len(groups))]
    medians = np.array([np.median(one) for one in left])
    median_error = float(np.sqrt((len(groups) - 1) / len(groups) * np.sum((medians - medians.mean()) ** 2)))
    excess = float(np.mean((temperatures - virial) ** 2 - stderr**2))
    # Infinite for a state that stands still, whose errors are nothing.
    with np.errstate(over="ignore"):
        chi_square = float(np.sum(((temperatures - virial) / np.maximum(stderr, 1e-300)) ** 2))
    # The errors come from so many chains themselves: their squares scatter, and the sum with them.
    free = len(groups) - 1
    scaled = chi_square * (free - 2) / free if free > 2 else chi_square
    return DirectionTemperatures(
        temperatures,
        stderr,
        estimate_with(virial, virial_error, free),
        estimate_with(float(np.median(temperatures)), median_error, free),
        float(np.sqrt(max(excess, 0.0)) / abs(virial)) if virial else float("nan"),
        float(stats.chi2.sf(scaled, dim - 1)) if dim > 1 else 1.0,
    )


def noise_temperature(minibatch_squares: FloatArray, full_squares: FloatArray, lr: float, dim: int) -> Estimate:
    """lr·E|g_B − ∇L|²/(2D): the temperature at which gradient noise heats an isotropic state.

    Parameters
    ----------
    minibatch_squares, full_squares : (n_chains,) means of |g_B|² and of |∇L|² over each chain.
    lr : learning rate.
    dim : D.

    Raises
    ------
    InsufficientData
        Fewer than two chains.
    """
    if len(minibatch_squares) < 2:
        raise InsufficientData("the error of the noise temperature needs at least two chains")
    values = lr * (minibatch_squares - full_squares) / (2 * dim)
    return estimate_with(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), len(values) - 1)


def estimate_with(value: float, stderr: float, free: int) -> Estimate:
    """A number with its 95 % interval by Student's t with `free` degrees of freedom."""
    width = float(stats.t.ppf(0.975, free)) if free > 0 else NORMAL_95
    return Estimate(value, stderr, value - width * stderr, value + width * stderr)


def _chains(shape: tuple[int, ...]) -> list[FloatArray]:
    """Numbers of the rows of each chain, or of the parts of a single one, of pooled snapshots."""
    rows = np.arange(int(np.prod(shape[:-1])))
    chains = shape[0] if len(shape) == 3 else 1
    return [np.asarray(part) for part in np.array_split(rows, chains if chains > 1 else PARTS)]


def _without(values: FloatArray, k: int) -> FloatArray:
    return np.asarray(np.delete(values, k, axis=0).mean(axis=0))


def _ratio_error(work: FloatArray, room: FloatArray, ratio: FloatArray) -> FloatArray:
    """Standard error of mean(work)/mean(room) over the chains (n_chains, q): of the numerator less ratio·room."""
    left = work - ratio * room
    return np.asarray(left.std(axis=0, ddof=1) / np.sqrt(len(left)) / np.abs(room.mean(axis=0)))


def _principal(x: FloatArray, dim: int) -> FloatArray:
    """The `dim` principal directions (d, dim) of x (n, d), from the widest to the narrowest."""
    d = x.shape[1]
    centred = x - x.mean(axis=0)
    values, vectors = eigh(centred.T @ centred, subset_by_index=(d - dim, d - 1))
    if not values[-1] > 0:
        raise InsufficientData("the snapshots do not vary")
    return np.asarray(vectors[:, ::-1])


def _in_flat_coordinates(
    points: AnyArray, gradients: AnyArray, spheres: Sequence[int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centred coordinates x (n, d), ∂L/∂x and −∂ln v/∂x at pooled snapshots.

    On spheres the stereographic chart around the mean direction m of each: with the unit vector u and c = u·m,
    x = (u − c·m)/k, k = (1 + c)/2, which is conformal with scale k, so that v = k^(n−1) on a sphere of n weights.
    """
    points, gradients = points.astype(np.float64), gradients.astype(np.float64)
    if not spheres:
        return points - points.mean(axis=0), gradients, np.zeros_like(points)
    parts = []
    ends = np.cumsum(spheres)[:-1]
    for w, g in zip(np.split(points, ends, axis=1), np.split(gradients, ends, axis=1), strict=True):
        radius = np.linalg.norm(w, axis=1, keepdims=True)
        u, slope = w / radius, g * radius
        mean = u.mean(axis=0)
        if np.linalg.norm(mean) < 1e-9:
            raise InsufficientData("the points cancel and have no mean direction: they cover the sphere evenly")
        m = mean / np.linalg.norm(mean)
        c = (u @ m)[:, None]
        k = (1 + c) / 2
        x = (u - c * m) / k
        along = np.sum((u + m) * slope, axis=1, keepdims=True)
        pulled = k * (slope - x * along / 2)
        # Along m there is no coordinate.
        pulled -= (pulled @ m)[:, None] * m
        parts.append((x, pulled, (w.shape[1] - 1) * x * k / 2))
    x, pulled, narrowing = (np.hstack([part[i] for part in parts]) for i in range(3))
    return x - x.mean(axis=0), pulled, narrowing
