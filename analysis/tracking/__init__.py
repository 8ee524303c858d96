"""Runs from a tracking server or a folder, and results back to the server: the only package that uses MLflow."""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from analysis.tracking.download import cache_folder as cache_folder
    from analysis.tracking.errors import (
        ServerError as ServerError,
        SourceError as SourceError,
        server_errors as server_errors,
    )
    from analysis.tracking.experiment import name_run as name_run, prepare_experiment as prepare_experiment
    from analysis.tracking.finding import (
        default_uri as default_uri,
        experiment_of as experiment_of,
        find_experiment as find_experiment,
        search_runs as search_runs,
    )
    from analysis.tracking.folder import from_folder as from_folder
    from analysis.tracking.heartbeat import (
        Orphan as Orphan,
        close_orphan as close_orphan,
        close_orphans as close_orphans,
        orphans as orphans,
        orphans_of as orphans_of,
    )
    from analysis.tracking.publish import (
        publish_accuracy as publish_accuracy,
        publish_result as publish_result,
        publish_run as publish_run,
        publish_study as publish_study,
        upload_report as upload_report,
    )
    from analysis.tracking.quick import quick_experiment_names as quick_experiment_names
    from analysis.tracking.reaching import require_store as require_store
    from analysis.tracking.records import Other as Other, RunRecord as RunRecord, StudyRuns as StudyRuns
    from analysis.tracking.server import from_tracking as from_tracking
    from analysis.tracking.watching import Look as Look, look_at as look_at, watch as watch

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "publish": ["publish_accuracy", "publish_result", "publish_run", "publish_study", "upload_report"],
        "download": ["cache_folder"],
        "errors": ["ServerError", "SourceError", "server_errors"],
        "experiment": ["name_run", "prepare_experiment"],
        "finding": ["default_uri", "experiment_of", "find_experiment", "search_runs"],
        "folder": ["from_folder"],
        "heartbeat": ["Orphan", "close_orphan", "close_orphans", "orphans", "orphans_of"],
        "quick": ["quick_experiment_names"],
        "reaching": ["require_store"],
        "records": ["Other", "RunRecord", "StudyRuns"],
        "server": ["from_tracking"],
        "watching": ["Look", "look_at", "watch"],
    },
)
