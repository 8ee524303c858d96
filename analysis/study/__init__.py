"""A study, from the snapshots of its runs to its result, and the executors that can work on it.

Names load when they are first used: a sweep needs a cluster and none of the statistics.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from analysis.study.cluster import (
        Cluster as Cluster,
        open_cluster as open_cluster,
        tell as tell,
        uri_for_all as uri_for_all,
    )
    from analysis.study.run_input import RunInput as RunInput
    from analysis.study.single import analyze_run as analyze_run
    from analysis.study.workflow import StudyConfig as StudyConfig, analyze as analyze

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "cluster": ["Cluster", "open_cluster", "tell", "uri_for_all"],
        "run_input": ["RunInput"],
        "single": ["analyze_run"],
        "workflow": ["StudyConfig", "analyze"],
    },
)
