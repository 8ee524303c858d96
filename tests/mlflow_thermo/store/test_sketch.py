"""Sketches and the error that they report."""

import numpy as np
import pytest

from mlflow_thermo.store import CountSketch, measured_error, sketch_rows
from tests.mlflow_thermo.store.samples import D, walk


class TestSketch:
    def test_is_the_same_everywhere_and_always(self):
        """The hash is part of the format: the published first outputs of SplitMix64 with seed 0."""
        outputs = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)
        for row, z in zip(CountSketch(3, 4).apply(np.eye(3)), outputs, strict=True):
            assert row[(z >> 1) % 4] == (-1 if z & 1 else 1)
            assert np.count_nonzero(row) == 1

    def test_is_linear_and_its_parts_add_up(self, rng):
        X, sketch = rng.normal(size=(3, 500)), CountSketch(500, 40)
        parts = sum(sketch.apply(X[:, i : i + 120], i) for i in range(0, 500, 120))
        np.testing.assert_allclose(parts, sketch.apply(X), atol=1e-12)
        np.testing.assert_allclose(sketch.apply(X[:1] - 2 * X[1:2]), sketch.apply(X[:1]) - 2 * sketch.apply(X[1:2]))

    def test_error_of_squared_lengths(self, rng):
        """Unbiased, with the spread that it reports, over 400 vectors."""
        X, sketch = rng.normal(size=(400, 5000)), CountSketch(5000, 100)
        ratio = np.sum(sketch.apply(X) ** 2, axis=1) / np.sum(X**2, axis=1)
        assert ratio.mean() == pytest.approx(1, abs=4 * sketch.relative_error / 20)
        assert ratio.std() == pytest.approx(sketch.relative_error, rel=0.15)

    def test_keeps_norms_where_asked(self, rng):
        X = walk(rng, 5)
        found = sketch_rows(CountSketch(D, 64), X, keep_norms=True)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(X, axis=1), rtol=1e-6)

    def test_measured_error_of_snapshots_that_are_not_finite(self, rng):
        rows = rng.normal(size=(6, 3000))
        sketch = CountSketch(3000, 1000)
        exact = measured_error(rows[:3], sketch.apply(rows[:3]))
        rows[3], rows[4, 5], rows[5, 7] = np.nan, np.inf, -np.inf
        assert measured_error(rows, sketch.apply(rows)) == pytest.approx(exact, rel=1e-12)
        assert measured_error(rows[3:], sketch.apply(rows[3:])) is None

    def test_measured_error(self, rng):
        X, sketch = rng.normal(size=(8, 4000)), CountSketch(4000, 400)
        # A distance has half the relative error of its square.
        assert 0.3 < measured_error(X, sketch.apply(X)) / (sketch.relative_error / 2) < 2
        assert measured_error(X[:1], sketch.apply(X[:1])) is None

    @pytest.mark.parametrize(("d", "m"), [(0, 3), (3, 0)])
    def test_refuses_no_columns(self, d, m):
        with pytest.raises(ValueError, match="d >= 1 columns to m >= 1"):
            CountSketch(d, m)
