"""The toy's report: tables, facts and figures in a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.report import TOY, new_report, png_names, write_pngs
from projects.toy_sphere.decay import DecayStudy
from projects.toy_sphere.facts import Fact
from projects.toy_sphere.study import ToyStudy

if TYPE_CHECKING:
    from analysis.report import Chart


def write_toy_report(
    studies: Sequence[ToyStudy],
    decays: Sequence[DecayStudy],
    facts: Sequence[Fact],
    charts: Mapping[str, Chart],
    out: Path,
) -> None:
    """Write toy.csv, decay.csv, toy.json and figures/*.png into `out`."""
    names = ["toy.csv", "decay.csv", "toy.json"]
    rows = [row for study in studies for row in study.rows()]
    known = {name: value for fact in facts for name, value in fact.numbers().items()}
    content = {"facts": known, "toy": rows}
    with new_report(out, TOY, [*names, *png_names(charts)]) as staged:
        write_pngs(charts, staged)
        _csv(staged / names[0], rows)
        _csv(staged / names[1], [row for study in decays for row in study.rows()])
        (staged / names[2]).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
