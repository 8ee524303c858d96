"""A study as figures."""

from analysis.report.figures.course import course_figures
from analysis.report.figures.html import to_html_parts
from analysis.report.figures.run import run_figure
from analysis.report.figures.study import study_figures
from analysis.report.figures.style import (
    BELOW,
    HEIGHT,
    WIDTH,
    Chart,
    layered,
    log_scale,
    lr_axis,
    png_names,
    to_png,
    write_pngs,
)

__all__ = [
    "BELOW",
    "HEIGHT",
    "WIDTH",
    "Chart",
    "course_figures",
    "layered",
    "log_scale",
    "lr_axis",
    "png_names",
    "run_figure",
    "study_figures",
    "to_html_parts",
    "to_png",
    "write_pngs",
]
