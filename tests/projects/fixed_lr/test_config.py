"""Parameters: presets, overrides, and one clear line for every bad value."""

import math
from dataclasses import fields

import pytest

from mlflow_thermo.errors import ThermoError
from projects.common import parse_lrs, parse_seeds
from projects.fixed_lr.config import TrainConfig, resolve
from projects.fixed_lr.options import parse_lr, parse_options
from projects.fixed_lr.phases import Phases, phases_of, schedules
from projects.fixed_lr.presets import PRESETS


def test_the_default_goes_on_until_it_has_enough():
    config = resolve({"lr": 0.1})
    assert (config.preset, config.model, config.protocol, config.chains) == ("digits", "shallow", "spheres", 16)
    assert (config.burn_in, config.forget, config.spacing, config.steps) == (2000, 150, 8, 2750)
    assert (config.needed(80), config.max_steps) == (4000, 55_000)
    # Relaxation goes as 1/lr.
    slow = resolve({"lr": 0.02})
    assert (slow.burn_in, slow.forget, slow.spacing, slow.steps) == (2000, 750, 40, 5750)


def test_a_given_length_is_exact():
    config = resolve({"lr": 0.1, "steps": 1000})
    assert (config.until, config.steps, config.burn_in, config.forget) == ("", 1000, 250, 62)
    assert resolve({"lr": 0.1, "steps": 1000, "until": "300"}).max_steps == 20_000
    up = resolve({"lr": 0.1, "preset": "digits-up"})
    assert (up.chains, up.steps, up.burn_in, up.until) == (1, 12_000, 6000, "")


def test_phases():
    chains = resolve({"lr": 0.1, "preset": "digits-up", "chains": 4, "steps": 1000, "snapshots": 100})
    assert phases_of(chains) == Phases(branch=250, record=312, spacing=27, first=1000, last=1000)
    evenly, iterates, _ = schedules(chains)
    assert (evenly.steps[0], evenly.steps[-1], evenly.every_chain) == (339, 987, True)
    assert (iterates.steps[-1], iterates.every_chain) == (1000, False)
    one = resolve({"lr": 0.1, "preset": "digits-up", "until": "50", "steps": 1000, "max_steps": 5000})
    assert phases_of(one) == Phases(branch=0, record=500, spacing=1, first=1000, last=5000)
    assert schedules(one)[0].steps[-1] == 5000


def test_needed():
    config = resolve({"lr": 0.1, "until": "identified"})
    assert config.needed(80) == 400


def test_a_given_parameter_overrides_the_preset():
    config = resolve({"lr": 0.1, "preset": "digits-op", "width": 4})
    assert (config.width, config.steps, config.label_noise) == (4, 3000, 0.0)


def test_mse_takes_its_own_head_norm_unless_one_is_given():
    assert resolve({"lr": 0.1, "loss": "mse"}).head_norm == 1.5
    assert resolve({"lr": 0.1, "loss": "mse", "head_norm": 3.0}).head_norm == 3.0
    assert resolve({"lr": 0.1, "preset": "digits-up"}).head_norm == 10.0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name):
    grid = parse_lrs(PRESETS[name]["lrs"])
    config = resolve({"lr": grid[0], "preset": name})
    low, high = config.lr_range
    assert grid[0] <= low < high <= grid[-1]
    # No key of a preset is a misspelt parameter.
    assert set(PRESETS[name]) - {"lrs", "lr_range", "times"} <= set(TrainConfig.__dataclass_fields__)


def test_paper_presets():
    assert PRESETS["up-convnet-cifar10"]["steps"] == 1_600_000
    assert PRESETS["op-resnet-cifar100"]["steps"] == 1_000_000
    grid = parse_lrs(PRESETS["up-convnet-cifar10"]["lrs"])
    assert 22 <= len(grid) <= 30
    assert sum(1e-3 <= lr < 1e-2 for lr in grid) == 15


@pytest.mark.parametrize("lr", [0.0, -1.0, math.nan, math.inf])
def test_lr_value(lr):
    with pytest.raises(ThermoError, match="lr must be a finite positive number"):
        resolve({"lr": lr})


