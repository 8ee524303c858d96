"""What the advice about a learning rate is worth: each one of a study left out, foretold, and compared."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from analysis import analyze, from_tracking
from analysis.results import InsufficientData, RunResult, StudyResult
from analysis.study import predicted_loss, steps_needed
from benchmarks.study import mlflow_run
from benchmarks.table import Table
from mlflow_thermo.schema import STATIONARY

#: Studies with networks, batches and initial points of their own.
STUDIES = {
    "the default one": {},
    "another initial point": {"seeds": "2", "init_seed": "1"},
    "half the width": {"width": "5", "seeds": "3"},
    "batches of 64": {"batch_size": "64", "seeds": "4"},
}
CHAINS = 16


def left_out(result: StudyResult, run: RunResult) -> tuple[bool, float] | None:
    """Whether the loss of a run lies within the interval that the others give, and foretold over needed steps.

    None at the ends of the curve, beyond which nothing is foretold.
    """
    rest = replace(result, runs=[one for one in result.runs if one is not run])
    assert run.loss is not None
    try:
        loss = predicted_loss(rest, run.lr)
    except InsufficientData:
        return None
    assert loss.lower is not None
    assert loss.upper is not None
    own = run.sampling
    assert own.n_eff is not None
    assert own.tau is not None
    assert own.spacing is not None
    foretold = steps_needed(rest, run.lr, own.n_eff, CHAINS).value
    return loss.lower <= run.loss.value <= loss.upper, foretold / (own.n_eff / CHAINS * own.tau * own.spacing)


def main(quick: bool) -> None:
    """Write advice.md and advice.json."""
    table = Table(
        "advice",
        "What the advice is worth",
        "Sweeps of nine learning rates of the preset `digits`, and of variants of it. Each learning rate between the "
        "ends is left out in turn; the loss there, and the steps that its independent snapshots take, are foretold "
        "from the others as `mlflow-thermo advise` does it, and compared with what the run of that learning rate gave.",
        ("study", "left out", "loss within its 95 % interval", "foretold over needed steps, least", "most"),
        ("torch", "mlflow", "numpy"),
    )
    inside: list[bool] = []
    with tempfile.TemporaryDirectory() as temporary:
        uri = f"sqlite:///{Path(temporary)}/mlflow.db"
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "OMP_NUM_THREADS": "1"}
        for name, options in list(STUDIES.items())[: 1 if quick else None]:
            given = [part for key, value in options.items() for part in ("-P", f"{key}={value}")]
            mlflow_run(environment, "-e", "sweep", "--experiment-name", name, *given)
            result = analyze(from_tracking(name, tracking_uri=uri))
            stationary = [run for run in result.runs if run.regime == STATIONARY]
            found = [one for run in stationary if (one := left_out(result, run)) is not None]
            ratios = [ratio for _, ratio in found]
            inside += [within for within, _ in found]
            table.add(
                name, len(found), sum(within for within, _ in found), round(min(ratios), 2), round(max(ratios), 2)
            )
    table.notes.append(f"- {sum(inside)} of {len(inside)} losses lie within their intervals.")
    if not quick:
        table.write()
