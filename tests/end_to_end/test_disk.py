"""The programs on disks that break: short words, no traceback, no long silence, and nothing is lost."""

import re

import pytest

from benchmarks import places
from benchmarks.disk import kept, tried
from benchmarks.places import Case, Place, Stores, can_mount

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_mount(), reason="only root on Linux can make a disk"),
    pytest.mark.xdist_group("disk"),
]
WHOLE = f"FINISHED, {places.POINTS} points, complete snapshots"


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return Stores(tmp_path_factory.mktemp("stores"))


@pytest.mark.parametrize(
    ("case", "lines", "says", "left"),
    [
        (
            Case(places.TRAIN, places.STORE, places.READ_ONLY),
            1,
            "the tracking store .* the disk is read-only: make it",
            "no run was begun",
        ),
        (
            Case(places.TRAIN, places.STORE, places.FULL, places.MIDDLE),
            6,
            r"the disk is full.*safe in .*, deliver it with",
            f"delivered; {WHOLE}",
        ),
        (
            Case(places.TRAIN, places.ARTIFACTS, places.READ_ONLY),
            6,
            "artifacts/.*the disk is read-only.*deliver",
            f"delivered; {WHOLE}",
        ),
        (
            Case(places.TRAIN, places.WORK, places.FULL, places.MIDDLE),
            4,
            "the disk is full.*afterwards go on with",
            f"delivered; resumed; {WHOLE}",
        ),
        (
            Case(places.PROCESSES, places.STORE, places.FULL, places.MIDDLE),
            14,
            "2 of 2 runs failed, see the table",
            f"; {WHOLE}; {WHOLE}",
        ),
        (
            Case(places.STACK, places.WORK, places.READ_ONLY, places.MIDDLE),
            12,
            "2 of 2 runs failed, see the table",
            f"resumed; {WHOLE}; {WHOLE}",
        ),
        (
            Case(places.ANALYZE, places.OUT, places.FULL),
            1,
            "the report cannot be written to .*: the disk is full",
            "no report; again: done",
        ),
        (
            Case(places.ANALYZE, places.STORE, places.READ_ONLY),
            8,
            "the disk is read-only",
            "the report is there; again: done",
        ),
        (
            Case(places.ANALYZE, places.ARTIFACTS, places.FULL),
            8,
            "artifacts of run .*: the disk is full",
            "the report is there; again: done",
        ),
    ],
    ids=lambda one: f"{one.program}-{one.place}-{one.fault}" if isinstance(one, Case) else "",
)
def test_a_disk_that_breaks(stores, tmp_path, case, lines, says, left):
    place = Place(tmp_path / "place", case)
    try:
        stores.put(place)
        found = tried(place)
        assert found.code == 1
        assert re.search(f"^error: .*{says}", found.says), found.lines
        assert len(found.lines) <= lines, found.lines
        # The programs of a test may share a core with others.
        assert found.silence < 40
        assert kept(place).endswith(left)
    finally:
        place.close()
