"""Parameters <-> one vector, in the order and layout that the snapshot index describes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mlflow_thermo.errors import ThermoError
from mlflow_thermo.schema import ParameterSlice


def trainable(parameters: nn.Module | Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """Name and tensor of every parameter that requires a gradient; ThermoError when there is none."""
    named = parameters.named_parameters() if isinstance(parameters, nn.Module) else parameters
    chosen = [(name, tensor) for name, tensor in named if tensor.requires_grad]
    if not chosen:
        raise ThermoError("parameters: none requires a gradient, so there is nothing to record")
    return chosen


def layout_of(named: Iterable[tuple[str, Tensor]]) -> tuple[ParameterSlice, ...]:
    """Where each tensor lies in the packed vector."""
    slices = []
    offset = 0
    for name, tensor in named:
        slices.append(ParameterSlice(name, tuple(tensor.shape), offset, tensor.numel()))
        offset += tensor.numel()
    return tuple(slices)


def flatten_parameters(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Move a module's trainable parameters and their gradients into two flat vectors.

    The parameters become views of the first vector and their ``.grad`` views of the second, so that an update
    of all weights is one operation instead of one per layer.

    Returns
    -------
    weights, gradient : tensors of shape (d,)
    """
    named = trainable(module)
    # One parameter by two names (tied weights) would get two homes and fall apart.
    if len({id(tensor) for _, tensor in named}) != len(named):
        raise ThermoError("parameters: tied parameters cannot be flattened, untie them")
    weights = torch.cat([tensor.detach().reshape(-1) for _, tensor in named])
    gradient = torch.zeros_like(weights)
    for (_, tensor), place in zip(named, layout_of(named), strict=True):
        end = place.offset + place.size
        tensor.data = weights[place.offset : end].view(place.shape)
        tensor.grad = gradient[place.offset : end].view(place.shape)
    return weights, gradient


class Packer:
    """Copies a fixed set of parameters into rows of a buffer and back.

    Attributes
    ----------
    dtype : of the rows: that of the parameters, float32 for bfloat16 ones, which numpy does not have.
    """

    def __init__(self, parameters: nn.Module | Iterable[tuple[str, Tensor]]) -> None:
        self._named = trainable(parameters)
        self.layout = layout_of(self._named)
        self.d = sum(place.size for place in self.layout)
        first = self._named[0][1]
        self.device = first.device
        self.dtype = torch.float32 if first.dtype == torch.bfloat16 else first.dtype
        self._tensors = [tensor for _, tensor in self._named]
        self._places: list[int] = []
        self._flat: Tensor | None = None
        for name, tensor in self._named:
            if tensor.device != self.device or tensor.dtype != first.dtype:
                raise ThermoError(
                    f"parameter {name!r} is {tensor.dtype} on {tensor.device}, {self._named[0][0]!r} is "
                    f"{first.dtype} on {self.device}: record those of one kind, as (name, tensor) pairs"
                )
            if not tensor.is_floating_point():
                raise ThermoError(f"parameter {name!r} is {tensor.dtype}: only real weights can be recorded")

    @property
    def itemsize(self) -> int:
        """Bytes of a weight."""
        return torch.empty((), dtype=self.dtype).element_size()

    def pack_into(self, row: Tensor) -> None:
        """Copy the parameters as they are now into `row`, shape (d,), on any device."""
        places = [tensor.data_ptr() for tensor in self._tensors]
        # A view found once serves until a parameter moves: looking at every storage would cost more than the copy.
        if places != self._places:
            self._flat, self._places = self._flat_view(), places
        flat = self._flat
        if flat is None:
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in self._tensors])
        row.copy_(flat, non_blocking=True)

    def unpack(self, vector: Tensor) -> None:
        """Write `vector`, shape (d,), back into the parameters."""
        if vector.shape != (self.d,):
            raise ThermoError(f"a packed vector has shape ({self.d},), got {tuple(vector.shape)}")
        with torch.no_grad():
            for (_, tensor), place in zip(self._named, self.layout, strict=True):
                tensor.copy_(vector[place.offset : place.offset + place.size].view(place.shape))

    def _flat_view(self) -> Tensor | None:
        """The parameters as one tensor without a copy, when they lie next to each other in one storage."""
        first = self._named[0][1].detach()
        storage = first.untyped_storage().data_ptr()
        offset = first.storage_offset()
        for _, tensor in self._named:
            if (
                tensor.untyped_storage().data_ptr() != storage
                or tensor.storage_offset() != offset
                or not tensor.is_contiguous()
            ):
                return None
            offset += tensor.numel()
        return first.as_strided((self.d,), (1,), first.storage_offset())
