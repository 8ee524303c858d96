"""What a recorder says at its end about a count of steps that does not fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from mlflow_thermo.buffering import SeriesBuffer

logger = logging.getLogger(__name__)


def say_misfits(where: str, series: Sequence[SeriesBuffer], steps: int, total: int | None) -> None:
    """Log what `misfits` finds in the recording at `where`, a run or a folder."""
    for line in misfits(series, steps, total):
        logger.warning("%s: %s", where, line)


def misfits(series: Sequence[SeriesBuffer], steps: int, total: int | None) -> Iterator[str]:
    """One sentence for each thing that the calls of `step` do not agree with.

    Parameters
    ----------
    series : sequence of SeriesBuffer
        The series, all that was recorded handed over and written.
    steps : int
        How often `step` was called.
    total : int or None
        The length that was announced.
    """
    if total is not None and steps > total:
        yield (
            f"step was called {steps} times and total_steps is {total}: nothing after step {total} was recorded; give "
            "the number of updates of the optimizer, and call step once for each"
        )
    missing = [one for one in series if one.next_step >= 0]
    if missing:
        yield (
            f"the training ended at step {steps} of {max(one.schedule.steps[-1] for one in series)}: "
            f"{', '.join(map(_state, missing))}; the analysis leaves such a run out as incomplete, until it is told by "
            "end_here() that the training was to end there (afterwards too: with resume=True, end_here() and close())"
        )
    still, looked = max(((one.standstill.steps, one.standstill.of) for one in series), default=(0, 0))
    if still:
        yield (
            f"{still} of {looked} steps that were looked at changed no weight: call step once for each update of the "
            "optimizer; micro-batches whose gradients add up, and updates that a GradScaler skips, are no steps"
        )


def _state(one: SeriesBuffer) -> str:
    if not one.cursor:
        return f"{one.schedule.name} would have begun at step {one.schedule.steps[0]}"
    return f"{one.schedule.name} has {one.cursor} of {len(one.schedule.steps)} snapshots"
