"""A study gives the same numbers whatever form its snapshots were kept in."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.results import run_row
from analysis.study import StudyConfig, analyze
from analysis.tracking import from_folder
from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import CountSketch, SeriesWriter, reduce_series, sketch_rows

D, N, LRS = 300, 150, np.geomspace(0.01, 0.1, 5)


def states(rng, protocol):
    """Independent Gaussian weights about a point far from the origin; on the sphere scaled to norm 1."""
    centre = rng.normal(size=D)
    centre /= np.linalg.norm(centre)
    for lr in LRS:
        spread = rng.normal(size=(N, D)) * np.sqrt(lr / D) * np.geomspace(1, 0.1, D)
        weights = centre + spread
        if protocol == "sphere":
            weights /= np.linalg.norm(weights, axis=1)[:, None]
        yield lr, weights.astype(np.float32), 1 + np.sum(spread**2, axis=1)


@pytest.fixture(params=["sphere", "fixed_lr"])
def study(request, tmp_path):
    rng = np.random.default_rng(3)
    sketch = CountSketch(D, 120)
    for i, (lr, weights, loss) in enumerate(states(rng, request.param)):
        for storage in ("full", "isometric", "sketch"):
            folder = tmp_path / storage / f"run{i}" / "spaced"
            index = SeriesIndex("spaced", D, "float32", request.param, lr=float(lr))
            if storage == "sketch":
                index = replace(index, storage=storage, sketch_dim=120, sketch_error=0.09)
            writer = SeriesWriter.create(folder, index)
            rows = sketch_rows(sketch, weights, request.param == "sphere") if storage == "sketch" else weights
            writer.append(range(10, 10 * (N + 1), 10), rows, loss, loss)
            writer.close(complete=True)
            if storage == "isometric":
                reduce_series(folder, folder)
    return lambda storage, entropy: analyze(from_folder(tmp_path / storage), StudyConfig(entropy=entropy))


@pytest.mark.parametrize("entropy", ["auto", "kl", "oas"])
def test_inner_products_are_all_that_an_analysis_needs(study, entropy):
    full, reduced = study("full", entropy), study("isometric", entropy)
    assert full.estimator == reduced.estimator
    for one, other in zip(full.runs, reduced.runs, strict=True):
        a, b = (SimpleNamespace(**run_row(run)) for run in (one, other))
        assert b.entropy == pytest.approx(a.entropy, rel=1e-6, abs=1e-6 * D)
        assert b.temperature == pytest.approx(a.temperature, rel=1e-5)
        assert (b.tau, b.n_eff, b.regime) == (pytest.approx(a.tau), pytest.approx(a.n_eff), a.regime)
        assert b.entropy_isotropic == pytest.approx(a.entropy_isotropic, abs=1e-6 * D)
        assert b.entropy_shrinkage == pytest.approx(a.entropy_shrinkage, abs=1e-6 * D)
        # The subspace of the sketch is another one; that there is one is what keeps the verdict honest.
        assert b.entropy_subspace is not None


def test_a_sketch_gives_its_error(study):
    full, sketched = study("full", "knn-graph"), study("sketch", "knn-graph")
    change = [r.entropy.value - full.runs[0].entropy.value for r in full.runs]
    found = [r.entropy.value - sketched.runs[0].entropy.value for r in sketched.runs]
    assert found[-1] == pytest.approx(change[-1], rel=0.05)
    assert "the snapshots are sketches, whose distances are off by 9.0%" in sketched.notes
    assert sketched.estimator.sketch_error == 0.09
