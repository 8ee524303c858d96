"""Named ladders of temperatures with the networks and the settings of their sampling; a parameter overrides them."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # The loss surface of the default training preset, at temperatures that SGD has there. One basin: chains that start
    # anywhere have come together by the end of the burn-in. Measured, the sampling holds from 2e-7, where float32 ends,
    # to 0.1; the entropy of a Gaussian holds to 2 % in temperature up to 0.014.
    "digits": {
        "temperatures": "6e-5:6e-3:12",
        "chains": 16,
        "leapfrogs": 4,
        "burn_in": 200,
        "draws": 300,
        "every": 2,
        "dtype": "float32",
    },
    # Two hidden ReLU layers, of many basins: the start is looked for at temperatures that cross between them.
    "digits-mlp": {
        "temperatures": "6e-4:4e-3:9",
        "chains": 16,
        "leapfrogs": 8,
        "burn_in": 500,
        "draws": 250,
        "every": 4,
        "dtype": "float32",
    },
    # Regression with weight decay in flat space, near one optimum; the smallest and fastest.
    "smooth": {
        "temperatures": "3e-5:3e-4:8",
        "chains": 16,
        "leapfrogs": 6,
        "burn_in": 400,
        "draws": 300,
        "every": 2,
        "dtype": "float64",
    },
}
