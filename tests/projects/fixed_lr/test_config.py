"""Parameters: presets, overrides, and one clear line for every bad value."""

import math

import pytest

from mlflow_thermo.errors import ThermoError
from projects.common import parse_lrs, parse_seeds
from projects.fixed_lr.config import TrainConfig, resolve
from projects.fixed_lr.options import parse_lr, parse_options
from projects.fixed_lr.presets import PRESETS


def test_the_default_is_digits_up():
    config = resolve({"lr": 0.1})
    assert (config.preset, config.width, config.label_noise, config.steps) == ("digits-up", 2, 0.3, 12_000)


def test_a_given_parameter_overrides_the_preset():
    config = resolve({"lr": 0.1, "preset": "digits-op", "width": 4})
    assert (config.width, config.steps, config.label_noise) == (4, 3000, 0.0)


def test_mse_takes_its_own_head_norm_unless_one_is_given():
    assert resolve({"lr": 0.1, "loss": "mse"}).head_norm == 1.5
    assert resolve({"lr": 0.1, "loss": "mse", "head_norm": 3.0}).head_norm == 3.0
    assert resolve({"lr": 0.1}).head_norm == 10.0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name):
    grid = parse_lrs(PRESETS[name]["lrs"])
    config = resolve({"lr": grid[0], "preset": name})
    low, high = config.lr_range
    assert grid[0] <= low < high <= grid[-1]
    # No key of a preset is a misspelt parameter.
    assert set(PRESETS[name]) - {"lrs", "lr_range"} <= set(TrainConfig.__dataclass_fields__)


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
        ({"preset": "nope"}, "preset 'nope' is unknown: choose one of digits-up"),
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
