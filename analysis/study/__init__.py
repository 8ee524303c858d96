"""A study, from the snapshots of its runs to its result: pure, no input or output of its own."""

from analysis.study.workflow import StudyConfig, analyze

__all__ = ["StudyConfig", "analyze"]
