"""A study as figures."""

from analysis.report.figures.course import course_figures
from analysis.report.figures.study import study_figures
from analysis.report.figures.style import png_names, to_html_parts, to_png, write_pngs

__all__ = [
    "write_pngs",
]  # fmt: skip

__all__ = ["course_figures", "study_figures", "to_html_parts", "to_png", "write_pngs"]
