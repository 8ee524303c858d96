"""Results as figures: the only importer of the plotting library."""

from analysis.figures.study import study_figures
from analysis.figures.style import to_html_parts, to_png

__all__ = ["study_figures", "to_html_parts", "to_png"]
