"""The parameters of a ladder of Gibbs states: the preset's values, overridden by what the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from mlflow_thermo.errors import ThermoError
from projects.common import parse_lrs, parse_whole
from projects.gibbs.presets import PRESETS

#: Preset of a program that is given none.
DEFAULT = next(iter(PRESETS))
DTYPES = ("float32", "float64")
#: Smallest values of the whole numbers. A spread needs two chains, a regime ten draws (`analysis.stationarity.BLOCKS`),
#: and the windows of the burn-in some trajectories each.
LEAST = {"chains": 2, "draws": 10, "every": 1, "leapfrogs": 1, "burn_in": 50, "seed": 0}
#: Torch's generators take 64 bits with a sign.
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class GibbsConfig:
    """Every parameter of a ladder.

    Attributes
    ----------
    temperatures : log-spaced lo:hi:n or a comma list.
    chains : of each temperature.
    draws, every : recorded draws of each chain, and trajectories from one to the next.
    leapfrogs : steps of a trajectory, one gradient each.
    burn_in : trajectories that tune the sampler and are not recorded.
    """

    preset: str
    temperatures: str
    chains: int
    draws: int
    every: int
    leapfrogs: int
    burn_in: int
    dtype: str
    seed: int = 0

    @property
    def ladder(self) -> list[float]:
        """Temperatures, ascending."""
        return parse_temperatures(self.temperatures)

    @property
    def trajectories(self) -> int:
        """Trajectories of each chain, those of the burn-in included."""
        return self.burn_in + self.draws * self.every

    def validate(self) -> None:
        """Raise ThermoError with one line that names the parameter and the remedy."""
        parse_temperatures(self.temperatures)
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ThermoError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.seed > MAX_SEED:
            raise ThermoError(f"seed must be at most {MAX_SEED}, got {self.seed}")
        if self.dtype not in DTYPES:
            raise ThermoError(f"dtype {self.dtype!r} is unknown: choose one of {', '.join(DTYPES)}")


def parse_temperatures(text: str) -> list[float]:
    """Temperatures, ascending, from a comma list of numbers or log-spaced ``lo:hi:n`` ranges; repeats are dropped."""
    try:
        return parse_lrs(text)
    except ThermoError:
        # Its message speaks of learning rates.
        raise ThermoError(
            f"temperatures: cannot read {text!r}, write finite positive numbers or lo:hi:n (log-spaced), as in "
            "temperatures=2e-4:2e-3:8"
        ) from None


def resolve(given: Mapping[str, str]) -> GibbsConfig:
    """The preset's values, overridden by the texts that the user gave; empty ones are left to the preset.

    Raises
    ------
    ThermoError
        An unknown preset, or a value that cannot be read or is out of range.
    """
    kinds = get_type_hints(GibbsConfig)
    texts = {name: text for name, text in given.items() if text != ""}
    preset = texts.get("preset", DEFAULT)
    if preset not in PRESETS:
        raise ThermoError(f"preset {preset!r} is unknown: choose one of {', '.join(PRESETS)}")
    values: dict[str, Any] = {"preset": preset, **PRESETS[preset]}
    values |= {name: parse_whole(name, text) if kinds[name] is int else text for name, text in texts.items()}
    config = GibbsConfig(**values)
    config.validate()
    return config
