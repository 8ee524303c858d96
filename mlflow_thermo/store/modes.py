"""In which form a series is stored: in full, as its inner products, or as a sketch."""

from __future__ import annotations

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import AUTO, FULL, ISOMETRIC, SKETCH, STORAGES

#: Largest series, in bytes, that ``auto`` always stores in full: its weights can then be looked at one by one.
SMALL = 32 * 2**20
#: Columns of a sketch; they give distances a relative standard error of 1.1 %.
SKETCH_COLUMNS = 4096
#: Columns of the sketch that accompanies an isometric series; all runs share its basis.
SHARED_COLUMNS = 512
#: Share of the free disk space that the full snapshots of a run may take until they are reduced.
DISK_SHARE = 0.4


def choose_storage(asked: str, n: int, d: int, itemsize: int, room: float) -> str:
    """Choose how to store a series of n snapshots of d weights.

    ``auto`` stores small series in full and reduces large ones to their inner products, which loses nothing that an
    entropy needs; where the disk cannot hold the full snapshots until then, it sketches. A series of at least as many
    snapshots as weights is stored in full unless a ``sketch`` is asked for: its isometric form would be no smaller.

    Parameters
    ----------
    asked : str
        ``auto``, ``full``, ``isometric`` or ``sketch``.
    n, d : int
        Numbers of snapshots and of weights.
    itemsize : int
        Bytes per weight.
    room : float
        Bytes on the disk that the full snapshots may take.

    Returns
    -------
    str
        ``full``, ``isometric`` or ``sketch``.

    Raises
    ------
    ThermoError
        Unknown name.

    Examples
    --------
    >>> choose_storage("auto", n=1000, d=24_408, itemsize=4, room=1e9)
    'isometric'
    """
    if asked not in STORAGES:
        raise ThermoError(f"storage {asked!r} is unknown: choose one of {', '.join(STORAGES)}")
    whole = n * d * itemsize
    if asked in (FULL, SKETCH):
        return asked
    if n >= d:
        return FULL
    if asked == ISOMETRIC:
        return ISOMETRIC
    assert asked == AUTO
    if whole <= SMALL or 4 * n * (n + 1) >= whole // 2:
        return FULL
    return ISOMETRIC if whole <= room else SKETCH
