"""A training that goes on from a checkpoint is the training that was never interrupted, bit for bit."""

import json
import random
import time
from math import isnan

import pytest
import torch

from mlflow_thermo.errors import ThermoError
from projects.fixed_lr import checkpoint
from projects.fixed_lr.checkpoint import Checkpoints, load, save
from projects.fixed_lr.config import resolve
from projects.fixed_lr.loop import Observer, run_loop
from projects.fixed_lr.stack import ModelStack
from projects.fixed_lr.training_setup import prepare

CPU = torch.device("cpu")
LRS = [[0.05], [0.1], [0.2]]


class Course(Observer):
    """Keeps what a training yields, and saves it after some of its steps."""

    def __init__(self, setup, folder, stops=(), leaving=None, names=range(3)):
        self.setup, self.folder, self.stops, self.leaving, self.names = setup, folder, stops, leaving or {}, list(names)
        self.trace, self.done = {}, 0

    def pause(self, done, ending, state):
        self.done = done
        if done in self.stops:
            save(self.folder / str(done), {"loop": state(), "names": self.names})

    def step(self, losses):
        self.trace[self.done, "step"] = (list(self.names), self.setup.weights.clone(), losses.clone())

    def log(self, rows, step):
        self.trace[step, "log"] = rows

    def ending(self, step):
        return [place for place, name in enumerate(self.names) if 0 <= self.leaving.get(name, -1) <= step]

    def end(self, squares, step):
        self.trace[step, "end"] = {place: one.tolist() for place, one in squares.items()}

    def kept(self, positions):
        self.names = [self.names[place] for place in positions]


def trained(folder, stops, models=0, leaving=None, fixed_size=False, begun=None, **options):
    """What a training yields, from its start or from a checkpoint."""
    quick = {"lr": 0.1, "steps": 48, "log_points": 3, "noise_batches": 4, **options}
    config = resolve({"preset": "digits", **quick})
    setup = prepare(config, CPU)
    if models:
        setup = ModelStack(setup, models)
        setup._of_one_size = fixed_size
    lr = torch.tensor(LRS[:models]) if models else config.lr
    observer = Course(setup, folder, stops, leaving, begun["names"] if begun else range(max(1, models)))
    run_loop(setup, lr, observer, begun=begun["loop"] if begun else None)
    return observer.trace


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other or (isinstance(one, float) and isnan(one) and isnan(other))


@pytest.mark.parametrize(
    ("models", "options"),
    [
        (0, {"chains": 1, "sampling": "epochs"}),
        (0, {"chains": 1, "preset": "digits-up", "width": 1}),
        (1, {"chains": 3, "sampling": "epochs"}),
        (3, {"chains": 3, "leaving": {0: 20, 2: 30}}),
        (3, {"chains": 1, "leaving": {1: 20}, "fixed_size": True}),
    ],
    ids=["alone", "sphere", "chains", "leaving", "parked"],
)
def test_the_same_to_the_last_bit(tmp_path, models, options):
    """Also where the chains part (12), their window begins (15), and where models leave."""
    stops = [12, 15, 20, 21, random.randrange(48)]
    whole = trained(tmp_path, stops, models, **options)
    for stop in stops if models == 3 else stops[::4]:
        found = trained(tmp_path, (), models, begun=load(tmp_path / str(stop)), **options)
        expected = {key: value for key, value in whole.items() if key[0] >= stop}
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            assert same(value, found[key]), (stop, key, value, found[key])


def test_what_is_saved_is_what_is_loaded(tmp_path):
    shared = torch.arange(6.0)
    state = {"numbers": [1, 0.1, float("inf"), None, "text"], "nested": {"a": shared[::2], "b": [shared, shared[:0]]}}
    save(tmp_path / "folder" / "checkpoint", state)
    found = load(tmp_path / "folder" / "checkpoint")
    assert found.pop("version") == checkpoint.VERSION
    assert same(state, found)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["checkpoint"]
    assert isinstance(load(tmp_path / "folder" / "checkpoint", facts_alone=True)["nested"]["a"], str)


def test_files_that_are_none(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    path.write_bytes(json.dumps({"a": 1}).encode())
    with pytest.raises(ThermoError, match="is not a readable checkpoint"):
        load(path)
    monkeypatch.setattr(checkpoint, "VERSION", 7)
    save(path, {})
    monkeypatch.undo()
    with pytest.raises(ThermoError, match="is a checkpoint of version 7, this release reads version 1"):
        load(path)
    with pytest.raises(ThermoError, match=r"the checkpoint cannot be written to .*a file is in the place of a folder"):
        save(path / "below", {})


def test_checkpoints_that_are_slow_are_rare(tmp_path):
    saves = Checkpoints(tmp_path / "checkpoint", 0.0)
    assert saves.due

    def slow():
        time.sleep(0.05)
        return {}

    saves.save(slow)
    assert not saves.due
    time.sleep(0.1)
    assert not saves.due
