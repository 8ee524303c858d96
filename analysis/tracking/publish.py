"""Results to MLflow: the only module of the analysis that writes there."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunTag

from analysis.report import ACCURACY, STUDY, alone, copy_report, report_files
from analysis.results import RunResult, StudyResult, run_row
from analysis.tracking.errors import server_errors
from analysis.tracking.experiment import name_run, show_in_experiment
from analysis.tracking.finding import search_runs
from analysis.tracking.turns import in_turn
from mlflow_thermo import schema
from mlflow_thermo.disk import disk_errors
from mlflow_thermo.errors import ThermoError

if TYPE_CHECKING:
    from analysis.testsystems import CalibrationRow

#: Further fields of a run that become metrics under their own names.
_MORE = (
    "loss_stderr", "entropy_stderr", "temperature_lower", "temperature_upper", "tau", "paper_temperature",
    "paper_ratio", "equipartition_temperature", "equipartition_spread", "late_temperature", "fluctuation_ratio",
    "noise_temperature", "virial_temperature", "virial_spread",
)  # fmt: skip


#: Metrics and tags of a run.
Known = tuple[Mapping[str, float], Mapping[str, str]]


@server_errors()
def publish_study(
    result: StudyResult,
    folder: str | Path,
    *,
    experiment_id: str,
    scope: str,
    run_id: str | None = None,
    tracking_uri: str | None = None,
    known: Mapping[str, Known] | None = None,
    digest: str | None = None,
) -> str:
    """Put each run's numbers on the run, and the report on one analysis run; returns the latter's id.

    An analysis of the same `scope` replaces the one before: its run is reused, or, when `mlflow run` has already
    opened `run_id` for this analysis, deleted (which MLflow can restore) once the new one is complete. The analysis
    run ends FINISHED, or FAILED where it could not be completed; `run_id` is ended by whoever opened it.

    Parameters
    ----------
    folder : of the report.
    experiment_id, scope : of the runs, `analysis.results.Origin`.
    run_id : run to keep the report on, where one is open already.
    known : metrics and tags of the runs as a search returned them: what is there already is not sent again, and a
        study that has not changed costs no request for its runs.
    digest : identifies the content of the report; an analysis run that carries it has the report already.
    """
    client = MlflowClient(tracking_uri)
    with in_turn(f"{client.tracking_uri} {experiment_id} {scope}") as waited:
        # Whoever was before may have written what is known.
        known = None if waited else known
        return _publish_study(client, result, folder, experiment_id, scope, run_id, known, digest)


def _publish_study(
    client: MlflowClient,
    result: StudyResult,
    folder: str | Path,
    experiment_id: str,
    scope: str,
    run_id: str | None,
    known: Mapping[str, Known] | None,
    digest: str | None,
) -> str:
    for item in result.runs:
        _publish_run(client, item, (known or {}).get(item.run_id))
    earlier = _analysis_runs(client, experiment_id, scope)
    if run_id is None:
        newest = earlier[0] if earlier else None
        # One that did not finish may have half a report with the digest of an earlier one.
        if newest and digest and newest.info.status == "FINISHED" and newest.data.tags.get(schema.TAG_DIGEST) == digest:
            return str(newest.info.run_id)
        reused = newest.info.run_id if newest else None
        own = str(reused or client.create_run(experiment_id, run_name=f"analysis of {scope}").info.run_id)
    else:
        own, reused = run_id, None
    with _ended(client, own) if run_id is None else nullcontext():
        if reused:
            # Until this analysis has completed it.
            client.update_run(reused, status="RUNNING")
        client.set_tag(own, schema.TAG_KIND, schema.KIND_ANALYSIS)
        name_run(client, own, f"analysis of {scope}")
        upload_report(client, own, folder, STUDY)
        _log(client, own, _study_values(result), client.get_run(own).data.metrics)
        # Scope and digest mark a complete analysis, so they come last.
        client.set_tag(own, schema.TAG_DIGEST, digest or "")
        client.set_tag(own, schema.TAG_SCOPE, scope)
        for old in earlier:
            if old.info.run_id != own:
                client.delete_run(old.info.run_id)
        show_in_experiment(client, experiment_id, own, result)
    return own


@server_errors()
def publish_run(result: RunResult, tracking_uri: str | None = None) -> None:
    """Put the numbers of one run on it, as an analysis of a whole study does."""
    client = MlflowClient(tracking_uri)
    data = client.get_run(result.run_id).data
    _publish_run(client, result, (data.metrics, data.tags))


@contextmanager
def _ended(client: MlflowClient, run_id: str) -> Iterator[None]:
    """End the run when the block ends, FINISHED or FAILED: otherwise it would stay RUNNING for ever."""
    try:
        yield
    except BaseException:
        # The original error is raised even where the server cannot be reached any more.
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)


@server_errors()
def publish_result(
    result: StudyResult,
    folder: str | Path | None = None,
    *,
    run_id: str | None = None,
    known: Mapping[str, Known] | None = None,
    digest: str | None = None,
) -> str:
    """`publish_study` to where the runs of the study came from; returns the id of the analysis run.

    Parameters
    ----------
    folder : of the report; one is made where none is given.
    run_id, known, digest : as in `publish_study`. Without `known` the server is asked once for all runs: others may
        have published since these were read.

    Raises
    ------
    ThermoError
        The runs did not come from a tracking server, or it does not answer.
    """
    origin = result.origin
    if origin is None or origin.experiment_id is None:
        raise ThermoError(
            "the runs came from a folder: results can be published where the runs came from a tracking server, "
            "as analysis.from_tracking gives them"
        )
    if known is None:
        found = search_runs(MlflowClient(origin.tracking_uri), origin.experiment_id, "")
        known = {run.info.run_id: (run.data.metrics, run.data.tags) for run in found}
    with TemporaryDirectory(prefix="thermo-report-") as temporary:
        # A copy: another analysis may put its own report into the folder before this one has arrived on the server.
        if folder is None or not copy_report(result, Path(folder), Path(temporary)):
            result.write(temporary)
        return publish_study(
            result,
            temporary,
            experiment_id=origin.experiment_id,
            scope=origin.scope,
            run_id=run_id,
            tracking_uri=origin.tracking_uri,
            known=known,
            digest=digest,
        )


def upload_report(client: MlflowClient, run_id: str, folder: str | Path, kind: str, into: str = "") -> None:
    """Put the files of a report in `folder`, and nothing else that is there, on a run under the folder `into`."""
    with disk_errors(f"the artifacts of run {run_id}", "the report"), alone(Path(folder)):
        _upload(client, run_id, folder, kind, into)


def _upload(client: MlflowClient, run_id: str, folder: str | Path, kind: str, into: str) -> None:
    for path in report_files(folder, kind):
        place = (Path(into) / path.relative_to(folder).parent).as_posix()
        client.log_artifact(run_id, str(path), None if place == "." else place)


def _study_values(result: StudyResult) -> dict[str, float | None]:
    """Metrics of the analysis run; None where this analysis has no such number."""
    law, checks = result.power_law, result.checks
    known = checks.identifiability
    values = {
        "power_law_exponent": None if law is None else law.exponent,
        "power_law_exponent_stderr": None if law is None else law.exponent_stderr,
        "power_law_prefactor": None if law is None else law.prefactor,
        "convexity_p_value": checks.convexity_p_value,
        "consistency": checks.consistency,
        "robust_exponent": checks.robust_exponent,
        "disagreement": None if known is None else known.disagreement,
    }
    return {schema.PREFIX_RESULT + name: value for name, value in values.items()}


@server_errors()
def publish_accuracy(
    rows: Sequence[CalibrationRow],
    folder: str | Path,
    *,
    experiment: str = "",
    run_id: str | None = None,
    tracking_uri: str | None = None,
) -> str:
    """Put the accuracy table on a run, with each row's median error as a metric; returns its id.

    Parameters
    ----------
    experiment : in which a run is opened, which ends FINISHED, or FAILED where it could not be completed.
    run_id : run to use instead, where one is open already; it is ended by whoever opened it.
    """
    client = MlflowClient(tracking_uri)
    own = run_id
    if own is None:
        known = client.get_experiment_by_name(experiment)
        experiment_id = known.experiment_id if known else client.create_experiment(experiment)
        own = client.create_run(experiment_id, run_name="calibration").info.run_id
    values = {
        # MLflow allows letters, digits and a few signs in the name of a metric.
        f"calibration/{row.system}/{row.dim}/{row.estimator}".replace(",", ""): row.median_error
        for row in rows
    }
    with _ended(client, own) if run_id is None else nullcontext():
        client.set_tag(own, schema.TAG_KIND, schema.KIND_CALIBRATION)
        name_run(client, own, "calibration")
        upload_report(client, own, folder, ACCURACY)
        _log(client, own, values, {})
    return own


def _analysis_runs(client: MlflowClient, experiment_id: str, scope: str) -> list[Run]:
    runs = client.search_runs([experiment_id], f"tags.`{schema.TAG_KIND}` = '{schema.KIND_ANALYSIS}'", max_results=1000)
    # Compared here: a scope may hold quotes, which MLflow's filter cannot.
    return [run for run in runs if run.data.tags.get(schema.TAG_SCOPE) == scope]


def _publish_run(client: MlflowClient, item: RunResult, known: Known | None) -> None:
    if known is None:
        data = client.get_run(item.run_id).data
        known = data.metrics, data.tags
    row = run_row(item)
    values = {
        schema.METRIC_LR: item.lr,
        schema.METRIC_LOG10_LR: _log10(item.lr),
        schema.METRIC_LOSS: row["loss"],
        schema.METRIC_ENTROPY: row["entropy"],
        schema.METRIC_TEMPERATURE: row["temperature"],
        schema.METRIC_LOG10_TEMPERATURE: _log10(row["temperature"]),
        schema.METRIC_FREE_ENERGY: item.free_energy,
        schema.METRIC_N_EFF: item.sampling.n_eff,
        **{schema.PREFIX_RESULT + name: row[name] for name in _MORE},
    }
    tags = {schema.TAG_STATUS: item.status, schema.TAG_REGIME: item.regime}
    fresh = {key: value for key, value in tags.items() if value and known[1].get(key) != value}
    _log(client, item.run_id, values, known[0], fresh)


def _log10(value: float | None) -> float | None:
    return math.log10(value) if value is not None and value > 0 else None


def _log(
    client: MlflowClient,
    run_id: str,
    values: Mapping[str, float | None],
    known: Mapping[str, float],
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log the metrics that changed: an unchanged re-analysis leaves no second point in a metric's history.

    A number that an earlier analysis gave and this one does not becomes NaN, since a metric cannot be deleted.
    """
    now = time.time_ns() // 1_000_000
    fresh = []
    for key, value in values.items():
        if value is not None and math.isfinite(value):
            if known.get(key) != value:
                fresh.append(Metric(key, value, now, 0))
        elif math.isfinite(known.get(key, math.nan)):
            fresh.append(Metric(key, math.nan, now, 0))
    named = [RunTag(key, value) for key, value in (tags or {}).items()]
    if fresh or named:
        client.log_batch(run_id, metrics=fresh, tags=named)
