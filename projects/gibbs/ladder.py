"""Samples a ladder of temperatures and writes each into its MLflow run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlflow_thermo import schema
from projects.common import ParentWatch
from projects.gibbs.config import GibbsConfig
from projects.gibbs.energy import Energy
from projects.gibbs.progress import Progress
from projects.gibbs.recording import ACCEPTANCE, ENERGY_ERROR, EXCHANGE, GRADIENTS, STEP_SIZE, TemperatureRun
from projects.gibbs.sampler import GibbsSampler
from projects.gibbs.states import Samples
from projects.gibbs.surfaces import Surface
from projects.gibbs.thermometers import virial_temperature


def sample_ladder(config: GibbsConfig, surface: Surface, runs: Sequence[TemperatureRun], watch: ParentWatch) -> None:
    """Burn in, draw and record; `runs` are one for each temperature, ascending, and end here.

    Raises
    ------
    Terminated
        The program was stopped; the runs are then still open.
    """
    total = surface.start_cost + len(runs) * config.chains * config.leapfrogs * config.trajectories
    with Progress(total) as progress:

        def done(count: int) -> None:
            watch.check()
            progress.add(count)

        def record(draw: Samples) -> None:
            for run, weights, losses in zip(runs, draw.weights[0], draw.losses[0], strict=True):
                run.record(weights, losses)

        sampler, samples = sampled(config, surface, done, record)
    for i, (run, values) in enumerate(zip(runs, _values(sampler, samples, surface.sizes), strict=True)):
        run.keep_gradients(samples.gradients[:, i], samples.losses[:, i])
        run.finish(samples.losses[:, i], values)


def sampled(
    config: GibbsConfig,
    surface: Surface,
    done: Callable[[int], None] = lambda count: None,
    record: Callable[[Samples], None] = lambda draw: None,
) -> tuple[GibbsSampler, Samples]:
    """Burn in and draw; the sampler as it is afterwards, and all draws.

    Parameters
    ----------
    done : told how many gradients were computed, after each batch of them.
    record : given each draw.
    """
    generator = torch.Generator().manual_seed(config.seed)
    energy = _counted(surface.energy, done)
    like = torch.empty((len(config.ladder), config.chains, surface.d), dtype=getattr(torch, config.dtype))
    temperatures = torch.tensor(config.ladder, dtype=like.dtype)
    start = surface.start(energy, like, generator)
    sampler = GibbsSampler(
        energy, surface.geometry(), temperatures, start, leapfrogs=config.leapfrogs, generator=generator
    )
    sampler.adapt(config.burn_in)
    draws = []
    for _ in range(config.draws):
        draws.append(sampler.sample(1, config.every))
        record(draws[-1])
    return sampler, _joined(draws)


def _counted(energy: Energy, done: Callable[[int], None]) -> Energy:
    def counted(weights: Tensor) -> tuple[Tensor, Tensor]:
        found = energy(weights)
        done(len(weights))
        return found

    return counted


def _joined(draws: Sequence[Samples]) -> Samples:
    return Samples(
        torch.cat([draw.weights for draw in draws]),
        torch.cat([draw.gradients for draw in draws]),
        torch.cat([draw.losses for draw in draws]),
    )


def _values(sampler: GibbsSampler, samples: Samples, sizes: Sequence[int]) -> list[dict[str, float]]:
    """Metrics of each temperature; the hottest has no exchange with a hotter one."""
    virial, error = virial_temperature(samples, sizes)
    columns = {
        ACCEPTANCE: sampler.acceptance,
        ENERGY_ERROR: sampler.energy_error,
        STEP_SIZE: sampler.step,
        EXCHANGE: sampler.exchange_acceptance,
        schema.METRIC_VIRIAL: virial,
        schema.METRIC_VIRIAL_STDERR: error,
    }
    n_temps = len(sampler.temperatures)
    found = [{name: float(column[i]) for name, column in columns.items() if i < len(column)} for i in range(n_temps)]
    for row in found:
        row[GRADIENTS] = sampler.gradient_evaluations / n_temps
    return found
