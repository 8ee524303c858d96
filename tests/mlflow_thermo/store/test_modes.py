"""Which form is chosen when."""

import pytest

from mlflow_thermo import ThermoError
from mlflow_thermo.store import choose_storage


class TestChoice:
    GB = 2**30

    @pytest.mark.parametrize(
        ("asked", "n", "d", "expected"),
        [
            ("auto", 1000, 1530, "full"),  # digits-up
            ("auto", 1000, 24_408, "isometric"),
            ("auto", 1000, 1_550_016, "isometric"),
            ("auto", 30_000, 24_408, "full"),  # its inner products would be no smaller
            ("auto", 5000, 2000, "full"),
            ("full", 1000, 1_550_016, "full"),
            ("isometric", 10, 20, "isometric"),
            ("isometric", 20, 20, "full"),
            ("sketch", 20, 20, "sketch"),
        ],
    )
    def test_by_size(self, asked, n, d, expected):
        assert choose_storage(asked, n, d, 4, 40 * self.GB) == expected

    def test_a_disk_that_is_too_small(self):
        assert choose_storage("auto", 1000, 1_550_016, 4, 4 * self.GB) == "sketch"

    def test_unknown(self):
        with pytest.raises(ThermoError, match="storage 'zip' is unknown: choose one of auto, full"):
            choose_storage("zip", 1, 1, 4, self.GB)
