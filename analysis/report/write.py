"""Results as JSON, CSV and one self-contained HTML page."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import astuple, fields
from importlib.resources import files
from pathlib import Path

from analysis.report.checks import check_lines
from analysis.report.folder import ACCURACY, STUDY, new_report
from analysis.report.text import cell, shown, summary
from analysis.results import RUN_COLUMNS, StudyResult, remedy, run_row
from analysis.testsystems import COLUMNS as COLUMNS_OF_ACCURACY, CalibrationRow, table_row

TEXT_COLUMNS = ("run_id", "regime", "status")


def write_report(result: StudyResult, folder: str | Path, title: str) -> list[Path]:
    """Write result.json, temperature.csv, report.html and figures/*.png; returns their paths.

    Files of an earlier report in the same folder are replaced.

    Raises
    ------
    ThermoError
        The folder cannot be written, or holds files of these names that no earlier report wrote.
    """
    from analysis.report.figures import course_figures, png_names, study_figures, to_html_parts, write_pngs

    content = json.dumps(result.to_dict(), indent=1, allow_nan=False) + "\n"
    figures = {**study_figures(result), **course_figures(result)}
    library, fragments = to_html_parts(figures)
    page = _page(result, title, library, "".join(fragments.values()))
    names = ["result.json", "temperature.csv", "report.html"]
    names += png_names(figures)
    with new_report(folder, STUDY, names) as staged:
        (staged / "result.json").write_text(content, encoding="utf-8")
        with (staged / "temperature.csv").open("w", newline="", encoding="utf-8") as handle:
            table = csv.DictWriter(handle, [*RUN_COLUMNS, "note"], extrasaction="ignore")
            table.writeheader()
            table.writerows({name: cell(value) for name, value in run_row(run).items()} for run in result.runs)
        (staged / "report.html").write_text(page, encoding="utf-8")
        write_pngs(figures, staged)
    return [Path(folder) / name for name in names]


def write_accuracy(rows: Sequence[CalibrationRow], folder: str | Path) -> list[Path]:
    """Write the accuracy table as accuracy.csv and accuracy.md; returns their paths."""
    names = ["accuracy.csv", "accuracy.md"]
    with new_report(folder, ACCURACY, names) as staged:
        with (staged / names[0]).open("w", newline="", encoding="utf-8") as handle:
            table = csv.writer(handle)
            table.writerow([field.name for field in fields(CalibrationRow)])
            table.writerows([cell(value) for value in astuple(row)] for row in rows)
        lines = [COLUMNS_OF_ACCURACY, ["---"] * len(COLUMNS_OF_ACCURACY), *(table_row(row) for row in rows)]
        (staged / names[1]).write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    return [Path(folder) / name for name in names]


def _page(result: StudyResult, title: str, library: str, fragment: str) -> str:
    from jinja2 import Environment

    template = files("analysis.report").joinpath("templates/report.html").read_text(encoding="utf-8")
    rows = [{name: shown(value) for name, value in run_row(run).items()} for run in result.runs]
    return Environment(autoescape=True).from_string(template).render(
        title=title, result=result, summary=summary(result), checks=check_lines(result),
        library=library.replace("</script", "<\\/script"),
        notes_of_runs={run.run_id: run.note for run in result.runs if run.note},
        figures=fragment, columns=RUN_COLUMNS, text=TEXT_COLUMNS, rows=rows,
        statuses={run.status: remedy(run.status) for run in result.runs if remedy(run.status)},
    )  # fmt: skip
