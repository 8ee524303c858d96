"""Runs that are the same training recorded again: together they are one draw, whatever number of copies there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.results import DUPLICATE_RUN
from analysis.study.examination import Examined
from analysis.study.mixing import HOW_LONG, WHERE, plain_value, settings_of
from analysis.trajectory import Trajectory

#: Steps that two recordings must have in common before equal losses there tell that they are of one training.
_COMMON = 8
#: Not the same in two recordings of one training: lengths, the machine, and a baseline, which the machine rounds.
_FREE = HOW_LONG | WHERE | {"uniform_loss", "uniform_loss_std"}
#: Runs that a note names.
_NAMED = 5


def without_repeats(examined: Sequence[Examined]) -> tuple[list[Examined], list[str]]:
    """Leave all but the longest recording of each training out.

    Counted as independent, copies would make every error smaller than it is. Two runs of one learning rate are the same
    training if they hold the same files of snapshots, if they logged a seed and all the same parameters (those of the
    machine and of the length aside), or if their losses are the same at common steps.

    Returns
    -------
    list of Examined
        All runs in their order, those left out without snapshots and with the status ``duplicate-run``.
    list of str
        A note, where runs are left out.
    """
    found = list(examined)
    shapes = {i: e.shape for i, e in enumerate(examined) if e.shape is not None}
    kept: dict[float, list[Trajectory]] = {}
    names: list[str] = []
    n_repeats = 0
    for i, shape in sorted(shapes.items(), key=lambda item: (-int(item[1].steps[-1]), -len(item[1]), item[0])):
        same_lr = kept.setdefault(examined[i].result.lr, [])
        first = next((one for one in same_lr if same_training(shape, one)), None)
        if first is None:
            same_lr.append(shape)
            continue
        n_repeats += 1
        names += [first.run_id] if first.run_id not in names else []
        note = f"run {shape.run_id} is the training of run {first.run_id} recorded again, which counts once"
        base = examined[i].result
        found[i] = Examined(replace(base, status=DUPLICATE_RUN, regime="", note=note, hops=False))
    if not n_repeats:
        return found, []
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    out = f"{n_repeats} of {len(examined)} runs {'is' if n_repeats == 1 else 'are'} left out as the training of another"
    return found, [f"{out} recorded again, which counts once; kept {'is' if len(names) == 1 else 'are'} {shown}"]


def same_training(a: Trajectory, b: Trajectory) -> bool:
    """Whether two runs of one learning rate are recordings of one training; from their indexes and parameters alone."""
    if a.digest and a.digest == b.digest:
        return True
    declared = _declared(a)
    return (declared is not None and declared == _declared(b)) or _same_losses(a, b)


def _declared(run: Trajectory) -> dict[str, object] | None:
    """What fixes a training, by its own word; None for one that does not name its seed."""
    if run.params.get("seed") in (None, "", "None"):
        return None
    given = {name: plain_value(text) for name, text in settings_of(run).items() if name not in _FREE}
    return {**given, "n_weights": run.n_weights, "protocol": run.protocol}


def _same_losses(a: Trajectory, b: Trajectory) -> bool:
    if a.snapshot_loss is None or b.snapshot_loss is None:
        return False
    _, i, j = np.intersect1d(a.steps, b.steps, assume_unique=True, return_indices=True)
    ours, theirs = a.snapshot_loss[0, i], b.snapshot_loss[0, j]
    # Losses that do not change, as at an optimum, are the same in different runs too.
    return len(i) >= _COMMON and bool((ours == theirs).all()) and len(np.unique(ours)) >= _COMMON
