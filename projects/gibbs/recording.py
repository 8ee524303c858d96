"""The MLflow run of one temperature: its params, metrics and snapshots, and the status that it ends with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from mlflow import MlflowClient
from torch import Tensor

from analysis.stationarity import classify
from mlflow_thermo import Schedule, SnapshotRecorder, schema
from projects.common import ParentWatch, create_run, end_run, first_line, log_dataset, log_new_params
from projects.gibbs.config import GibbsConfig
from projects.gibbs.surfaces import Surface

#: Metrics of the sampler, over the trajectories after the burn-in.
ACCEPTANCE, EXCHANGE = "gibbs/acceptance", "gibbs/exchange_acceptance"
ENERGY_ERROR, STEP_SIZE, GRADIENTS = "gibbs/energy_error", "gibbs/step_size", "gibbs/gradients"
#: Draws of each chain whose gradients are kept.
GRADIENT_DRAWS = 50
#: A sampler that accepts less hardly moves.
LOWEST_ACCEPTANCE = 0.2


@dataclass
class Outcome:
    """One line of the ladder's table; NaN where the run did not get so far."""

    temperature: float
    run_id: str
    status: str = "RUNNING"
    message: str = ""
    loss: float = math.nan
    heat_capacity: float = math.nan
    acceptance: float = math.nan
    exchange: float = math.nan
    virial: float = math.nan


