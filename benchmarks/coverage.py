"""How often the 95 % interval of each method holds the true temperature, and what shape it has."""

from __future__ import annotations

import numpy as np

from analysis.entropy import GaussianEntropy, correlation_with_mean
from analysis.temperature import temperature_curve
from analysis.testsystems import sample_entropy
from benchmarks.families import LR, families, sampled
from benchmarks.table import Table

REPETITIONS = 200
METHODS = ("local-quadratic", "convex", "power-law")
#: Noise of the losses and of the entropies.
NOISE = {"low": (1e-4, 0.03), "middle": (1e-3, 0.3), "high": (2e-3, 1.0)}
#: Share of the other arm from which an interval is lopsided.
SHORT = 0.25


def coverage(make, method: str, repetitions: int) -> tuple[float, float, float, float, float, float]:
    """The numbers of a row, from all temperatures of studies that `make` makes, in the order of the columns."""
    curves, truths = [], []
    for _ in range(repetitions):
        lr, exact, states = make()
        correlation = states[4] if len(states) > 4 else None
        curves.append(temperature_curve(lr, *states[:4], method=method, correlation=correlation))
        truths.append(exact)
    t, lower, upper = (np.array([getattr(c, name) for c in curves]) for name in ("temperature", "lower", "upper"))
    exact = np.array(truths)
    positive, two_sided = t > 0, lower > 0
    below, above = (t - lower)[two_sided], (upper - t)[two_sided]
    return (
        float(np.mean((lower <= exact) & (exact <= upper))),
        float(np.nanmedian(np.abs(t / exact - 1))),
        float(np.nanmedian((upper - lower) / 2 / exact)),
        float(np.mean((lower < t)[positive] & (t < upper)[positive])),
        float(np.mean(np.minimum(below, above) < SHORT * np.maximum(below, above))),
        float(np.mean(two_sided)),
    )


def main(quick: bool) -> None:
    """Write coverage.md and coverage.json."""
    repetitions = REPETITIONS // 10 if quick else REPETITIONS
    table = Table(
        "coverage",
        "Coverage of the 95 % temperature interval",
        f"Share of the intervals that hold the true temperature, over all learning rates of {repetitions} studies. "
        "`noise`: errors of the losses, equal at all learning rates or in proportion to the temperature. "
        "`errors`: what the method is told: standard errors of U and S, half of them, or their correlation besides. "
        "`inside`: share of the positive temperatures that lie strictly inside their interval. `lopsided`: share of "
        f"the intervals with one arm shorter than {SHORT:g} of the other, among the `two-sided` ones, which end above "
        "zero; the rest are upper limits. `power-law` is "
        "run on formulas that are one; near the edge of stability SGD's is none. The last systems are measured on 1000 "
        "independent snapshots, U by their mean loss and S by the exact-bias maximum likelihood with a jackknife, so "
        "that the noise of U and S is one noise; an interval that is told two errors and not that they go together is "
        "too wide.",
        (
            "system", "noise", "errors", "method", "coverage", "median error", "median half-width", "inside",
            "lopsided", "two-sided",
        ),
    )  # fmt: skip
    for name, states in families().items():
        relative = states.temperature / states.temperature.mean()
        for noise, (du, ds) in NOISE.items():
            for shape, sizes in (("equal", np.ones(11)), ("as T", relative)):
                for method in METHODS:
                    if method == "power-law" and name not in ("power law", "saturating entropy"):
                        continue
                    make = noisy(states, du * sizes, np.full(11, ds), np.random.default_rng(0))
                    table.add(name, f"{noise}, {shape}", "told", method, *coverage(make, method, repetitions))
        if name in ("power law", "kink"):
            for noise, (du, ds) in NOISE.items():
                make = noisy(states, np.full(11, du), np.full(11, ds), np.random.default_rng(0), told=0.5)
                table.add(name, f"{noise}, equal", "half", METHODS[0], *coverage(make, METHODS[0], repetitions))
    for name, (system, controls) in sampled(np.random.default_rng(0)).items():
        rng = np.random.default_rng(1)
        estimator = GaussianEntropy("ml", dim=system.dim)
        studies = [_measured(system, controls, estimator, rng) for _ in range(repetitions)]
        for errors, count in (("told with their correlation", 5), ("told", 4)):
            for method in METHODS if count < 5 else METHODS[:1]:
                queue = iter(studies)

                def make(queue=queue, controls=controls, system=system, count=count):
                    return controls, system.temperature(controls), next(queue)[:count]

                table.add(name, "1000 snapshots", errors, method, *coverage(make, method, repetitions))
    if not quick:
        table.write()


def noisy(states, du, ds, rng, told: float = 1.0):
    """Make studies of the states with noise `du` and `ds`, (11,) each, and with `told` times that as their errors."""

    def make():
        u, s = states.loss + du * rng.normal(size=11), states.entropy + ds * rng.normal(size=11)
        return LR, states.temperature, (u, s, told * du, told * ds)

    return make


def _measured(system, controls, estimator, rng):
    """U, S and their standard errors at each of the controls, and the correlation of these."""
    rows, shared = [], []
    for control in controls:
        sample = system.sample(float(control), 1000, rng)
        loss = system.potential(sample)
        entropy = sample_entropy(system, sample, estimator)
        shared.append(np.arctanh(min(correlation_with_mean(estimator.entropy_jackknife_, loss), 0.999)))
        rows.append((loss.mean(), entropy, loss.std(ddof=1) / np.sqrt(len(loss)), estimator.entropy_stderr_))
    return (*np.array(rows).T, float(np.tanh(np.mean(shared))))
