"""Size and power of the diagnosis: false alarms on stationary processes, and how often each planted fault is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis import diagnose
from analysis.results import FloatArray
from analysis.stationarity import record_problem
from analysis.trajectory import Trajectory
from benchmarks.table import Table


@dataclass(frozen=True)
class Setting:
    """Chains of an autoregression in every direction, scales over a factor of fifty, the widest the slowest."""

    chains: int
    draws: int
    dim: int
    slowest: float = 0.5

    def sample(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Snapshots (chains, draws, dim) and losses (chains, draws)."""
        phi = np.geomspace(self.slowest, 0.01, self.dim)
        x = np.zeros((self.chains, self.draws, self.dim))
        state = rng.normal(size=(self.chains, self.dim))
        for t in range(self.draws):
            state = phi * state + np.sqrt(1 - phi**2) * rng.normal(size=state.shape)
            x[:, t] = state
        loss = 1 + np.sum(x**2, axis=-1) / 2 / self.dim + 0.05 * rng.normal(size=x.shape[:2])
        return x * np.geomspace(1.0, 0.02, self.dim), loss


SETTINGS = (
    Setting(1, 400, 10), Setting(1, 1000, 80), Setting(4, 200, 10), Setting(8, 60, 20), Setting(16, 70, 80),
    Setting(16, 300, 80), Setting(8, 60, 400),
)  # fmt: skip

Fault = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


def _basin(x: FloatArray, loss: FloatArray) -> tuple[FloatArray, FloatArray]:
    x = x.copy()
    x[-1] += 1.5 * x.std(axis=(0, 1))
    return x, loss


def _drift(x: FloatArray, loss: FloatArray) -> tuple[FloatArray, FloatArray]:
    along = np.linspace(0, 2, x.shape[1])[:, None] * x.std(axis=(0, 1)) * (np.arange(x.shape[2]) < 3)
    return x + along, loss


def _loss_falls(x: FloatArray, loss: FloatArray) -> tuple[FloatArray, FloatArray]:
    return x, loss - np.linspace(0, 2, x.shape[1]) * loss.std()


def _widening(x: FloatArray, loss: FloatArray) -> tuple[FloatArray, FloatArray]:
    return x * np.linspace(0.7, 1.3, x.shape[1])[:, None], loss


def _frozen(x: FloatArray, loss: FloatArray) -> tuple[FloatArray, FloatArray]:
    return x * (np.arange(x.shape[2]) != 1), loss


def _twin(x: FloatArray, loss: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.concatenate([x, x[..., :1]], axis=-1), loss


def _stale(x: FloatArray, loss: FloatArray) -> tuple[FloatArray, FloatArray]:
    x = x.copy()
    x[:, x.shape[1] // 2 :] = x[:, x.shape[1] // 2 : x.shape[1] // 2 + 1]
    return x, loss


def _four_calls(x: FloatArray, loss: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.repeat(x[:, ::4], 4, axis=1)[:, : x.shape[1]], loss


FAULTS: dict[str, Fault] = {
    "a chain in another basin": _basin,
    "drift by 2 sd": _drift,
    "loss falls by 2 sd": _loss_falls,
    "spread 0.7 to 1.3": _widening,
    "one weight frozen": _frozen,
    "a weight under two names": _twin,
    "stale in the second half": _stale,
    "four calls a step": _four_calls,
}


def caught(x: FloatArray, loss: FloatArray) -> bool:
    """Whether anything is said about these snapshots."""
    run = Trajectory(np.arange(1, x.shape[1] + 1), x, loss)
    found = diagnose(run)
    named = found.evidence.stays > 0.02 * found.evidence.n
    harmless = ("ok", "autocorrelated") if run.n_chains == 1 else ("ok",)
    return found.status not in harmless or bool(record_problem(run)) or bool(named)


def main(quick: bool) -> None:
    """Write diagnosis.md and diagnosis.json."""
    repeats = 10 if quick else 40
    table = Table(
        "diagnosis",
        "Size and power of the diagnosis",
        f"Shares of {repeats} runs in which something was said, by a status or by a note. Stationary autoregressions "
        "with correlation times of up to three draws; faults are planted in the same. A chain in another basin needs "
        "another chain to be one; a single chain that is autocorrelated is thinned, and not counted.",
        ("chains", "draws", "D", "false alarms", *FAULTS),
        ("numpy", "scipy", "arviz-stats"),
    )
    for setting in SETTINGS:
        shares = []
        for fault in (lambda x, loss: (x, loss), *FAULTS.values()):
            if fault is _basin and setting.chains == 1:
                shares.append("-")
                continue
            rng = np.random.default_rng(0)
            shares.append(f"{np.mean([caught(*fault(*setting.sample(rng))) for _ in range(repeats)]):.2f}")
        table.add(setting.chains, setting.draws, setting.dim, *shares)
    if not quick:
        table.write()


if __name__ == "__main__":
    main(quick=True)