def test_lr_text():
    assert parse_lr("1e-1") == 0.1
    with pytest.raises(ThermoError, match="lr must be a finite positive number, got 'fast'"):
        parse_lr("fast")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "nope"}, "preset 'nope' is unknown: choose one of digits, digits-up"),
        ({"dataset": "mnist"}, "dataset 'mnist' is unknown: choose one of digits"),
        ({"model": "vgg"}, "model 'vgg' is unknown: choose one of convnet"),
        ({"protocol": "adam"}, "protocol 'adam' is unknown: choose one of sphere"),
        ({"loss": "l1"}, "loss 'l1' is unknown: choose one of cross-entropy, mse"),
        ({"sampling": "x"}, "sampling 'x' is unknown"),
        ({"device": "tpu"}, "device 'tpu' is unknown: choose one of auto"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"snapshots": 0}, "snapshots must be at least 1"),
        ({"label_noise": 1.5}, "label_noise is a fraction between 0 and 1"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and not negative"),
        ({"head_norm": 0.0}, "head_norm must be a finite positive"),
        ({"chains": 0}, "chains must be at least 1, got 0"),
        ({"until": "much"}, "until must be 'identified' or a number of independent snapshots, got 'much'"),
        ({"until": "-3"}, "until must be 'identified' or a number"),
        ({"steps": 100, "burn_in": 90, "forget": 10}, "burn_in=90 and forget=10 leave nothing of steps=100"),
        ({"steps": 100, "until": "50", "max_steps": 60}, "max_steps=60 is below steps=100"),
        ({"seed": -1}, "seed must be finite and not negative"),
        ({"head_seed": 2**64}, "head_seed must be at most 92233720"),
        ({"weight_decay": float("inf")}, "weight_decay must be finite"),
    ],
)
def test_bad_values_name_the_parameter(given, message):
    with pytest.raises(ThermoError, match=message) as caught:
        resolve({"lr": 0.1, **given})
    assert "\n" not in str(caught.value)


def test_options_are_parsed_by_type():
    parsed = parse_options({"steps": "1e4", "download": "True", "label_noise": "0.3", "model": "mlp", "width": ""})
    assert parsed == {"steps": 10_000, "download": True, "label_noise": 0.3, "model": "mlp"}
    # More digits than a float has.
    assert parse_options({"seed": "9007199254740993"}) == {"seed": 9007199254740993}


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("steps", "ten", "a whole number"),
        ("steps", "1.5", "a whole number"),
        ("steps", "inf", "a whole number"),
        ("label_noise", "much", "a number"),
        ("download", "perhaps", "true or false"),
    ],
)
def test_options_that_cannot_be_read(name, text, word):
    with pytest.raises(ThermoError, match=f"{name} must be {word}, got '{text}'"):
        parse_options({name: text})


class TestGrids:
    def test_log_spaced(self):
        grid = parse_lrs("5.6e-4:5.6e-2:9")
        assert len(grid) == 9
        assert grid[0] == 5.6e-4
        assert grid[-1] == 5.6e-2
        assert grid[4] == pytest.approx(5.6e-3)

    def test_mixed_and_repeated(self):
        assert parse_lrs("0.1, 1e-3:1e-1:3 ,0.10") == [0.001, 0.01, 0.1]
        assert parse_lrs("1e-2:1e-2:1") == [0.01]

    @pytest.mark.parametrize(
        "text",
        ["", " , ", "a", "1:2", "1:2:3:4", "0:1:3", "-1:1:3", "1:2:0", "0.1,0", "nan", "inf", "1:2:x", "1:inf:3"],
    )
    def test_bad(self, text):
        with pytest.raises(ThermoError, match="^lrs"):
            parse_lrs(text)

    def test_seeds(self):
        assert parse_seeds("2,0,1,1") == [0, 1, 2]
        for bad in ("", "a", "-1", "1.5"):
            with pytest.raises(ThermoError, match="seeds must be whole numbers"):
                parse_seeds(bad)


def test_help_says_what_every_parameter_is():
    from click.testing import CliRunner

    from projects.fixed_lr.options import _HELP
    from projects.fixed_lr.train import main

    assert set(_HELP) == {field.name for field in fields(TrainConfig)} - {"lr"}
    shown = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert (
        "Copies that go on from one burnt-in state with batches of their own. [default: 1; preset digits: 16]" in shown
    )
    assert '[default: ""]' not in shown
