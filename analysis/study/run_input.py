"""What a study needs of a run."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from analysis.trajectory import History, Trajectory


class RunInput(Protocol):
    """A run whose snapshots can be loaded, like those of `analysis.from_tracking` and `analysis.from_folder`."""

    @property
    def run_id(self) -> str:
        """Name of the run."""

    @property
    def lr(self) -> float:
        """Learning rate."""

    @property
    def seed(self) -> int:
        """Run seed."""

    @property
    def uniform_loss(self) -> float | None:
        """Mean loss of uniformly random weights, if known."""

    @property
    def uniform_loss_std(self) -> float | None:
        """Its standard deviation over points, if known."""

    def load(self, series: str) -> Trajectory:
        """One series of snapshots; RunError where it cannot be read."""


@runtime_checkable
class Logged(Protocol):
    """A run whose metrics along the training can be read; only such a run gets a signal-to-noise ratio."""

    @property
    def history(self) -> History:
        """Metrics along the training, by name."""
