"""The claims of arXiv 2505.23489, shown with numbers: what is trained for them, at which scale, and the report."""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from projects.paper.claims import Claim as Claim, evaluate as evaluate
    from projects.paper.plan import Plan as Plan, make_plan as make_plan
    from projects.paper.report import PaperResult as PaperResult, write_paper_report as write_paper_report

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "claims": ["Claim", "evaluate"],
        "plan": ["Plan", "make_plan"],
        "report": ["PaperResult", "write_paper_report"],
    },
)
