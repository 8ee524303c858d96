"""What each figure shows, in words: under it, and for those who do not see it."""

from __future__ import annotations

from dataclasses import dataclass

#: By name of the figure.
CAPTIONS = {
    "temperature": "Bars and band: the interval of T. Empty points are tentative. Thermometers that need no entropy "
    "(gradient noise, and the virial: mean product of displacement and gradient per dimension) agree with dU/dS where "
    "SGD is in a Gibbs state, in which weights have probabilities as exp(−U/T). The paper is arXiv 2505.23489; its "
    "estimate has no interval, and none at the ends of the curve.",
    "loss": "Stationary training loss U against learning rate, with 95 % intervals, also where the points hide them.",
    "entropy": "Entropy S of the weights against learning rate, in nats, with 95 % intervals, also where the points "
    "hide them.",
    "paper_entropy": "Entropy by the paper's graph of consecutive iterates, which has no stated error.",
    "free_energy": "Free energy F = U − T·S of every state, at the temperature of each learning rate. If SGD minimises "
    "F, each curve has its minimum at its star.",
    "n_eff": "Independent snapshots of each run against learning rate, both on log axes.",
    "loss_course": "Loss along the training, from bursts of consecutive iterates, with 95 % intervals.",
    "entropy_course": "Entropy of a burst along the training, with 95 % intervals: a shrunk Gaussian, whose level is "
    "not that of S above.",
    "paper_entropy_course": "The paper's graph entropy of a burst along the training.",
    "temperature_course": "dU/dS between neighbouring bursts of the runs that still converge, with 95 % intervals.",
    "paper_temperature_course": "The same by the paper's graph, which has no stated error.",
    "signal_course": "Signal-to-noise ratio of the minibatch gradient along the training, with 95 % intervals.",
    "gradient_course": "Norms of the full and of the minibatch gradients along the training, with 95 % intervals.",
    "noise_law": "Mean norm of minibatch gradients against the norm of the full gradient in the last decade of steps, "
    "with 95 % intervals. Points on the dashed line have no noise.",
}


def caption(name: str, axis_title: str = "Learning rate") -> str:
    """What the figure shows, against what the runs differ in; the name itself for one without words."""
    return CAPTIONS.get(name, name).replace("learning rate", axis_title.lower())


@dataclass(frozen=True)
class Section:
    """A part of the page that holds figures."""

    key: str
    title: str
    figures: tuple[str, ...]


#: Behind the answer, in the order of the page.
STATES = Section("states", "Loss and entropy", ("loss", "entropy", "paper_entropy"))
CHECKS = Section("checks", "Checks", ("free_energy",))
COURSE = Section(
    "course", "Course of the runs",
    ("n_eff", "loss_course", "entropy_course", "paper_entropy_course", "temperature_course",
     "paper_temperature_course", "signal_course", "gradient_course", "noise_law"),
)  # fmt: skip
