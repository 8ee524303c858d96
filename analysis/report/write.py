"""Results as JSON, CSV and one self-contained HTML page."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from analysis.report.folder import ACCURACY, STUDY, new_report
from analysis.report.page import page
from analysis.report.text import cell
from analysis.results import RUN_COLUMNS, StudyResult, run_row
from analysis.testsystems import COLUMNS as COLUMNS_OF_ACCURACY, CalibrationRow, table_row


def write_report(result: StudyResult, folder: str | Path, title: str) -> list[Path]:
    """Write result.json, temperature.csv, report.html and figures/*.png; returns their paths.

    Files of an earlier report in the same folder are replaced.

    Raises
    ------
    ThermoError
        The folder cannot be written, or holds files of these names that no earlier report wrote.
    """
    from analysis.report.figures import course_figures, png_names, study_figures, write_pngs

    content = json.dumps(result.to_dict(), indent=1, allow_nan=False) + "\n"
    figures = {**study_figures(result), **course_figures(result)}
    html = page(result, title, figures)
    names = ["result.json", "temperature.csv", "report.html"]
    names += png_names(figures)
    with new_report(folder, STUDY, names) as staged:
        (staged / "result.json").write_text(content, encoding="utf-8")
        with (staged / "temperature.csv").open("w", newline="", encoding="utf-8") as handle:
            table = csv.DictWriter(handle, [*RUN_COLUMNS, "note"], extrasaction="ignore")
            table.writeheader()
            table.writerows({name: cell(value) for name, value in run_row(run).items()} for run in result.runs)
        (staged / "report.html").write_text(html, encoding="utf-8")
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
