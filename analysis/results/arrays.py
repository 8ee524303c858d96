"""Array aliases used in signatures, and the equality of dataclasses that hold arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
StrArray: TypeAlias = NDArray[np.str_]
BoolArray: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class EqualNumbers:
    """Numbers and arrays by name; two of one class are equal if all their numbers are, where NaN equals NaN.

    The equality that dataclasses generate raises for arrays, and NaN is not equal to itself.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            np.array_equal(mine, theirs, equal_nan=True)
            for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)
        )

    def __hash__(self) -> int:
        return hash(tuple(np.asarray(value).tobytes() for value in vars(self).values()))
