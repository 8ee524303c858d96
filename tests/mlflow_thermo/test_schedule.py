"""When snapshots are taken."""

import numpy as np
import pytest

from mlflow_thermo import Schedule, ThermoError, bursts, consecutive, spaced


class TestSchedules:
    def test_spaced_covers_the_second_half_with_one_stride(self):
        steps = spaced(12_000, 1000).steps
        assert len(steps) == 1000
        assert set(np.diff(steps)) == {6}
        assert steps[-1] == 12_000
        assert steps[0] > 6000

    @pytest.mark.parametrize("total", [1, 2, 7, 999, 1999, 2001])
    def test_spaced_of_short_trainings(self, total):
        steps = spaced(total, 1000).steps
        assert 1 <= len(steps) <= 1000
        assert steps[0] > total * 0.5 - 1
        assert steps[-1] == total
        assert len(set(np.diff(steps))) <= 1

    def test_consecutive_is_the_last_iterates(self):
        assert consecutive(1500, 1000).steps == tuple(range(501, 1501))
        assert consecutive(3, 1000).steps == (1, 2, 3)

    @pytest.mark.parametrize(("total", "n", "size"), [(12_000, 10, 100), (3000, 10, 100), (1_600_000, 10, 1000)])
    def test_bursts_end_at_log_spaced_steps_and_do_not_touch(self, total, n, size):
        steps = np.array(bursts(total, n, size).steps)
        parts = np.split(steps, np.nonzero(np.diff(steps) > 1)[0] + 1)
        assert {len(part) for part in parts} == {size}
        assert steps[-1] == total
        ends = np.array([part[-1] for part in parts])
        assert n - 3 <= len(ends) <= n
        ratios = ends[1:] / ends[:-1]
        # Early bursts that would touch the next are dropped; the rest keep one ratio.
        np.testing.assert_allclose(ratios[2:], (total / size) ** (1 / (n - 1)), rtol=0.02)

    @pytest.mark.parametrize(("total", "size", "expected"), [(1, 100, 1), (50, 100, 50), (100, 10, 100)])
    def test_bursts_of_short_trainings(self, total, size, expected):
        steps = bursts(total, 10, size).steps
        assert steps[-1] == total
        assert len(steps) <= expected

    def test_bad_bursts(self):
        with pytest.raises(ThermoError, match="n=0"):
            bursts(100, 0, 10)

    @pytest.mark.parametrize("steps", [(), (0, 1), (2, 2), (3, 1)])
    def test_bad_steps(self, steps):
        with pytest.raises(ThermoError, match="series 'x'"):
            Schedule("x", steps)

    @pytest.mark.parametrize("make", [spaced, consecutive])
    def test_no_snapshots(self, make):
        with pytest.raises(ThermoError, match="n must be at least 1, got 0"):
            make(100, 0)

    def test_nothing_to_record_after_the_end(self):
        with pytest.raises(ThermoError, match="fraction"):
            spaced(10, start=1.0)


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/b", "a\\b", "", ".", "..", ".hidden", "a.", " a", "a\n", "a\0", "a:b"]
)
def test_a_name_is_no_way_out_of_the_directory(name):
    with pytest.raises(ThermoError, match="is not plain: take letters") as caught:
        Schedule(name, (1,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a", "every-hundredth", "every 100th", "v1.2_x", "größe"])
def test_plain_names(name):
    assert Schedule(name, (1,)).name == name
