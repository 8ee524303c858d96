"""What one run alone can say: everything but dU/dS, which needs others to compare it with."""

from __future__ import annotations

from analysis.results import RunResult
from analysis.study.measurement import measure
from analysis.study.plan import plan_of
from analysis.study.run_input import RunInput
from analysis.study.workflow import StudyConfig, examined_run


def analyze_run(run: RunInput, config: StudyConfig | None = None) -> RunResult:
    """Loss, entropy, independent snapshots and the temperatures that need no entropy, of one run.

    Parameters
    ----------
    run : as `analysis.from_tracking` and `analysis.from_folder` give it.
    config : how to analyse; by default `StudyConfig()`.

    Returns
    -------
    RunResult
        Without a temperature dU/dS. A run that cannot be read says so in its status and note.

    Examples
    --------
    >>> from analysis import analyze_run, from_folder
    >>> found = analyze_run(from_folder("runs")[0])
    >>> found.status, found.temperature
    ('ok', None)
    """
    config = StudyConfig() if config is None else config
    found = examined_run(run, 1)
    if found.shape is None:
        return found.result
    return measure(run, found, plan_of([found], found.shape, config.entropy, config.jackknife_blocks)).result
