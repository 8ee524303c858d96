"""A study, from the snapshots of its runs to its result, without input or output of its own."""

from analysis.study.run_input import RunInput
from analysis.study.single import analyze_run
from analysis.study.workflow import StudyConfig, analyze

__all__ = ["RunInput", "StudyConfig", "analyze", "analyze_run"]
