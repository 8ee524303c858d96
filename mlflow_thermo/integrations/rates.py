"""The learning rate of a trainer's optimizer, and whether a scheduler leaves it where it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mlflow_thermo.errors import ThermoError

#: Schedulers that have no other use than to change the learning rate all along.
_MOVING = (
    "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "OneCycleLR", "PolynomialLR",
)  # fmt: skip
#: Points of a schedule that are looked at, before the place where it changes is looked for between two of them.
_PROBES = 1000
#: Largest share of a training that a warm-up takes: what changes for longer is a schedule.
_WARMUP_SHARE = 0.5


def plain_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer of PyTorch inside of a trainer's own; ThermoError where there is none."""
    while isinstance(getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = optimizer.optimizer
    if not isinstance(optimizer, Optimizer):
        raise ThermoError(f"the optimizer is {type(optimizer).__name__}, whose updates and learning rate are not known")
    return optimizer


def learning_rate(optimizer: Optimizer, recorded: Iterable[Tensor]) -> float:
    """The one learning rate of the tensors that are recorded; ThermoError where they have several."""
    tensors = {id(tensor) for tensor in recorded}
    groups = [group for group in optimizer.param_groups if any(id(one) in tensors for one in group["params"])]
    # Trainers that flatten parameters give the optimizer others than the model has.
    rates = sorted({float(group["lr"]) for group in groups or optimizer.param_groups})
    if len(rates) > 1:
        raise ThermoError(
            f"the optimizer has the learning rates {', '.join(f'{rate:g}' for rate in rates)}, and a temperature is "
            "that of one: record the parameters of one group with select="
        )
    return rates[0]


def warmup_of(scheduler: Any, units: int) -> int | None:
    """After how many of its steps a scheduler leaves the learning rate where it is; None where only time can tell.

    Parameters
    ----------
    scheduler : object or None
        As PyTorch or a trainer has it.
    units : int
        Steps of the scheduler in the whole training.

    Raises
    ------
    ThermoError
        It changes the learning rate for most of the training.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> warmup_of(LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / 20)), 1000)
    19
    """
    scheduler = getattr(scheduler, "scheduler", scheduler)
    if scheduler is None:
        return 0
    if type(scheduler).__name__ in _MOVING:
        raise _moving(f"{type(scheduler).__name__} changes")
    if type(scheduler) is not LambdaLR or units < 1:
        return None

    def factors(step: int) -> tuple[float, ...]:
        return tuple(float(rule(step)) for rule in scheduler.lr_lambdas)

    last = factors(units - 1)
    stride = max(1, units // _PROBES)
    changing = [step for step in range(0, units, stride) if factors(step) != last]
    if not changing:
        return 0
    low, high = changing[-1], min(changing[-1] + stride, units - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if factors(middle) == last else (middle, high)
    if high > _WARMUP_SHARE * units:
        raise _moving("a scheduler changes")
    return high


def moved(before: float, now: float, update: int) -> ThermoError:
    """The error of a learning rate that was not left where it was."""
    return _moving(
        f"update {update} has another one than the first that was recorded ({now:g} and {before:g}): it changes"
    )


def _moving(what: str) -> ThermoError:
    return ThermoError(
        f"{what} the learning rate, and a temperature is that of a fixed one: train without a scheduler, or with a "
        "constant one after a warm-up, whose updates warmup= leaves out"
    )
