"""The commands that look after studies: twelve planted faults, advice, and data for other programs."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import xarray

from analysis import Trajectory
from analysis.study import complaints
from analysis.trajectory import datatree_of
from mlflow_thermo import schema
from mlflow_thermo.delivery import Sign
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import ParameterSlice
from tests.analysis.study.test_advice import run as run_result


def write_run(study, where, lr, weights, loss):
    study.write_series(where, lr, np.asarray(weights), np.asarray(loss, dtype=float))


#: Faults of one run among nine, by what `doctor` must say of it.
FAULTS = {
    "drift": "not-stationary",
    "spread": "not-stationary",
    "too few": "too-few-samples",
    "autocorrelated": "autocorrelated",
    "frozen weight": "inconsistent-record",
    "twin weight": "inconsistent-record",
    "repeated": "imprecise",
    "stopped": "constant",
    "not finite": "diverged",
    "converging": "converging",
}


def broken(name, weights, loss, rng):
    """The snapshots of a run (n, d) and their losses with one fault."""
    n, d = weights.shape
    if name == "drift":
        weights = weights + np.linspace(0, 4, n)[:, None] * weights.std(axis=0)
    if name == "spread":
        weights = weights.mean(axis=0) + (weights - weights.mean(axis=0)) * np.linspace(0.3, 1.7, n)[:, None]
    if name == "too few":
        weights, loss = weights[:20], loss[:20]
    if name == "autocorrelated":
        slow = np.zeros_like(weights)
        for t in range(1, n):
            slow[t] = 0.9 * slow[t - 1] + rng.normal(size=d) * weights.std(axis=0)
        weights = slow
    if name == "frozen weight":
        weights = weights.copy()
        weights[:, 1] = weights[0, 1]
    if name == "twin weight":
        weights = weights.copy()
        weights[:, 1] = weights[:, 0]
    if name == "repeated":
        weights = np.repeat(weights[::4], 4, axis=0)[:n]
    if name == "stopped":
        weights = np.repeat(weights[:1], n, axis=0)
    if name == "not finite":
        weights = weights.copy()
        weights[n // 2 :] = np.nan
    if name == "converging":
        loss = np.geomspace(1, 1e-5, n) * (1 + 0.01 * rng.normal(size=n))
        weights = weights * np.geomspace(1, 1e-3, n)[:, None]
    return weights, loss


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(study, name):
    from analysis import analyze, from_folder

    rng = np.random.default_rng(0)
    for i, lr in enumerate(study.lrs):
        weights, loss = study.samples(lr)
        if i == 4:
            weights, loss = broken(name, weights.astype(float), loss.astype(float), rng)
        write_run(study, study.root / f"run{i}", lr, weights.astype(np.float32), loss)
    found = {one.run_id: one for one in complaints(analyze(from_folder(study.root)).runs)}
    assert found["run4"].status == FAULTS[name]
    assert found["run4"].what
    if name == "repeated":
        assert "repeat" in found["run4"].what
    if name in ("drift", "spread"):
        assert found["run4"].steps > 0


def test_orphans_and_unfinished_runs(tracked, command):
    """The eleventh and the twelfth: a run whose program was killed, and one that holds nothing yet."""
    experiment = tracked.get_experiment_by_name("study").experiment_id
    code, out, err = command("doctor", "study")
    assert "9 runs, every one ok" in out or "tentative" in err
    dead = Sign(Sign.of_this_process(beats=False).host, 2**22 + 1, 1, 0)
    tags = {schema.TAG_ALIVE: str(dead), schema.TAG_KIND: schema.KIND_TRAIN}
    lost = tracked.create_run(experiment, run_name="killed", tags=tags).info.run_id
    code, out, err = command("doctor", "study")
    assert code == 1
    assert f"run {lost} (killed): its program on this machine has ended" in out
    assert "--fix closes them" in err
    code, out, _ = command("doctor", "study", "--fix")
    assert "closed as KILLED" in out
    assert tracked.get_run(lost).info.status == "KILLED"
    code, out, err = command("doctor", lost)
    assert code == 1
    assert f"run {lost}" in out
    code, out, err = command("doctor", "study", "--json")
    assert set(json.loads(out)) == {"orphans", "complaints", "others", "running"}


def test_one_run_alone(tracked, command):
    experiment = tracked.get_experiment_by_name("study").experiment_id
    run_id = tracked.search_runs([experiment])[0].info.run_id
    code, out, _ = command("doctor", run_id)
    assert code == 0
    assert "1 runs, every one ok" in out


def test_steps_that_a_run_lacks():
    """An error of three times what is asked needs nine times the length."""
    from dataclasses import replace

    from analysis.results import IMPRECISE, TOO_FEW, Estimate, Evidence

    run = run_result(0.1, 1.0, status=IMPRECISE)
    sampling = replace(run.sampling, evidence=Evidence(n=100.0, dim=10.0), spacing=10, n_eff=90.0)
    run = replace(run, sampling=sampling, temperature=Estimate(1.0, None, 0.4, 1.6, IMPRECISE))
    (found,) = complaints([run])
    assert found.steps == pytest.approx(8 * 1000, abs=2)
    few = replace(run, status=TOO_FEW, sampling=replace(sampling, n_eff=4.0))
    assert complaints([few])[0].steps > 0
    assert complaints([replace(run, status="skewed")])[0].steps is None


def test_advice_in_words_and_as_json(tracked, command):
    code, out, _ = command("advise", "study", "--lr", "0.5")
    assert code == 0
    assert "largest stable lr   1; larger ones were not tried" in out
    assert "lr=0.5: stationary loss" in out
    assert "independent snapshots" in out
    code, out, _ = command("advise", "study", "--lr", "20", "--json")
    said = json.loads(out)
    assert "lies outside" in said["predicted"]["no_loss"]
    assert (
        said["predicted"]["steps"]["lower"] < said["predicted"]["steps"]["value"] < said["predicted"]["steps"]["upper"]
    )


@pytest.mark.parametrize("arguments", [("doctor", "study"), ("advise", "study")], ids=lambda one: one[0])
def test_progress_goes_to_stderr(tracked, command, monkeypatch, arguments):
    """Without a terminal as lines; what --json says on stdout stays one object."""
    monkeypatch.setattr("analysis.cli.display.LINE_EVERY", 0.0)
    _, out, err = command(*arguments, "--json")
    assert isinstance(json.loads(out), dict)
    shares = [int(line.split("%")[0]) for line in err.splitlines() if "% done, " in line]
    assert len(shares) >= 18
    assert shares == sorted(shares)
    assert "reading runs" in err
    assert "measuring entropies, about " in err


def test_an_experiment_that_does_not_exist_has_near_matches(tracked, command):
    for name in ("doctor", "advise", "export"):
        code, _, err = command(name, "studdy")
        assert code == 1
        assert "did you mean 'study'?" in err
        assert len(err.splitlines()) == 1


def test_data_for_other_programs(tracked, command, tmp_path):
    code, _, _ = command("export", "study", "--out", tmp_path / "out")
    assert code == 0
    table = pd.read_parquet(tmp_path / "out" / "runs.parquet")
    assert len(table) == 9
    assert table["temperature"].notna().all()
    for run_id, lr in zip(table["run_id"], table["lr"], strict=True):
        with xarray.open_datatree(tmp_path / "out" / f"{run_id}.nc", engine="h5netcdf") as tree:
            assert tree["posterior"].attrs["lr"] == lr
            assert set(tree["posterior"].sizes) >= {"chain", "draw"}
            assert tree["sample_stats"]["loss"].shape == (1, 600)


def test_a_tree_has_the_parameters_in_their_shapes():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, 5, 7))
    layout = (ParameterSlice("a.weight", (2, 3), 0, 6), ParameterSlice("a.bias", (1,), 6, 1))
    run = Trajectory(np.arange(1, 6), weights, np.ones((2, 5)), lr=0.1, layout=layout, run_id="one")
    tree = datatree_of(run)
    np.testing.assert_array_equal(tree["posterior"]["a.weight"][1, 4], weights[1, 4, :6].reshape(2, 3))
    assert tree["posterior"]["step"].values.tolist() == [1, 2, 3, 4, 5]
    from arviz_stats.base import array_stats

    chains = tree["posterior"]["a.bias"].values[..., 0]
    assert array_stats.ess(chains, chain_axis=0, draw_axis=1) > 0


def test_no_xarray(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ThermoError, match=r"mlflow-thermo\[export\]"):
        datatree_of(Trajectory(np.arange(1, 6), np.zeros((5, 3)), np.ones(5)))
