"""Results of studies of every kind, large and small, sound and not, as a page has to show them."""

from dataclasses import replace

import numpy as np

from analysis.results import (
    Baselines,
    BrokenLawCheck,
    Course,
    Estimate,
    EstimatorUsed,
    Evidence,
    GradientCourse,
    IdentifiabilityCheck,
    LeaveOneOutCheck,
    PaperNumbers,
    PowerLaw,
    RunResult,
    Sampling,
    StudyChecks,
    StudyResult,
    Thermometers,
)


def around(value, share):
    """An estimate with an interval of so large a share on either side."""
    return Estimate(value, None, value * (1 - share), value * (1 + share))


def run_of(lr, seed, rng, n_points=100):
    """A stationary run with everything that a run can have, and T = 0.03·lr^1.6."""
    temperature = 0.03 * lr**1.6
    steps = np.unique(np.geomspace(10, 1e5, n_points).round().astype(int))
    noise = rng.normal(size=(4, len(steps)))
    falling = 0.9 + 2 / steps + lr * (1 + 0.1 * noise[0])
    entropy = -300 + 40 * np.log(lr) + noise[1]
    course = Course(
        steps, 50, falling, 0.01 * falling, entropy, np.full(len(steps), 2.0), 0.1 * falling, 0.08 * falling,
        0.12 * falling, entropy, 0.1 * falling,
    )  # fmt: skip
    norm = np.exp(0.3 * noise[2]) / steps**0.3
    gradients = GradientCourse(steps, norm, norm + 0.7, 0.05 * norm, norm / 0.7, 0.1 * norm, falling)
    return RunResult(
        f"{rng.integers(2**60):032x}", lr, seed, "ok", "stationary",
        loss=Estimate(0.9 + lr, 1e-4), entropy=Estimate(-200 + 40 * np.log(lr), 0.2),
        temperature=around(temperature * (1 + 0.01 * seed), 0.05),
        sampling=Sampling(4000.0, 2.5, 100, 4000, 10, 100_000, Evidence(chains=16, between_p_value=0.5)),
        paper=PaperNumbers(100 + 40 * np.log(lr), 4000, 0.8 * temperature, 0.8),
        thermometers=Thermometers(around(0.7 * temperature, 0.01), around(0.8 * temperature, 0.02)),
        fluctuation_ratio=1.0, course=course, gradients=gradients,
    )  # fmt: skip


def study_of(n_lrs, n_seeds, n_points=100):
    """A sound study of so many learning rates and seeds."""
    rng = np.random.default_rng(3)
    lrs = np.geomspace(0.01, 0.3, n_lrs)
    runs = tuple(run_of(float(lr), seed, rng, n_points) for lr in lrs for seed in range(n_seeds))
    checks = StudyChecks(
        identifiability=IdentifiabilityCheck("ok", 0.1, 80, 80), convexity_p_value=0.8,
        leave_one_out=LeaveOneOutCheck(n_lrs - 2, 0, 0), consistency=1.02,
        segmented=BrokenLawCheck(False, 0.1, 1.6, 1.6, None, None),
    )  # fmt: skip
    law = PowerLaw(1.6, 0.05, 0.03, 0.001, float(lrs[0]), float(lrs[-1]), len(runs), 0)
    estimator = EstimatorUsed("oas", 80, "many weights for so few snapshots", "spaced", 4000)
    level = Baselines(loss=3.05, entropy=-58.0, paper_entropy=338.0, course_entropy=-58.0, course_paper_entropy=338.0)
    return StudyResult(runs, estimator, "local-quadratic", law, ("a note on the study",), checks, level)


def mixed():
    """A study some of whose runs are not ok, and some have no temperature."""
    study = study_of(9, 2)
    runs = list(study.runs)

    def tentative(i, status, note="", **fields):
        found = runs[i].temperature
        runs[i] = replace(runs[i], status=status, note=note, temperature=replace(found, status=status), **fields)

    tentative(0, "imprecise")
    tentative(1, "imprecise")
    tentative(4, "not-stationary", "the loss still drifts: train longer")
    gone = {"temperature": None, "entropy": None, "course": None, "gradients": None}
    runs[15] = replace(runs[15], status="too-few-samples", note="12 independent snapshots, 30 are needed", **gone)
    for i in (16, 17):
        runs[i] = replace(runs[i], status="uniform", regime="uniform", note="T is infinite", **gone)
    checks = replace(
        study.checks, identifiability=IdentifiabilityCheck("unidentified", 0.4, 80, 12), convexity_p_value=0.01,
        leave_one_out=LeaveOneOutCheck(7, 4, 2),
    )  # fmt: skip
    return replace(study, runs=tuple(runs), checks=checks)


def one_run():
    """A single run, which has no dU/dS."""
    study = study_of(3, 1)
    run = replace(study.runs[1], temperature=None)
    return StudyResult((run,), study.estimator, "local-quadratic")


def refused():
    """Nothing but runs that could not be read."""
    names = ("corrupt", "no-snapshots", "incomplete", "diverged")
    runs = tuple(RunResult(f"run {i}", 0.1 * i, 0, name, "", f"why {i}") for i, name in enumerate(names, start=1))
    return StudyResult(runs, EstimatorUsed("oas"), "local-quadratic", notes=("four runs, none of them readable",))


def converging():
    """Runs on their way to an optimum, where T goes to zero."""
    study = study_of(4, 1, 12)
    fields = {"status": "converging", "regime": "converging", "temperature": None, "late_temperature": 1e-5}
    runs = tuple(replace(run, **fields, note="T heads for zero") for run in study.runs)
    return StudyResult(runs, study.estimator, "local-quadratic", notes=("4 of 4 runs converge to an optimum",))


def gibbs():
    """Exact states at temperatures that were set."""
    study = study_of(5, 1, 12)
    bare = {"course": None, "gradients": None}
    runs = tuple(
        replace(run, set_temperature=run.lr, temperature=around(1.004 * run.lr, 0.02), **bare) for run in study.runs
    )
    return replace(study, runs=runs, power_law=replace(study.power_law, exponent=1.0, prefactor=1.0))


#: Every kind by its name.
KINDS = {
    "nine": lambda: study_of(9, 1),
    "sixty": lambda: study_of(12, 5),
    "sixty learning rates": lambda: study_of(60, 1),
    "mixed": mixed,
    "one run": one_run,
    "refused": refused,
    "converging": converging,
    "gibbs": gibbs,
    "nothing": lambda: StudyResult((), EstimatorUsed("oas"), "convex"),
}
