"""Claims 4 and 8: where the branches change along the learning rates, and the uniform state beyond the last."""

from __future__ import annotations

import math

import numpy as np

from analysis.results import Boundary, RunResult, StudyResult
from mlflow_thermo.schema import CONVERGING, STATIONARY, UNIFORM
from projects.paper.claims.claim import Answer, Claim, above, interval, mean_and_error, missing, verdict
from projects.paper.claims.quantities import Quantity, entropy_of, estimates, levels, loss_of, paper_entropy_of, runs_in

SAYS_4 = (
    "Over-parameterised: a jump from the converging to the stationary branch, then one to the uniform state; "
    "under-parameterised: only the second."
)
SAYS_8 = "Every run at a high learning rate ends at the U and S of uniformly random unit vectors."

#: A jump is this many times the usual change of ln U between neighbouring learning rates.
JUMP = 3.0
#: A uniform run is at the baseline when it lacks no more than this share of the way to it.
NEAR = 0.05


def jumps(up: StudyResult | None, op: StudyResult | None, setting: str) -> Claim:
    """Claim 4, from the regimes of both studies."""
    figures = (f"{setting}-op/loss", f"{setting}-up/loss")
    branches = op.checks.branches if op is not None else None
    if op is None or branches is None:
        return missing(4, setting, SAYS_4, "no regimes of the over-parameterised model", figures)
    first, second = branches.to_stationary, branches.to_uniform
    strength = _strength(op, first)
    answers: list[Answer] = [
        True if first is not None else None,
        True if second is not None else None,
        None if strength is None else strength >= JUMP,
    ]
    words = [
        f"over-parameterised: converging below lr = {_place(first)}, where U jumps "
        + (f"{strength:.0f} times as far as between other neighbours" if strength is not None else "")
        if first is not None
        else "over-parameterised: no change from converging to stationary",
        f"uniform above {_place(second)}" if second is not None else "no uniform state reached",
    ]
    if branches.bistable:
        words.append(f"bistable at lr = {', '.join(f'{lr:.2g}' for lr in branches.bistable)}")
    if up is not None and up.checks.branches is not None:
        own, last = up.checks.branches.to_stationary, up.checks.branches.to_uniform
        own_strength = _strength(up, own)
        answers += [
            True if own is None else None if own_strength is None else own_strength < JUMP,
            True if last is not None else None,
        ]
        slow = "no first change"
        if own is not None:
            size = f"{own_strength:.1f} times as far as" if own_strength is not None else "how far is not known against"
            slow = f"still relaxing below lr = {_place(own)}, where U changes {size} between other neighbours"
        words.append(f"under-parameterised: {slow}; uniform above {_place(last) if last is not None else '-'}")
    else:
        answers.append(None)
        words.append("under-parameterised: no regimes")
    numbers = {
        "lr_to_stationary": first.lr if first else None,
        "lr_to_uniform": second.lr if second else None,
        "jump": strength,
    }
    return Claim(4, setting, SAYS_4, "; ".join(words), verdict(answers), figures, numbers)


def _place(boundary: Boundary | None) -> str:
    return f"{boundary.lr:.2g} [{boundary.lower:.2g}, {boundary.upper:.2g}]" if boundary else "-"


def _strength(study: StudyResult, boundary: Boundary | None) -> float | None:
    """|Δ ln U| across the boundary over its median between other neighbouring learning rates."""
    if boundary is None:
        return None
    runs = [run for run in study.runs if run.regime in (CONVERGING, STATIONARY)]
    found = levels(runs, loss_of)
    usable = found.mean > 0
    lr, level = found.lr[usable], np.log(found.mean[usable])
    across = np.nonzero((lr[:-1] <= boundary.lr) & (lr[1:] > boundary.lr))[0]
    changes = np.abs(np.diff(level))
    others = np.delete(changes, across)
    if len(across) != 1 or not len(others) or np.median(others) == 0:
        return None
    # The states beside a jump may be mixtures of both branches: the jump is what lies between the neighbours of those.
    low, high = max(0, across[0] - 1), min(len(level) - 1, across[0] + 2)
    jump = max(float(changes[across[0]]), abs(float(level[high] - level[low])) / 2)
    return jump / float(np.median(others))


def uniform_state(study: StudyResult | None, setting: str, role: str) -> Claim:
    """Claim 8, at the largest learning rate whose runs ended in the uniform state.

    Differences are relative to the way from the smallest stationary learning rate to the uniform state. The verdict is
    that of the paper's graph, in whose units the claim was made; a shrunk Gaussian of fewer snapshots than weights
    takes any unevenness among the layers for missing directions, and its difference is said beside it.
    """
    figures = tuple(f"{setting}-{role}/{name}" for name in ("loss", "entropy", "paper_entropy"))
    runs = runs_in(study, UNIFORM)
    if study is None or not runs:
        return missing(8, setting, SAYS_8, "no run reached the uniform state", figures)
    last = max(run.lr for run in runs)
    top = [run for run in runs if run.lr == last]
    uniform = study.baselines
    if uniform is None or uniform.loss is None or uniform.paper_entropy is None:
        return missing(8, setting, SAYS_8, "no uniform baseline was measured", figures)
    u = _way_left(study, top, loss_of, uniform.loss)
    s = _way_left(study, top, paper_entropy_of, uniform.paper_entropy)
    ours = _way_left(study, top, entropy_of, uniform.entropy)
    return Claim(
        8, setting, SAYS_8,
        f"of the way from the smallest stationary lr to random points, at lr = {last:.2g} U has gone {_percent(*u)}, "
        f"S by the paper's graph {_percent(*s)}, S by the study's estimator {_percent(*ours)}",
        verdict([_within(*u), _within(*s)]), figures,
        {"lr": last, "loss_left": u[0], "paper_entropy_left": s[0], "entropy_left": ours[0]},
    )  # fmt: skip


def _way_left(
    study: StudyResult, top: list[RunResult], quantity: Quantity, uniform: float | None
) -> tuple[float, float]:
    """Share of the way from the coldest stationary state to the uniform one that the runs `top` lack, and its error."""
    start = levels(runs_in(study, STATIONARY) or runs_in(study, CONVERGING), quantity)
    values = [one.value for _, one in estimates(top, quantity)]
    if uniform is None or not len(start.lr) or not values or uniform == start.mean[0]:
        return math.nan, math.nan
    return mean_and_error([(uniform - value) / (uniform - float(start.mean[0])) for value in values])


def _percent(value: float, stderr: float) -> str:
    """What has been gone of a way of which the share `value` is left."""
    return f"{interval(100 * (1 - value), 100 * stderr)} %"


def _within(value: float, stderr: float) -> Answer:
    if math.isnan(value):
        return None
    if abs(value) <= NEAR:
        return True
    return False if above(abs(value), 0.0 if math.isnan(stderr) else stderr, NEAR) else None