class TemperatureRun:
    """Writes the draws of one temperature into an MLflow run of its own.

    Parameters
    ----------
    experiment_id : of the run.
    sweep : what all temperatures of the ladder have for a tag.
    uniform : mean and standard deviation of the loss of random weights.
    """

    def __init__(
        self,
        experiment_id: str,
        sweep: str,
        config: GibbsConfig,
        surface: Surface,
        temperature: float,
        uniform: tuple[float, float] | tuple[None, None],
        watch: ParentWatch,
    ) -> None:
        self._client = MlflowClient()
        self._config, self._uniform = config, uniform
        self._losses: list[float] = []
        self._recorder: SnapshotRecorder | None = None
        with watch.holding():
            tags = {schema.TAG_KIND: schema.KIND_TRAIN, schema.TAG_SWEEP: sweep}
            name = f"{config.preset} T={temperature:g} seed={config.seed}"
            self.outcome = Outcome(temperature, create_run(self._client, experiment_id, name, tags))
        try:
            self._open(surface)
        except BaseException:
            # Nobody else knows of the run yet.
            self._end("FAILED", "could not be opened")
            raise

    def _open(self, surface: Surface) -> None:
        config, run_id = self._config, self.outcome.run_id
        params = {key: value for key, value in asdict(config).items() if key != "temperatures"}
        params |= {"temperature": f"{self.outcome.temperature:g}", "d": surface.d, "n_train": surface.n_train}
        log_new_params(run_id, params)
        mean, std = self._uniform
        known = {schema.METRIC_SET_TEMPERATURE: self.outcome.temperature}
        if mean is not None and std is not None:
            known |= {schema.METRIC_UNIFORM_LOSS: mean, schema.METRIC_UNIFORM_LOSS_STD: std}
        self._scale = surface.scale
        self._weights = torch.zeros(config.chains, surface.d, dtype=getattr(torch, config.dtype))
        self._recorder = SnapshotRecorder(
            [
                [(p.name, row[p.offset : p.offset + p.size].view(p.shape).requires_grad_(True)) for p in surface.layout]
                for row in self._weights
            ],
            series=[Schedule(schema.SPACED, tuple(range(1, config.draws + 1)))],
            seed=config.seed,
            protocol=surface.protocol,
            run_id=run_id,
            attributes={
                schema.SET_TEMPERATURE: self.outcome.temperature,
                # A rejected trajectory draws its state once more, here or, after an exchange, a little later.
                schema.REPEATS: schema.METROPOLIS,
                "uniform_loss": mean,
                "uniform_loss_std": std,
            },
        )
        assert self._recorder.outbox is not None
        self._outbox = self._recorder.outbox
        log_dataset(self._outbox, surface.name, {"training": surface.data})
        self._outbox.metrics(known, 0)

    def record(self, weights: Tensor, losses: Tensor) -> None:
        """Keep a draw of every chain: weights (n_chains, d) as they are sampled, losses (n_chains,)."""
        assert self._recorder is not None
        torch.mul(weights, self._scale, out=self._weights)
        self._recorder.step(losses.double().numpy())
        self._losses.append(float(losses.double().mean()))

    def keep_gradients(self, gradients: Tensor, losses: Tensor) -> None:
        """Keep the gradients of some draws, (n_draws, n_chains, d) as they are sampled, with their losses."""
        assert self._recorder is not None
        every = max(1, len(gradients) // GRADIENT_DRAWS)
        steps = list(range(every, len(gradients) + 1, every))
        chosen = torch.tensor(steps) - 1
        # Recorded weights are the sampled ones times the scale.
        rows = (gradients[chosen] / self._scale).to("cpu", torch.float32).numpy()
        self._recorder.attach(schema.GRADIENTS, steps, rows, losses[chosen].double().cpu().numpy())

    def finish(self, losses: Tensor, values: Mapping[str, float]) -> None:
        """Upload everything and end the run; as failed, with what it has, where its draws cannot be trusted.

        Parameters
        ----------
        losses : (n_draws, n_chains) of all draws.
        values : metrics of the sampler and of the virial.
        """
        outcome = self.outcome
        outcome.loss = float(losses.double().mean())
        outcome.heat_capacity = float(losses.double().var()) / outcome.temperature**2
        outcome.acceptance = values[ACCEPTANCE]
        outcome.exchange = values.get(EXCHANGE, math.nan)
        outcome.virial = values[schema.METRIC_VIRIAL] / outcome.temperature
        regime = classify(np.arange(1.0, len(self._losses) + 1), np.array(self._losses), *self._uniform)
        self._outbox.tags({schema.TAG_REGIME: regime.name})
        self._outbox.metrics({**values, schema.METRIC_LOSS: outcome.loss}, len(self._losses))
        fault = self._fault()
        if fault:
            self.abandon("FAILED", fault)
            return
        assert self._recorder is not None
        self._recorder.finish()
        self._end("FINISHED", "")

    def _fault(self) -> str:
        """Why the draws cannot be trusted, with the remedy; empty where they can."""
        outcome, dtype = self.outcome, self._config.dtype
        if torch.finfo(getattr(torch, dtype)).eps * abs(outcome.loss) > outcome.temperature:
            remedy = "take dtype=float64" if dtype != "float64" else "raise it"
            return (
                f"temperature {outcome.temperature:g} is below the rounding of losses of {outcome.loss:.3g} in "
                f"{dtype}: {remedy}"
            )
        if outcome.acceptance < LOWEST_ACCEPTANCE:
            return (
                f"acceptance is {outcome.acceptance:.0%} at temperature {outcome.temperature:g}, at least "
                f"{LOWEST_ACCEPTANCE:.0%} is needed: take more leapfrogs or a longer burn_in"
            )
        return ""

    def abandon(self, status: str, message: str) -> None:
        """End the run as `status` with what it recorded, unless it has ended; an error here must not reach others."""
        if self.outcome.status != "RUNNING":
            return
        try:
            if self._recorder is not None:
                self._recorder.finish(complete=False)
        except Exception as error:
            message = f"{message}; {first_line(error)}"
        self._end(status, message)

    @property
    def recorders(self) -> list[SnapshotRecorder]:
        """What is to be waited for at the end of the program: the recorder of the run, if it has got so far."""
        return [] if self._recorder is None else [self._recorder]

    def _end(self, status: str, message: str) -> None:
        end_run(self.outcome.run_id, status)
        self.outcome.status, self.outcome.message = status, message
