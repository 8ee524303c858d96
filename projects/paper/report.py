"""The report on the paper's claims: one row a claim, its figures, and what is missing."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.report import PAPER, new_report
from analysis.results import PowerLaw, number
from projects.paper.claims import VERDICTS, Claim, SubsetRow
from projects.paper.plan import PublishedLaw

if TYPE_CHECKING:
    from analysis.report import Chart
    from projects.toy_sphere import Fact

#: Version of claims.json.
CLAIMS_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ExponentRow:
    """A study's power law beside the published one.

    Attributes
    ----------
    name : of the study.
    n_runs : that were analysed; None where none was.
    law : measured here; None where the temperatures do not allow one.
    published : None where nothing was published.
    """

    name: str
    n_runs: int | None
    law: PowerLaw | None
    published: PublishedLaw | None

    def to_dict(self) -> dict[str, Any]:
        """The row of claims.json."""
        law, published = self.law, self.published
        return {
            "name": self.name,
            "runs": "-" if self.n_runs is None else self.n_runs,
            "lr_range": f"{law.lr_min:.2g} to {law.lr_max:.2g}" if law else "-",
            "exponent": f"{law.exponent:.2f} ± {law.exponent_stderr:.2f}" if law else "-",
            "prefactor": f"{law.prefactor:.2g}" if law else "-",
            "published_exponent": f"{published.exponent:.2f}" if published else "-",
            "published_prefactor": f"{published.prefactor:.1e}" if published else "-",
        }


@dataclass(frozen=True)
class PaperResult:
    """What one run of the paper's programme found.

    Attributes
    ----------
    scale : ``laptop`` or ``full``.
    claims : by number, for each setting.
    exponents : power laws of the temperature, a row for each study.
    subsets : power laws of the gradient noise, a row for each number of training samples.
    toy : the numbers that the sphere toy is known for.
    missing : what could not be trained or analysed, and why, in words.
    minutes : that the training took, this time.
    """

    scale: str
    claims: tuple[Claim, ...]
    exponents: tuple[ExponentRow, ...] = ()
    subsets: tuple[SubsetRow, ...] = ()
    toy: tuple[Fact, ...] = ()
    missing: tuple[str, ...] = ()
    minutes: float = 0.0
    schema_version: int = CLAIMS_SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The content of claims.json."""
        return {
            "scale": self.scale,
            "claims": [_finite(asdict(claim)) for claim in self.claims],
            "exponents": [row.to_dict() for row in self.exponents],
            "subsets": [row.to_dict() for row in self.subsets],
            "toy": [fact.to_dict() for fact in self.toy],
            "holes": list(self.missing),
            "minutes": self.minutes,
            "schema_version": self.schema_version,
        }


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

    content = result.to_dict()
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    flat = {name.replace("/", "-"): chart for name, chart in charts.items()}
    library, fragments = to_html_parts(flat)
    page = _page(result, content, title, library, fragments, sorted(flat))
    names = ["claims.json", "claims.csv", "paper.html", *png_names(flat)]
    with new_report(folder, PAPER, names) as staged:
        (staged / "claims.json").write_text(text, encoding="utf-8")
        with (staged / "claims.csv").open("w", newline="", encoding="utf-8") as handle:
            table = csv.writer(handle)
            table.writerow(["number", "setting", "paper says", "measured", "verdict", "figures"])
            table.writerows(
                [c.number, c.setting, c.says, c.measured, c.verdict, " ".join(c.figures)] for c in result.claims
            )
        (staged / "paper.html").write_text(page, encoding="utf-8")
        write_pngs(flat, staged)
    return [Path(folder) / name for name in names]


def _page(
    result: PaperResult,
    content: Mapping[str, Any],
    title: str,
    library: str,
    fragments: Mapping[str, str],
    names: Sequence[str],
) -> str:
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
        title=title, result=content, summary=counts(result.claims), sections=sections, rest=rest,
        library=library.replace("</script", "<\\/script"),
    )  # fmt: skip
