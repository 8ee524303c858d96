"""CountSketch: high-dimensional snapshots in few columns, with distances kept up to a known error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Columns hashed at once, so that the temporary arrays stay in the cache.
_BLOCK = 2**16


class CountSketch:
    """The linear map (n, d) → (n, m) that adds each column, with a sign, to one of m buckets.

    Bucket and sign are a hash of the column's number alone, so all series of one model are mapped in the same way, on
    every machine and with every version of NumPy. Squared lengths are kept without bias, with a relative standard error
    of at most √(2/m) (Charikar, Chen and Farach-Colton 2002; Weinberger et al. 2009).

    Parameters
    ----------
    d, m : int
        Numbers of columns before and after.

    Raises
    ------
    ValueError
        `d` or `m` below 1.

    Examples
    --------
    >>> sketch = CountSketch(d=10_000, m=200)
    >>> sketch.apply(np.ones((3, 10_000))).shape
    (3, 200)
    >>> sketch.relative_error
    0.1
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
        """Relative standard error of a squared distance; that of the distance itself is half as large."""
        return float(np.sqrt(2 / self.m))

    def apply(self, rows: NDArray[Any], first: int = 0) -> NDArray[np.float64]:
        """Sketch (n, m) of the columns from `first` on, given as rows (n, width); sketches of parts of d add up."""
        columns = slice(first, first + rows.shape[1])
        bucket, sign = self._bucket[columns], self._sign[columns]
        return np.stack([np.bincount(bucket, weights=row * sign, minlength=self.m) for row in rows])


def sketch_rows(sketch: CountSketch, rows: NDArray[Any], keep_norms: bool) -> NDArray[np.float32]:
    """Sketch full snapshots.

    Parameters
    ----------
    sketch : CountSketch
        From d to m columns.
    rows : ndarray
        Snapshots (n, d).
    keep_norms : bool
        Scale every row to its exact length, as needed for points on a sphere.

    Returns
    -------
    ndarray
        Shape (n, m), float32.
    """
    found = sketch.apply(rows)
    if keep_norms:
        exact = np.array([np.linalg.norm(row.astype(np.float64)) for row in rows])
        rough = np.linalg.norm(found, axis=1)
        found *= np.divide(exact, rough, out=np.ones_like(exact), where=rough > 0)[:, None]
    return found.astype(np.float32)


def measured_error(full: NDArray[Any], sketched: NDArray[Any]) -> float | None:
    """Root mean square relative error of the distances between sketched snapshots.

    Parameters
    ----------
    full, sketched : ndarray
        The same snapshots, (n, d) and (n, m).

    Returns
    -------
    float or None
        None if no distance is finite and positive.
    """
    errors = []
    for i in range(len(full)):
        for j in range(i):
            exact = float(np.linalg.norm(full[i].astype(np.float64) - full[j]))
            if 0 < exact < np.inf:
                found = float(np.linalg.norm(sketched[i].astype(np.float64) - sketched[j]))
                errors.append(found / exact - 1)
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else None


def _mixed(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), which maps neighbouring numbers to unrelated bits."""
    with np.errstate(over="ignore"):
        z = number * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
