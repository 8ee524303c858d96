"""The parameters of a model that is changed: those that are replaced are followed, any other change is refused."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mlflow_thermo.errors import ThermoError


class Followed:
    """The trained tensors of a model, in one fixed order.

    Parameters
    ----------
    source : torch.nn.Module or other
        Where they come from. Only a module can be asked for a parameter that has taken the place of another.
    named : sequence of (str, Tensor)
        Names and tensors at first.

    Attributes
    ----------
    tensors : list of Tensor
        The tensors now.
    """

    def __init__(self, source: object, named: Sequence[tuple[str, Tensor]]) -> None:
        self._module = source if isinstance(source, nn.Module) else None
        self._names = [name for name, _ in named]
        self.tensors = [tensor for _, tensor in named]
        self._facts = [_facts(tensor) for tensor in self.tensors]
        self._look()

    @property
    def in_module(self) -> bool:
        """Whether replaced parameters can be found."""
        return self._module is not None

    def follow(self) -> None:
        """Take the tensors that are in the module now, where parts of it were replaced; ThermoError as `check`."""
        # At every snapshot: listing the parameters by name would take as long as the whole snapshot of a small net.
        if self._ids() != self._known:
            self.check()

    def check(self) -> None:
        """Look up all tensors anew.

        Raises
        ------
        ThermoError
            The trained parameters are not those of the beginning, in name, shape, dtype and device.
        """
        if self._module is not None:
            there = dict(self._module.named_parameters())
            fresh = [name for name, tensor in there.items() if tensor.requires_grad and name not in self._names]
            if fresh:
                raise _refusal(fresh[0], "is trained now and was not")
            gone = [name for name in self._names if name not in there]
            if gone:
                raise _refusal(gone[0], "is no longer in the model")
            self.tensors = [there[name] for name in self._names]
            self._look()
        for name, tensor, before in zip(self._names, self.tensors, self._facts, strict=True):
            if not tensor.requires_grad:
                raise _refusal(name, "no longer requires a gradient")
            for was, now in zip(before, _facts(tensor), strict=True):
                if was != now:
                    raise _refusal(name, f"was {was} and is {now} now")

    def _look(self) -> None:
        modules = [] if self._module is None else list(self._module.modules())
        self._held = [held for one in modules for held in (one._parameters, one._modules)]
        # Kept alive: an object that replaces a dead one may get its id.
        self._parts = [part for held in self._held for part in held.values()]
        self._known = self._ids()

    def _ids(self) -> list[int]:
        return [id(part) for held in self._held for part in held.values()]


def _facts(tensor: Tensor) -> tuple[object, ...]:
    return tuple(tensor.shape), tensor.dtype, tensor.device


def _refusal(name: str, what: str) -> ThermoError:
    return ThermoError(
        f"parameter {name!r} {what} when the recorder was made: change the model first, then record it, each stage in "
        "a run of its own"
    )
