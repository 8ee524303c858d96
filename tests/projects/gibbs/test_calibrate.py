"""The calibration on networks as a program: the table that it writes, and what it refuses before it samples."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mlflow_thermo import ThermoError
from projects.gibbs import calibrate


def run(*options):
    return CliRunner().invoke(calibrate.main, options, catch_exceptions=False, standalone_mode=False)


def test_a_ladder_of_the_smooth_network(tmp_path):
    options = ["--preset", "smooth", "--studies", "1", "--draws", "60", "--temperatures", "5e-5:2e-4:5"]
    said = run(*options, "--out", str(tmp_path)).output
    found = json.loads((tmp_path / "smooth.json").read_text())
    rows = found["rows"]
    assert found["preset"] == "smooth"
    assert [row["estimator"] for row in rows] == ["edgeworth"] * 5 + ["gaussian-ml"] * 5
    assert {row["status"] for row in rows} == {"ok"}
    for name in ("edgeworth", "gaussian-ml"):
        own = [row for row in rows if row["estimator"] == name]
        assert [row["temperature"] for row in own] == pytest.approx(np.geomspace(5e-5, 2e-4, 5), rel=1e-3)
        # Of so few draws: five per cent, and the interval says so.
        assert np.median([row["ratio"] for row in own]) == pytest.approx(1, abs=0.1)
        assert sum(row["lower"] <= 1 <= row["upper"] for row in own) >= 4
        assert [row["virial"] for row in own] == pytest.approx([1] * 5, abs=0.1)
        assert np.median([row["change"] for row in own[1:]]) == pytest.approx(1, abs=0.1)
        assert own[0]["change"] is None
        assert f"smooth, {name}: |T̂/T − 1| median" in said


def test_every_preset_is_known_before_any_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "sampled_runs", lambda config: pytest.fail("sampled"))
    with pytest.raises(ThermoError, match="preset 'nope' is unknown: choose one of digits"):
        run("--preset", "smooth,nope", "--out", str(tmp_path))
    with pytest.raises(ThermoError, match="studies must be a whole number of at least 1, got '0'"):
        run("--studies", "0", "--out", str(tmp_path))
    with pytest.raises(ThermoError, match="entropy: unknown entropy estimator 'klein'"):
        run("--entropies", "klein", "--out", str(tmp_path))
