"""A study, from the snapshots of its runs to its result, and the executors that can work on it.

Names load when they are first used: a sweep needs a cluster and none of the statistics.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from analysis.study.advice import (
        Advice as Advice,
        advise as advise,
        predicted_loss as predicted_loss,
        steps_needed as steps_needed,
    )
    from analysis.study.cluster import (
        Cluster as Cluster,
        open_cluster as open_cluster,
        tell as tell,
        uri_for_all as uri_for_all,
    )
    from analysis.study.complaints import Complaint as Complaint, complaints as complaints
    from analysis.study.run_input import RunInput as RunInput
    from analysis.study.single import analyze_run as analyze_run
    from analysis.study.workflow import StudyConfig as StudyConfig, analyze as analyze

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "advice": ["Advice", "advise", "predicted_loss", "steps_needed"],
        "cluster": ["Cluster", "open_cluster", "tell", "uri_for_all"],
        "complaints": ["Complaint", "complaints"],
        "run_input": ["RunInput"],
        "single": ["analyze_run"],
        "workflow": ["StudyConfig", "analyze"],
    },
)
