"""The program against a real store: runs, snapshots, what an analysis finds in them, and how runs end."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.store import read_index, read_weights
from projects.common import ParentWatch, Terminated
from projects.gibbs import recording, smooth_network
from projects.gibbs.run import main
from projects.gibbs.surfaces import make_surface

ROOT = Path(__file__).parents[3]
TINY = {"preset": "smooth", "temperatures": "2e-3,1e-3", "chains": 3, "draws": 12, "every": 2, "burn_in": 60}


def run(**options):
    main.main([f"--{name}={value}" for name, value in {**TINY, **options}.items()], standalone_mode=False)


def runs_of(store, kind):
    experiment = store.get_experiment_by_name("study").experiment_id
    return store.search_runs([experiment], f"tags.`{schema.TAG_KIND}` = '{kind}'", order_by=["start_time"])


def snapshots_of(store, found):
    folder = Path(store.download_artifacts(found.info.run_id, f"{schema.ARTIFACT_ROOT}/{schema.SPACED}"))
    index = read_index(folder)
    return index, read_weights(folder, index)


def test_a_ladder_in_flat_space(store, capsys):
    run()
    (parent,) = runs_of(store, schema.KIND_SWEEP)
    cold, hot = runs_of(store, schema.KIND_TRAIN)
    assert {one.info.status for one in (parent, cold, hot)} == {"FINISHED"}
    assert len({one.data.tags[schema.TAG_SWEEP] for one in (parent, cold, hot)}) == 1
    network = smooth_network()
    for one in (cold, hot):
        # As the other projects' runs: the UI's Dataset column, and a digest that is that of the data.
        ((data,),) = [one.inputs.dataset_inputs for one in (store.get_run(one.info.run_id),)]
        assert (data.dataset.name, data.tags[0].value) == ("smooth network", "training")
        assert '"features_shape": [300, ' in data.dataset.profile
    for one, temperature in ((cold, 1e-3), (hot, 2e-3)):
        index, weights = snapshots_of(store, one)
        assert index.attributes["set_temperature"] == temperature
        assert index.attributes["repeats"] == "metropolis"
        assert (index.lr, index.chains, index.complete) == (None, 3, True)
        assert index.steps[::3] == tuple(range(1, 13))
        expected = network(torch.as_tensor(np.array(weights)))[0]
        np.testing.assert_allclose(np.array(index.loss), expected.numpy(), rtol=1e-12)
        metrics, params = one.data.metrics, one.data.params
        assert metrics[schema.METRIC_SET_TEMPERATURE] == temperature
        assert metrics[schema.METRIC_VIRIAL] == pytest.approx(temperature, rel=1)
        assert metrics[schema.METRIC_VIRIAL_STDERR] > 0
        assert metrics[schema.METRIC_LOSS] == pytest.approx(np.mean(index.loss))
        assert 0.2 < metrics[recording.ACCEPTANCE] <= 1
        assert metrics[recording.GRADIENTS] == 3 * (1 + 6 * (60 + 12 * 2))
        assert (recording.EXCHANGE in metrics) == (one is cold)
        assert (params["temperature"], params["d"], params["n_train"]) == (f"{temperature:g}", "15", "300")
        assert (params["preset"], params["burn_in"], params["seed"]) == ("smooth", "60", "0")
    shown = capsys.readouterr().out
    assert cold.info.run_id in shown
    assert "mlflow run . -e analyze" in shown


def test_the_seed_decides(store):
    for seed in (3, 3, 4):
        run(seed=seed, temperatures="1e-3")
    first, second, other = (snapshots_of(store, one)[1] for one in runs_of(store, schema.KIND_TRAIN))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_units_keep_the_norms_that_they_have_in_training(store):
    run(preset="digits", draws=10, leapfrogs=2, dtype="float64")
    energy = make_surface("digits", torch.float64).energy
    for one in runs_of(store, schema.KIND_TRAIN):
        index, weights = snapshots_of(store, one)
        assert index.protocol == schema.SPHERES
        assert schema.spheres_of(index.protocol, index.layout, index.d) == (9,) * 10
        units = np.linalg.norm(np.array(weights).reshape(-1, 10, 9), axis=-1)
        np.testing.assert_allclose(units, 10**-0.5, rtol=1e-12)
        # Up to the normalisation's ε the loss knows directions only.
        np.testing.assert_allclose(np.array(index.loss), energy(torch.as_tensor(np.array(weights)))[0], rtol=1e-3)
        assert schema.METRIC_UNIFORM_LOSS in one.data.metrics


def test_a_sampler_that_does_not_move_is_an_error(store, monkeypatch):
    monkeypatch.setattr(recording, "LOWEST_ACCEPTANCE", 1.01)
    with pytest.raises(ThermoError, match=r"temperature 0\.001, .* more leapfrogs or a longer burn_in"):
        run()
    assert {one.info.status for one in runs_of(store, schema.KIND_SWEEP)} == {"FAILED"}
    for one in runs_of(store, schema.KIND_TRAIN):
        assert one.info.status == "FAILED"
        assert one.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL
        assert snapshots_of(store, one)[0].n_snapshots == 36


def test_a_temperature_below_the_rounding_of_the_loss_is_an_error(store):
    with pytest.raises(ThermoError, match=r"temperature 1e-10 is below the rounding .* in float32: take dtype=float64"):
        run(temperatures="1e-10", dtype="float32")
    assert {one.info.status for one in runs_of(store, schema.KIND_TRAIN)} == {"FAILED"}


def test_what_was_recorded_is_kept_when_the_program_is_stopped(store, monkeypatch):
    checks = iter(range(10_000))

    def check(self):
        if next(checks) == 6 * (60 + 5 * 2) + 3:
            raise Terminated("stopped by signal 15")

    monkeypatch.setattr(ParentWatch, "check", check)
    with pytest.raises(ThermoError, match="stopped by signal 15; what was recorded is kept"):
        run()
    kinds = [*runs_of(store, schema.KIND_SWEEP), *runs_of(store, schema.KIND_TRAIN)]
    assert [one.info.status for one in kinds] == ["KILLED"] * 3
    for one in kinds[1:]:
        assert one.data.tags[schema.TAG_SNAPSHOTS] == schema.SNAPSHOTS_PARTIAL
        index, _ = snapshots_of(store, one)
        assert (index.n_snapshots, index.complete) == (15, False)


def test_an_error_is_one_line_and_exit_status_1(store):
    with pytest.raises(ThermoError, match="temperatures"):
        run(temperatures="-1")
    assert runs_of(store, schema.KIND_SWEEP) == []
    command = [sys.executable, "-m", "projects.gibbs.run", "--temperatures", "0"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 1
    assert shown.stderr.strip().splitlines() == [
        "error: temperatures: cannot read '0', write finite positive numbers or lo:hi:n (log-spaced), as in "
        "temperatures=2e-4:2e-3:8"
    ]
