"""Size and power of the test that F is minimised."""

from __future__ import annotations

import numpy as np

from analysis.free_energy import convexity_test
from benchmarks.families import LR, families
from benchmarks.table import Table

REPETITIONS = 200
DU, DS = 1e-3, 0.3
LEVEL = 0.05


def rejected(loss: np.ndarray, entropy: np.ndarray, repetitions: int) -> float:
    """Share of the studies in which the test rejects at the 5 % level."""
    rng = np.random.default_rng(0)
    errors = np.full(len(LR), DU), np.full(len(LR), DS)
    found = [
        convexity_test(
            LR, loss + DU * rng.normal(size=len(LR)), entropy + DS * rng.normal(size=len(LR)), *errors
        ).p_value
        for _ in range(repetitions)
    ]
    return float(np.mean(np.array(found) <= LEVEL))


def main(quick: bool) -> None:
    """Write convexity.md and convexity.json."""
    repetitions = REPETITIONS // 10 if quick else REPETITIONS
    table = Table(
        "convexity",
        "Size and power of the convexity test",
        f"Share of {repetitions} studies of 11 learning rates in which 'U is a convex, rising function of S' is "
        f"rejected at p <= {LEVEL}; noise of U {DU:g}, of S {DS:g}, which the test is told. A bump "
        "lifts the losses of two neighbouring learning rates.",
        ("states", "is F minimised", "rejected"),
    )
    entropy = families()["power law"].entropy
    line = 1e-2 * (entropy - entropy[0]) / 4
    curves = {"straight line": (line, entropy, True)}
    for name, states in families().items():
        rises = bool(np.all(np.diff(states.temperature) > 0))
        curves[name] = (states.loss, states.entropy, rises)
    bumps = {f"power law, bump of {height:g}": height for height in (0.01, 0.02, 0.05, 0.1)}
    for name, height in bumps.items():
        loss = families()["power law"].loss.copy()
        loss[5:7] += height
        curves[name] = (loss, entropy, False)
    curves["falling loss"] = (-families()["power law"].loss, entropy, False)
    for name, (loss, s, minimised) in curves.items():
        table.add(name, "yes" if minimised else "no", rejected(loss, s, repetitions))
    if not quick:
        table.write()
