"""The report on the paper's claims: one row a claim, its figures, and what is missing."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.report import PAPER, start_report
from analysis.results import number
from projects.paper.claims import VERDICTS, Claim

if TYPE_CHECKING:
    from analysis.report import Chart

#: Version of claims.json.
CLAIMS_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PaperResult:
    """What one run of the paper's programme found.

    Attributes
    ----------
    scale : ``laptop`` or ``full``.
    claims : by number, for each setting.
    exponents : a row for each study: name, runs, lr range of the fit, exponent and prefactor with errors here, and the
        published ones.
    subsets : a row for each number of training samples: exponent k of the gradient noise with its interval.
    toy : a row for each number that the sphere toy is known for: what, exact and measured.
    holes : what is missing and why, in words.
    minutes : that the training took, this time.
    """

    scale: str
    claims: tuple[Claim, ...]
    exponents: tuple[dict[str, Any], ...] = ()
    subsets: tuple[dict[str, Any], ...] = ()
    toy: tuple[dict[str, str], ...] = ()
    holes: tuple[str, ...] = ()
    minutes: float = 0.0
    schema_version: int = CLAIMS_SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The content of claims.json."""
        return {**asdict(self), "claims": [_finite(asdict(claim)) for claim in self.claims]}


def _finite(claim: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: None if value is None else number(float(value)) for name, value in claim["numbers"].items()}
    return {**claim, "numbers": numbers}


def counts(claims: Sequence[Claim]) -> str:
    """How many claims have which verdict, in words."""
    return ", ".join(
        f"{n} {verdict}" for verdict in VERDICTS if (n := sum(claim.verdict == verdict for claim in claims))
    )


def text_table(claims: Sequence[Claim]) -> str:
    """The claims as lines for a terminal."""
    return "\n".join(f"{c.number}  {c.setting:<17} {c.verdict:<14} {c.measured}" for c in claims)


def write_paper_report(result: PaperResult, charts: Mapping[str, Chart], folder: str | Path, title: str) -> list[Path]:
    """Write claims.json, claims.csv, paper.html and figures/*.png; returns their paths.

    Parameters
    ----------
    charts : figures by the names that the claims use, ``study/figure``; those that no claim names come last.
    """
    from analysis.report import png_names, to_html_parts, write_pngs

    # All that can fail comes before the earlier report goes.
    content = json.dumps(result.to_dict(), indent=1, allow_nan=False) + "\n"
    flat = {name.replace("/", "-"): chart for name, chart in charts.items()}
    library, fragments = to_html_parts(flat)
    page = _page(result, title, library, fragments, sorted(flat))
    names = ["claims.json", "claims.csv", "paper.html"]
    folder = start_report(folder, PAPER, [*names, *png_names(flat)])
    written = [folder / name for name in names]
    written[0].write_text(content, encoding="utf-8")
    with written[1].open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["number", "setting", "paper says", "measured", "verdict", "figures"])
        table.writerows(
            [c.number, c.setting, c.says, c.measured, c.verdict, " ".join(c.figures)] for c in result.claims
        )
    written[2].write_text(page, encoding="utf-8")
    written += write_pngs(flat, folder)
    return written


def _page(result: PaperResult, title: str, library: str, fragments: Mapping[str, str], names: Sequence[str]) -> str:
    from jinja2 import Environment

    placed: set[str] = set()
    sections = []
    for claim in result.claims:
        own = [name.replace("/", "-") for name in claim.figures]
        # A figure that two claims share is drawn once, at the first; the other names it.
        fresh = [name for name in own if name in fragments and name not in placed]
        placed.update(fresh)
        sections.append(
            (claim, [fragments[name] for name in fresh], [n for n in own if n in placed and n not in fresh])
        )
    rest = [fragments[name] for name in names if name not in placed]
    template = files("projects.paper").joinpath("templates/paper.html").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(template).render(
        title=title, result=result, summary=counts(result.claims), sections=sections, rest=rest,
        library=library.replace("</script", "<\\/script"),
    )  # fmt: skip
