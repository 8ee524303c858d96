"""How long a run has to go on: rounds, each planned from the correlation that the one before has shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.stationarity import independent_draws
from projects.fixed_lr.config import TrainConfig
from projects.fixed_lr.phases import Phases, phases_of

#: Directions onto which the weights of larger models are projected: correlation times need no more.
DIRECTIONS = 256
#: A round lasts at least this share of what was recorded before, and at most so many times as long.
SHORTEST_ROUND, LONGEST_ROUND = 0.1, 2.0
#: A round that would take what was recorded to more than so many times as much ends after this share of it.
FAR, ON_THE_WAY = 1.3, 0.7
#: A preset lets chains forget each other for three of their slowest correlation times. Most directions are faster: a
#: chain takes about a fifth of it for an independent snapshot.
SNAPSHOTS_PER_FORGETTING = 5.0
#: What the preset tells counts as much as this share of the independent snapshots that are needed.
PRIOR_SHARE = 0.25
#: Without a preset that tells, this many independent snapshots tell how many there will be.
FEWEST_TO_TELL = 50.0
#: Independent snapshots are counted again when there are so many times as many points.
COUNT_AGAIN = 1.1


class Need:
    """Counts the independent snapshots of one run, and plans the step at which there will be enough.

    Parameters
    ----------
    needed : independent snapshots to reach; None for a run of fixed length.

    Attributes
    ----------
    n_eff : independent snapshots at the last look; NaN before it.
    next_look : step at which the run is looked at again.
    """

    def __init__(self, phases: Phases, needed: float | None) -> None:
        self.needed = needed
        self.n_eff = math.nan
        self.next_look = phases.last if needed is None else min(phases.first, phases.last)
        self._phases = phases
        self._points: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._sum: Tensor | None = None
        self._count = 0
        self._directions: Tensor | None = None
        self._counted, self._found = 0, 0.0

    def step(self, step: int, weights: Tensor, losses: Tensor) -> None:
        """Take in the weights (chains, d) that optimiser step `step` will change, and their minibatch losses."""
        phases = self._phases
        if self.needed is None or step <= phases.record:
            return
        self._sum = losses.clone() if self._sum is None else self._sum.add_(losses)
        self._count += 1
        if (step - phases.record) % phases.spacing:
            return
        self._points.append(self._projected(weights.detach()).clone())
        self._losses.append(self._sum / self._count)
        self._sum, self._count = None, 0

    def satisfied(self, step: int) -> bool:
        """Whether the run may end after `step`; if not, `next_look` moves on."""
        if step < self.next_look:
            return False
        if self.needed is None:
            return True
        self.n_eff = self._independent() if len(self._points) >= 4 else 0.0
        if self.n_eff >= self.needed or step >= self._phases.last:
            return True
        recorded = step - self._phases.record
        wanted = recorded * self.needed / max(self.n_eff, 1.0)
        if wanted > FAR * recorded:
            # Early counts are too low more often than too high: a long round stops for a look on the way.
            wanted = recorded + ON_THE_WAY * (wanted - recorded)
        wanted = min(max(wanted, (1 + SHORTEST_ROUND) * recorded), (1 + LONGEST_ROUND) * recorded)
        self.next_look = min(self._phases.record + math.ceil(wanted), self._phases.last)
        return False

    def state(self) -> dict[str, Any]:
        """What has been seen and planned, for a checkpoint."""
        return {
            "n_eff": self.n_eff,
            "next_look": self.next_look,
            "points": stacked(self._points),
            "losses": stacked(self._losses),
            "sum": self._sum,
            "count": self._count,
        }

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from a `state`."""
        self.n_eff, self.next_look, self._count = state["n_eff"], state["next_look"], state["count"]
        self._points, self._losses = (unstacked(state[name], device) for name in ("points", "losses"))
        self._sum = None if state["sum"] is None else state["sum"].to(device)

    def missing(self, step: int) -> int:
        """Steps that the run would still need after `step`; 0 where there are enough."""
        if self.needed is None or self.n_eff >= self.needed:
            return 0
        recorded = step - self._phases.record
        return math.ceil(recorded * (self.needed / max(self.n_eff, 1.0) - 1))

    def words(self, step: int) -> str:
        """What was reached, what was asked for, and what is missing after `step` steps."""
        reached = f"{self.n_eff:.0f} independent snapshots, {self.needed:.0f} were asked for"
        missing = self.missing(step)
        return f"{reached}: about {missing} steps are missing, raise max_steps" if missing else reached

    def expected_end(self, step: int, config: TrainConfig) -> float:
        """Step at which the run will about end, seen from `step`; NaN while nobody can tell.

        By what the preset of `config` knows of its correlations, and more and more by what the run has shown.
        """
        phases = self._phases
        if self.needed is None or step >= phases.last:
            return float(phases.last)
        # Of a run whose phases the user sets nothing is known beforehand.
        known = config.chains > 1 and config.spacing > 0
        prior = PRIOR_SHARE * self.needed if known else 0.0
        found, steps = self._count_between_looks(), float(self._counted * phases.spacing)
        if not known and found < FEWEST_TO_TELL:
            return math.nan
        # What has been found is there; the rest comes as fast as the run and the preset say together.
        pace = (steps + prior * config.forget / SNAPSHOTS_PER_FORGETTING / config.chains) / (found + prior)
        end = phases.record + steps + max(0.0, self.needed - found) * pace
        if end > self.next_look:
            # One more round, which has a shortest length.
            end = max(end, phases.record + (1 + SHORTEST_ROUND) * (self.next_look - phases.record))
        return float(min(max(end, self.next_look), phases.last))

    def _count_between_looks(self) -> float:
        """Independent snapshots among the first `_counted` points: the plan is kept, `n_eff` is of the last look."""
        if len(self._points) >= max(4, COUNT_AGAIN * self._counted):
            self._counted, self._found = len(self._points), self._independent()
        return self._found

    def _independent(self) -> float:
        """Independent snapshots among all points."""
        # float64 on the CPU: a look is rare, and correlations are small differences.
        points, losses = (
            np.asarray(torch.stack(kept, dim=1).to("cpu", torch.float64).numpy())
            for kept in (self._points, self._losses)
        )
        return independent_draws(points, losses)

    def _projected(self, weights: Tensor) -> Tensor:
        d = weights.shape[-1]
        if d <= DIRECTIONS:
            return weights
        if self._directions is None:
            generator = torch.Generator().manual_seed(0)
            self._directions = torch.randn(d, DIRECTIONS, generator=generator).to(weights) / DIRECTIONS**0.5
        return weights @ self._directions


def stacked(rows: Sequence[Tensor]) -> Tensor | None:
    """Tensors of one shape in one; None where there are none."""
    return torch.stack(list(rows)) if rows else None


def unstacked(rows: Tensor | None, device: torch.device) -> list[Tensor]:
    """The tensors of `stacked`, on a device."""
    return [] if rows is None else list(rows.to(device).unbind())


def expected_steps(config: TrainConfig) -> float:
    """Steps that a run will about take, before anything of it is known.

    How many dimensions there are is not known here: only the lengths of runs relative to each other count.
    """
    needed = config.needed(1) if config.until else None
    end = Need(phases_of(config), needed).expected_end(0, config)
    return float(config.steps) if math.isnan(end) else end
