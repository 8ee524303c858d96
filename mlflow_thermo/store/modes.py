"""In which form a series is kept: whole, as its inner products, or as a sketch."""

from __future__ import annotations

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import AUTO, FULL, ISOMETRIC, SKETCH, STORAGES

#: A series up to this size is kept whole: its weights can then be looked at one by one.
SMALL = 32 * 2**20
#: Columns of a sketch: relative standard error of a distance 1.1 %.
SKETCH_COLUMNS = 4096
#: Columns of the sketch beside an isometric series, in which all runs share one basis.
SHARED_COLUMNS = 512
#: Share of the free disk that the whole snapshots of a run may take until they are reduced.
DISK_SHARE = 0.4


def choose_storage(asked: str, n: int, d: int, itemsize: int, room: float) -> str:
    """``full``, ``isometric`` or ``sketch`` for a series of n snapshots of d weights.

    ``auto`` keeps small series whole and reduces large ones to their inner products, which loses nothing that an
    entropy needs; where the disk cannot hold the snapshots until then, it sketches. A series of at least as many
    snapshots as weights is kept whole in any case but ``sketch``: it has no smaller isometric form.

    Parameters
    ----------
    room : bytes on the disk that its whole snapshots may take.

    Raises
    ------
    ThermoError
        Unknown name.
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
