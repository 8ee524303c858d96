"""The tests of a study in words."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from analysis.results import OK, StudyChecks, StudyResult

#: A question about the study, and the answer that its data give.
Line = tuple[str, str]


#: p-value below which a test counts as failed; of tests in great number this share fails by chance.
_LEVEL = 0.05


def check_lines(result: StudyResult) -> list[Line]:
    """The tests of the study in words, as questions and the answers that its data give."""
    return [*_physics(result.checks), *_thermometers(result), *_power_law(result.checks), *branch_lines(result)]


def concerns(result: StudyResult) -> list[str]:
    """The tests of the study that speak against its temperatures, in a sentence each."""
    found, out = result.checks, []
    if found.identifiability is not None and found.identifiability.status != OK:
        out.append("The entropy is not identified: entropies by three assumptions change differently.")
    if found.convexity_p_value is not None and found.convexity_p_value < _LEVEL:
        out.append(f"U is not a convex, rising function of S (p = {found.convexity_p_value:.2g}): F is not minimised.")
    left = found.leave_one_out
    if left is not None and left.n_violated > _LEVEL * left.n + 1:
        out.append(f"{left.n_violated} of {left.n} states do not minimise F at the temperature of the others.")
    return out


def branch_lines(result: StudyResult) -> list[Line]:
    """Where the branches change, and loss and entropy of uniformly random weights."""
    lines: list[Line] = []
    branches, level = result.checks.branches, result.baselines
    # Gibbs states change no regime.
    if branches is not None and not result.gibbs:
        places = [branches.to_stationary, branches.to_uniform]
        # Where there is no stationary branch both are one.
        for place in dict.fromkeys(place for place in places if place is not None):
            lines.append((
                f"Where does {place.below} give way to {place.above}?",
                f"at lr = {place.lr:.3g}, 95 % interval {place.lower:.3g} to {place.upper:.3g}",
            ))  # fmt: skip
        lines += [("Other changes of regime", sentence) for sentence in branches.beyond]
        if branches.stationary_range is not None:
            low, high = branches.stationary_range
            lines.append(("Stationary range, which all fits take", f"lr from {low:.3g} to {high:.3g}"))
    if level is not None and level.loss is not None and level.entropy is not None:
        graph = "" if level.paper_entropy is None else f", {level.paper_entropy:.5g} by the paper's graph"
        lines.append(("Uniformly random weights have", f"U = {level.loss:.4g}, S = {level.entropy:.5g}{graph}"))
    return lines


def _physics(found: StudyChecks) -> Iterator[Line]:
    known = found.identifiability
    if known is not None:
        share = "-" if known.disagreement is None else f"{known.disagreement:.0%}"
        yield (
            "Is the entropy identified?",
            f"{'yes' if known.status == OK else 'no'}: isotropic, shared-subspace (q = {known.subspace_dim}) and "
            f"shrunk entropies of D = {known.dim} differ by {share} in their changes",
        )
    p = found.convexity_p_value
    if p is not None:
        word = "contradicted by the data" if p < _LEVEL else "not contradicted"
        yield "Is F minimised (U convex and rising in S)?", f"{word}, p = {p:.3f}"
    left = found.leave_one_out
    if left is not None:
        yield (
            "At temperatures measured without it, does each state minimise F?",
            f"{left.n - left.n_violated} of {left.n} do within two standard errors",
        )
    for slope, label in (
        (found.consistency, "∫ dU/T against S, by these temperatures"),
        (found.consistency_equipartition, "∫ dU/T against S, by equipartition temperatures"),
    ):
        if slope is not None:
            yield label, f"slope {slope:.3f} (1 is consistent)"


def _thermometers(result: StudyResult) -> Iterator[Line]:
    """The temperatures that need no entropy over dU/dS; in a Gibbs study all over the one that was set."""
    truth = "the temperature that was set" if result.gibbs else "dU/dS"
    ratios: dict[str, list[float]] = {"dU/dS": []} if result.gibbs else {}
    spread = []
    for run in result.runs:
        base = run.set_temperature if result.gibbs else run.temperature.value if run.temperature is not None else None
        if not base or run.status != OK:
            continue
        thermometers = run.thermometers
        for name, one in (
            ("dU/dS", run.temperature if result.gibbs else None),
            ("virial ⟨(w − w̄)·∇L⟩/D", thermometers.virial),
            ("gradient noise lr·E|g − ∇L|²/2D", thermometers.noise),
        ):
            if one is not None:
                ratios.setdefault(name, []).append(one.value / base)
        if thermometers.spread is not None:
            spread.append(thermometers.spread)
    for name, values in ratios.items():
        if values:
            yield f"{name} over {truth}", f"{median(values):.3f} (median), {min(values):.3f} to {max(values):.3f}"
    if spread:
        yield (
            "Have all directions one temperature?",
            f"T along them scatters by {median(spread):.0%} of their mean beyond its errors (median of the runs)",
        )


def _power_law(found: StudyChecks) -> Iterator[Line]:
    if found.robust_exponent is not None:
        yield "Exponent by Huber's robust regression", f"{found.robust_exponent:.3f}"
    bend = found.segmented
    if bend is not None:
        exponents = f"{bend.exponent_below:.2f} below, {bend.exponent_above:.2f} above"
        words = f"yes, at lr = {bend.lr_break:.3g}: {exponents}" if bend.preferred else "no"
        yield "Do two power laws fit better (BIC)?", words
    seeds = found.seeds
    if seeds is not None:
        yield (
            f"Exponent over {seeds.n_seeds} seeds (cluster bootstrap)",
            f"{seeds.exponent:.3f} ± {seeds.exponent_stderr:.3f}",
        )
