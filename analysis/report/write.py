"""Results as JSON, CSV and one self-contained HTML page."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import astuple, fields
from importlib.resources import files
from pathlib import Path

from analysis.report.folder import ACCURACY, STUDY, start_report
from analysis.report.text import shown, summary
from analysis.results import OK, StudyResult, remedy
from analysis.testsystems import COLUMNS as COLUMNS_OF_ACCURACY, CalibrationRow, table_row

COLUMNS = (
    "run_id", "lr", "seed", "regime", "status", "loss", "loss_stderr", "entropy", "entropy_stderr", "temperature",
    "temperature_lower", "temperature_upper", "paper_temperature", "paper_ratio", "equipartition_temperature",
    "equipartition_spread", "late_temperature", "fluctuation_ratio", "free_energy", "n_eff", "tau", "burn_in", "n_used",
    "entropy_isotropic", "entropy_subspace", "entropy_shrinkage",
)  # fmt: skip
TEXT_COLUMNS = ("run_id", "regime", "status")


def write_report(result: StudyResult, folder: str | Path, title: str) -> list[Path]:
    """Write result.json, temperature.csv, report.html and figures/*.png; returns their paths.

    Files of an earlier report in the same folder are replaced.
    """
    from analysis.report.figures import course_figures, png_names, study_figures, to_html_parts, write_pngs

    # All that can fail comes before the earlier report goes.
    content = json.dumps(result.to_dict(), indent=1, allow_nan=False) + "\n"
    figures = {**study_figures(result), **course_figures(result)}
    library, fragments = to_html_parts(figures)
    page = _page(result, title, library, "".join(fragments.values()))
    names = ["result.json", "temperature.csv", "report.html"]
    folder = start_report(folder, STUDY, [*names, *png_names(figures)])
    written = [folder / name for name in names]
    written[0].write_text(content, encoding="utf-8")
    with written[1].open("w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, [*COLUMNS, "note"], extrasaction="ignore")
        table.writeheader()
        table.writerows(vars(run) for run in result.runs)
    written[2].write_text(page, encoding="utf-8")
    written += write_pngs(figures, folder)
    return written


def write_accuracy(rows: Sequence[CalibrationRow], folder: str | Path) -> list[Path]:
    """Write the accuracy table as accuracy.csv and accuracy.md; returns their paths."""
    names = ["accuracy.csv", "accuracy.md"]
    folder = start_report(folder, ACCURACY, names)
    written = [folder / name for name in names]
    with written[0].open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow([field.name for field in fields(CalibrationRow)])
        table.writerows(astuple(row) for row in rows)
    lines = [COLUMNS_OF_ACCURACY, ["---"] * len(COLUMNS_OF_ACCURACY), *(table_row(row) for row in rows)]
    written[1].write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    return written


def _page(result: StudyResult, title: str, library: str, fragment: str) -> str:
    from jinja2 import Environment

    template = files("analysis.report").joinpath("templates/report.html").read_text(encoding="utf-8")
    rows = [{name: shown(value) for name, value in vars(run).items()} for run in result.runs]
    return Environment(autoescape=True).from_string(template).render(
        title=title, result=result, summary=summary(result), checks=check_lines(result),
        library=library.replace("</script", "<\\/script"),
        notes_of_runs={run.run_id: run.note for run in result.runs if run.note},
        figures=fragment, columns=COLUMNS, text=TEXT_COLUMNS, rows=rows,
        statuses={run.status: remedy(run.status) for run in result.runs if remedy(run.status)},
    )  # fmt: skip


def check_lines(result: StudyResult) -> list[tuple[str, str]]:
    """The tests of the study in words: what was asked, and what the data answer."""
    found, lines = result.checks, branch_lines(result)
    if "identifiability" in found:
        known = found["identifiability"]
        answer = "yes" if known["status"] == OK else "no"
        lines.append((
            "Is the entropy identified?",
            f"{answer}: isotropic, shared-subspace (q = {known['subspace_dim']}) and shrunk entropies of "
            f"D = {known['dim']} differ by {_percent(known['disagreement'])} in their changes",
        ))  # fmt: skip
    if "convexity_p_value" in found:
        p = found["convexity_p_value"]
        word = "contradicted by the data" if p < 0.05 else "not contradicted"
        lines.append(("Is F minimised (U convex and rising in S)?", f"{word}, p = {p:.3f}"))
    if "leave_one_out" in found:
        left = found["leave_one_out"]
        lines.append((
            "At temperatures measured without it, does each state minimise F?",
            f"{left['n'] - left['n_violated']} of {left['n']} do within two standard errors",
        ))  # fmt: skip
    for name, label in (
        ("consistency", "∫ dU/T against S, by these temperatures"),
        ("consistency_equipartition", "∫ dU/T against S, by equipartition temperatures"),
    ):
        if found.get(name) is not None:
            lines.append((label, f"slope {found[name]:.3f} (1 is consistent)"))
    if "robust_exponent" in found:
        lines.append(("Exponent by Huber's robust regression", f"{found['robust_exponent']:.3f}"))
    if "segmented" in found:
        bend = found["segmented"]
        exponents = f"{bend['exponent_below']:.2f} below, {bend['exponent_above']:.2f} above"
        words = f"yes, at lr = {bend['lr_break']:.3g}: {exponents}" if bend["preferred"] else "no"
        lines.append(("Do two power laws fit better (BIC)?", words))
    if "seeds" in found:
        seeds = found["seeds"]
        lines.append((
            f"Exponent over {seeds['n_seeds']} seeds (cluster bootstrap)",
            f"{seeds['exponent']:.3f} ± {seeds['exponent_stderr']:.3f}",
        ))  # fmt: skip
    return lines


def branch_lines(result: StudyResult) -> list[tuple[str, str]]:
    """Where the branches change, and what uniformly random weights have."""
    branches, lines = result.checks.get("branches", {}), []
    for name in ("to_stationary", "to_uniform"):
        place = branches.get(name)
        # Where there is no stationary branch both are one.
        if place and not (name == "to_uniform" and place == branches.get("to_stationary")):
            lines.append((
                f"Where does {place['below']} give way to {place['above']}?",
                f"at lr = {place['lr']:.3g}, 95 % interval {place['lower']:.3g} to {place['upper']:.3g}",
            ))  # fmt: skip
    lines += [("Other changes of regime", sentence) for sentence in branches.get("beyond", [])]
    between = branches.get("stationary_range")
    if between:
        lines.append(("Stationary range, which all fits take", f"lr from {between[0]:.3g} to {between[1]:.3g}"))
    level = result.baselines
    if level.get("loss") is not None and level.get("entropy") is not None:
        graph = f", {level['paper_entropy']:.5g} by the paper's graph" if level.get("paper_entropy") is not None else ""
        lines.append(("Uniformly random weights have", f"U = {level['loss']:.4g}, S = {level['entropy']:.5g}{graph}"))
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
