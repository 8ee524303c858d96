"""The parameters of a model that is changed: those that are replaced are followed, any other change is refused."""

from __future__ import annotations

from torch import Tensor, nn

from mlflow_thermo.choosing import (
    NOTHING,
    Parameters,
    Select,
    bare,
    named_tensors,
    readable,
    require_apart,
    selected,
    trained,
)
from mlflow_thermo.errors import ThermoError


class Followed:
    """The trained tensors of a model, in one fixed order.

    Parameters
    ----------
    source : torch.nn.Module, or names and tensors
        Where they come from. Only a module can be asked for a parameter that has taken the place of another.
    select : str, re.Pattern, sequence of them, int or None
        Which of them, as `choosing.selected` takes it.

    Attributes
    ----------
    names : list of str
        Their names.
    given, tensors : list of Tensor
        The tensors now, as the model has them, and each in the memory of one device.

    Raises
    ------
    ThermoError
        No parameter requires a gradient or is selected, or one cannot be read.
    """

    def __init__(self, source: Parameters, select: Select | None = None) -> None:
        self._module = bare(source) if isinstance(source, nn.Module) else None
        self._select = select
        named = trained(named_tensors(source))
        if not named:
            raise ThermoError(NOTHING)
        self.names = selected(list(named), select)
        self.tensors: list[Tensor] = []
        self.given: list[Tensor] = []
        self._wrapped = False
        self._take({name: named[name] for name in self.names})
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
        elif self._wrapped:
            # The memory inside of a wrapper may be another one after each step.
            self.tensors = [readable(name, tensor) for name, tensor in zip(self.names, self.given, strict=True)]

    def check(self) -> None:
        """Look up all tensors anew.

        Raises
        ------
        ThermoError
            The trained parameters are not those of the beginning, in name, shape, dtype and device.
        """
        if self._module is not None:
            there = named_tensors(self._module)
            gone = [name for name in self.names if name not in there]
            if gone:
                raise _refusal(gone[0], "is no longer in the model")
            found = {name: there[name] for name in self.names}
        else:
            found = dict(zip(self.names, self.given, strict=True))
        for name, tensor in found.items():
            if not tensor.requires_grad:
                raise _refusal(name, "no longer requires a gradient")
        if self._module is not None:
            fresh = [name for name in selected(list(trained(there)), self._select) if name not in found]
            if fresh:
                raise _refusal(fresh[0], "is trained now and was not when the recorder was made")
        self._take(found)
        self._look()
        for name, tensor, before in zip(self.names, self.tensors, self._facts, strict=True):
            for was, now in zip(before, _facts(tensor), strict=True):
                if was != now:
                    raise _refusal(name, f"was {was} and is {now} now")

    def _take(self, named: dict[str, Tensor]) -> None:
        self.given = list(named.values())
        self.tensors = [readable(name, tensor) for name, tensor in named.items()]
        self._wrapped = any(one is not given for one, given in zip(self.tensors, self.given, strict=True))
        require_apart(dict(zip(named, self.tensors, strict=True)))

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
        f"parameter {name!r} {what}: change the model first, then record it, each stage in a run of its own"
    )
