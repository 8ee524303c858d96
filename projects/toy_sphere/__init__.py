"""The sphere toy: SGD with batch size 1 in three dimensions, all learning rates in one program."""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from projects.toy_sphere.facts import Fact as Fact, toy_facts as toy_facts
    from projects.toy_sphere.figures import toy_figures as toy_figures
    from projects.toy_sphere.measurement import CHAINS as CHAINS, STEPS as STEPS, run_toys as run_toys
    from projects.toy_sphere.report import write_toy_report as write_toy_report

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "facts": ["Fact", "toy_facts"],
        "figures": ["toy_figures"],
        "measurement": ["CHAINS", "STEPS", "run_toys"],
        "report": ["write_toy_report"],
    },
)
