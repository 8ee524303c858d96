"""Parameters to one vector and back, in the order and layout that the snapshot index describes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mlflow_thermo.choosing import (
    NOTHING,
    Parameters as Parameters,
    Select as Select,
    chains_of,
    named_tensors,
    trained,
)
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.following import Followed
from mlflow_thermo.schema import ParameterSlice


def trainable(parameters: Parameters) -> list[tuple[str, Tensor]]:
    """Name and tensor of every parameter that requires a gradient; of one that has two names, the first.

    Parameters
    ----------
    parameters : torch.nn.Module, mapping or iterable of (str, Tensor)
        A module, or names and tensors as ``named_parameters()`` gives them.

    Returns
    -------
    list of (str, Tensor)
        In the order given.

    Raises
    ------
    ThermoError
        No parameter requires a gradient.
    """
    chosen = list(trained(named_tensors(parameters)).items())
    if not chosen:
        raise ThermoError(NOTHING)
    return chosen


def layout_of(named: Iterable[tuple[str, Tensor]]) -> tuple[ParameterSlice, ...]:
    """Where each tensor lies in the packed vector.

    Parameters
    ----------
    named : iterable of (str, Tensor)
        Parameters in the order in which they are packed.

    Returns
    -------
    tuple of ParameterSlice
        One for each tensor, without gaps between them.

    Examples
    --------
    >>> layout_of([("weight", torch.zeros(2, 3)), ("bias", torch.zeros(2))])[1]
    ParameterSlice(name='bias', shape=(2,), offset=6, size=2)
    """
    slices = []
    offset = 0
    for name, tensor in named:
        slices.append(ParameterSlice(name, tuple(tensor.shape), offset, tensor.numel()))
        offset += tensor.numel()
    return tuple(slices)


def flatten_parameters(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Move a module's trainable parameters and their gradients into two flat vectors.

    The parameters become views of the first vector and their ``.grad`` views of the second, so that updating all
    weights is one operation instead of one per layer.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.

    Returns
    -------
    weights, gradient : Tensor
        Each of shape (d,); the gradient is zero.

    Raises
    ------
    ThermoError
        No parameter requires a gradient, or one has two names (tied weights).
    """
    named = trainable(module)
    # A parameter with two names (tied weights) would be given two places in the vector, and no longer be tied.
    if sum(tensor.requires_grad for tensor in named_tensors(module).values()) != len(named):
        raise ThermoError("parameters: tied parameters cannot be flattened, untie them")
    weights = torch.cat([tensor.detach().reshape(-1) for _, tensor in named])
    gradient = torch.zeros_like(weights)
    for (_, tensor), place in zip(named, layout_of(named), strict=True):
        end = place.offset + place.size
        tensor.data = weights[place.offset : end].view(place.shape)
        tensor.grad = gradient[place.offset : end].view(place.shape)
    return weights, gradient


def packers_of(parameters: Parameters | Sequence[Parameters], select: Select | None = None) -> list[Packer]:
    """A packer for each chain: one for a module or named tensors, several for a sequence of them.

    Raises
    ------
    ThermoError
        Chains whose parameters differ in name, shape, dtype or device, or are the same ones; or as `Packer`.
    """
    packers = [Packer(chain, select) for chain in chains_of(parameters)]
    owners: dict[tuple[str, int], int] = {}
    for number, packer in enumerate(packers):
        if (packer.layout, packer.dtype, packer.device) != (packers[0].layout, packers[0].dtype, packers[0].device):
            raise ThermoError(
                f"parameters: chain {number} differs from chain 0 in its layers, dtype or device: chains are copies "
                "of one model"
            )
        for place, tensor in zip(packer.layout, packer.tensors, strict=True):
            owner = owners.setdefault((str(tensor.device), tensor.data_ptr()), number)
            if owner != number:
                raise ThermoError(
                    f"parameters: chains {owner} and {number} share {place.name!r}, and would be one chain that counts "
                    "twice: give each a copy of its own, as copy.deepcopy(model) makes it"
                )
    return packers


