"""The claims of arXiv 2505.23489, each tested on studies that were analysed: pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.results import StudyResult
from projects.paper.claims.branching import jumps, uniform_state
from projects.paper.claims.claim import FAILS, HOLDS, UNCLEAR, VERDICTS, Claim
from projects.paper.claims.converging import falls_without_bound
from projects.paper.claims.gradient_signal import signal_to_noise
from projects.paper.claims.noise import SubsetRow, noise_exponents, subset_rows
from projects.paper.claims.stationary import plateaus, stationary_branch, temperature_rises

__all__ = ["FAILS", "HOLDS", "UNCLEAR", "UNDER_ALONE", "VERDICTS", "Claim", "SubsetRow", "evaluate", "subset_rows"]


#: Claims that an under-parameterised study can be judged on where its setting has no other.
UNDER_ALONE = (1, 2)


def evaluate(
    setting: str, up: StudyResult | None, op: StudyResult | None, subsets: Mapping[str, StudyResult]
) -> tuple[list[Claim], list[SubsetRow]]:
    """All eight claims on one setting, and the rows of its subset-size study.

    Parameters
    ----------
    up, op : the under- and the over-parameterised study; None where there is none.
    subsets : over-parameterised studies on fewer training samples, by name.
    """
    rows = subset_rows(subsets)
    claims = [
        plateaus(up, setting),
        temperature_rises(up, setting),
        falls_without_bound(op, setting),
        jumps(up, op, setting),
        stationary_branch(op, setting),
        signal_to_noise(up, op, setting),
        noise_exponents(up, rows, setting),
        uniform_state(up if up is not None else op, setting, "up" if up is not None else "op"),
    ]
    return claims, rows
