"""Results as a page, tables, figures and words.

Names load when they are first used: words and folders need no plotting library.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from analysis.report.cache import ReportCache as ReportCache, copy_report as copy_report, study_key as study_key
    from analysis.report.figures import (
        BELOW as BELOW,
        HEIGHT as HEIGHT,
        WIDTH as WIDTH,
        Chart as Chart,
        course_figures as course_figures,
        layered as layered,
        log_scale as log_scale,
        lr_axis as lr_axis,
        png_names as png_names,
        run_figure as run_figure,
        study_figures as study_figures,
        to_html_parts as to_html_parts,
        to_png as to_png,
        write_pngs as write_pngs,
    )
    from analysis.report.folder import (
        ACCURACY as ACCURACY,
        PAPER as PAPER,
        STUDY as STUDY,
        TOY as TOY,
        alone as alone,
        new_report as new_report,
        report_files as report_files,
        require_folder as require_folder,
    )
    from analysis.report.notebook import figure_named as figure_named, notebook_html as notebook_html
    from analysis.report.text import summary as summary, text_table as text_table
    from analysis.report.write import write_accuracy as write_accuracy, write_report as write_report

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "cache": ["ReportCache", "copy_report", "study_key"],
        "figures": [
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
        ],
        "folder": ["ACCURACY", "PAPER", "STUDY", "TOY", "alone", "new_report", "report_files", "require_folder"],
        "notebook": ["figure_named", "notebook_html"],
        "text": ["summary", "text_table"],
        "write": ["write_accuracy", "write_report"],
    },
)