class Packer:
    """Copies a fixed set of parameters into rows of a buffer and back.

    Parameters
    ----------
    parameters : torch.nn.Module, mapping or iterable of (str, Tensor)
        Those that require a gradient are packed. In a module a parameter that takes the place of one of the same name,
        shape and dtype is packed from then on.
    select : str, re.Pattern, sequence of them, int or None
        Which of them, as `choosing.selected` takes it.

    Attributes
    ----------
    layout : tuple of ParameterSlice
        Where each parameter lies in a row.
    d : int
        Number of weights.
    device : torch.device
        Where the parameters are.
    dtype : torch.dtype
        Of the rows: that of the parameters, except float32 for bfloat16 and float8, which NumPy does not have.

    Raises
    ------
    ThermoError
        No parameter requires a gradient or is selected; parameters differ in device or dtype, or cannot be read.
    """

    def __init__(self, parameters: Parameters, select: Select | None = None) -> None:
        self._followed = Followed(parameters, select)
        named = list(zip(self._followed.names, self._followed.tensors, strict=True))
        self.layout = layout_of(named)
        self.d = sum(place.size for place in self.layout)
        first = named[0][1]
        self.device = first.device
        self.dtype = torch.float32 if first.dtype == torch.bfloat16 or first.itemsize == 1 else first.dtype
        self._places: list[int] = []
        self._flat: Tensor | None = None
        for name, tensor in named:
            if tensor.device != self.device or tensor.dtype != first.dtype:
                raise ThermoError(
                    f"parameter {name!r} is {tensor.dtype} on {tensor.device}, {named[0][0]!r} is "
                    f"{first.dtype} on {self.device}: record those of one dtype and device, with select="
                )

    @property
    def itemsize(self) -> int:
        """Bytes per weight."""
        return torch.empty((), dtype=self.dtype).element_size()

    @property
    def tensors(self) -> list[Tensor]:
        """The parameters that are packed, in the order of `layout`."""
        return self._followed.tensors

    @property
    def in_module(self) -> bool:
        """Whether parameters that are replaced can be followed."""
        return self._followed.in_module

    def follow(self) -> None:
        """Take the parameters that have been replaced in the module."""
        self._followed.follow()

    def check(self) -> None:
        """Raise ThermoError where other parameters are trained than at first, or they have another form."""
        self._followed.check()

    def pack_into(self, row: Tensor) -> None:
        """Copy the current parameters into `row`, shape (d,), on any device; ThermoError as `check`."""
        self.follow()
        places = [tensor.data_ptr() for tensor in self.tensors]
        # The view is kept until a parameter moves: inspecting every storage would cost more than the copy.
        if places != self._places:
            self.check()
            self._flat, self._places = self._flat_view(), places
        flat = self._flat
        if flat is None:
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in self.tensors])
        row.copy_(flat, non_blocking=True)

    def unpack(self, vector: Tensor) -> None:
        """Write `vector`, shape (d,), back into the parameters."""
        if vector.shape != (self.d,):
            raise ThermoError(f"a packed vector has shape ({self.d},), got {tuple(vector.shape)}")
        with torch.no_grad():
            for tensor, place in zip(self.tensors, self.layout, strict=True):
                tensor.copy_(vector[place.offset : place.offset + place.size].view(place.shape))

    def _flat_view(self) -> Tensor | None:
        """The parameters as one tensor without copying; None unless they lie next to each other in one storage."""
        first = self.tensors[0].detach()
        storage = first.untyped_storage().data_ptr()
        offset = first.storage_offset()
        for tensor in self.tensors:
            if (
                tensor.untyped_storage().data_ptr() != storage
                or tensor.storage_offset() != offset
                or not tensor.is_contiguous()
            ):
                return None
            offset += tensor.numel()
        return first.as_strided((self.d,), (1,), first.storage_offset())


class ChainsPacker:
    """Packs the chains of a run: one after the other, or in one copy where they lie so in memory.

    Parameters
    ----------
    packers : sequence of Packer
        Of each chain.
    """

    def __init__(self, packers: Sequence[Packer]) -> None:
        self._packers = list(packers)
        self._in_modules = [packer for packer in packers if packer.in_module]
        self._tensors = [tensor for packer in packers for tensor in packer.tensors]
        self._places: list[int] = []
        self._joint: Tensor | None = None

    def pack_into(self, rows: Tensor) -> None:
        """Copy the current parameters of all chains into `rows`, shape (chains, d), on any device."""
        if len(self._packers) == 1:
            self._packers[0].pack_into(rows[0])
            return
        if self._in_modules:
            for packer in self._in_modules:
                packer.follow()
            # Whether or not one was replaced now: a packer of several series tells that to the first of them only.
            self._tensors = [tensor for packer in self._packers for tensor in packer.tensors]
        places = [tensor.data_ptr() for tensor in self._tensors]
        # As in `Packer.pack_into`: looked at anew only where a parameter has moved.
        if places != self._places:
            self.check()
            self._joint, self._places = self._joint_view(), places
        if self._joint is not None:
            rows.copy_(self._joint, non_blocking=True)
            return
        for row, packer in zip(rows, self._packers, strict=True):
            packer.pack_into(row)

    def check(self) -> None:
        """Raise ThermoError where other parameters are trained than at first, or they have another form."""
        for packer in self._packers:
            packer.check()

    def _joint_view(self) -> Tensor | None:
        """The parameters of all chains as one tensor without copying; None unless they follow each other evenly."""
        flats = [packer._flat_view() for packer in self._packers]
        known = [flat for flat in flats if flat is not None]
        if len(known) < len(flats) or len({flat.untyped_storage().data_ptr() for flat in known}) > 1:
            return None
        offsets = [flat.storage_offset() for flat in known]
        stride = offsets[1] - offsets[0]
        if stride < self._packers[0].d or offsets != [offsets[0] + k * stride for k in range(len(offsets))]:
            return None
        return known[0].as_strided((len(known), self._packers[0].d), (stride, 1), offsets[0])
