"""CountSketch: many-dimensional snapshots in few columns, with distances kept up to a known error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Columns worked on at once by the hash (its temporaries then stay in the cache).
_BLOCK = 2**16


class CountSketch:
    """The linear map (n, d) → (n, m) that adds each column, with a sign, to one of m buckets.

    Bucket and sign come from a hash of the column's number alone, so that all series of one model are mapped alike,
    on every machine and by every version of numpy. It keeps squared lengths without bias, with a relative standard
    error of at most √(2/m) (Charikar, Chen and Farach-Colton 2002; Weinberger et al. 2009).

    Parameters
    ----------
    d, m : numbers of columns before and after.
    """

    def __init__(self, d: int, m: int) -> None:
        if d < 1 or m < 1:
            raise ValueError(f"a sketch maps d >= 1 columns to m >= 1, got d={d} and m={m}")
        self.d, self.m = d, m
        self._bucket = np.empty(d, dtype=np.intp)
        self._sign = np.empty(d, dtype=np.float32)
        for start in range(0, d, _BLOCK):
            columns = slice(start, min(start + _BLOCK, d))
            hashed = _mixed(np.arange(columns.start, columns.stop, dtype=np.uint64))
            self._sign[columns] = 1 - 2 * (hashed & np.uint64(1)).astype(np.float32)
            self._bucket[columns] = ((hashed >> np.uint64(1)) % np.uint64(m)).astype(np.intp)

    @property
    def relative_error(self) -> float:
        """Standard error of a squared distance, relative; the distance itself has half of it."""
        return float(np.sqrt(2 / self.m))

    def apply(self, rows: NDArray[Any], first: int = 0) -> NDArray[np.float64]:
        """Sketches (n, m) of the columns `first` and following of some rows (n, width): sums over parts of d add up."""
        columns = slice(first, first + rows.shape[1])
        bucket, sign = self._bucket[columns], self._sign[columns]
        return np.stack([np.bincount(bucket, weights=row * sign, minlength=self.m) for row in rows])


def sketch_rows(sketch: CountSketch, rows: NDArray[Any], keep_norms: bool) -> NDArray[np.float32]:
    """Sketches (n, m) of whole snapshots (n, d).

    Parameters
    ----------
    keep_norms : scale every row to its exact length, as points on a sphere need.
    """
    found = sketch.apply(rows)
    if keep_norms:
        exact = np.array([np.linalg.norm(row.astype(np.float64)) for row in rows])
        rough = np.linalg.norm(found, axis=1)
        found *= np.divide(exact, rough, out=np.ones_like(exact), where=rough > 0)[:, None]
    return found.astype(np.float32)


def measured_error(full: NDArray[Any], sketched: NDArray[Any]) -> float | None:
    """Root mean square relative error of the finite distances between some snapshots; None where there are none."""
    errors = []
    for i in range(len(full)):
        for j in range(i):
            exact = float(np.linalg.norm(full[i].astype(np.float64) - full[j]))
            if 0 < exact < np.inf:
                found = float(np.linalg.norm(sketched[i].astype(np.float64) - sketched[j]))
                errors.append(found / exact - 1)
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else None


def _mixed(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbouring numbers get unrelated bits."""
    with np.errstate(over="ignore"):
        z = number * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
