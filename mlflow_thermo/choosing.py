"""Which tensors of a training are its weights: by name, each once, and only those whose values can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from mlflow_thermo.errors import ThermoError, first_line

#: A module, or names and tensors as ``named_parameters()`` or a dict of them give them.
Parameters: TypeAlias = "nn.Module | Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]"
#: Names: a glob, a regular expression, several of both; or how many of the last layers.
Select: TypeAlias = "str | re.Pattern[str] | Sequence[str | re.Pattern[str]] | int"

#: What wrappers put into the names of parameters; a model is the same with and without them.
_WRAPPERS = ("_orig_mod.", "_checkpoint_wrapped_module.", "_fsdp_wrapped_module.")
NOTHING = (
    "parameters: none requires a gradient, so there is nothing to record: give the module, or its named_parameters(); "
    "a state_dict() holds copies unless keep_vars=True"
)
_NAMELESS = (
    "parameters: a tensor without a name cannot be found again in the recording: give the module itself, or "
    "model.named_parameters() in place of model.parameters()"
)
_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_FLOAT8 = tuple(
    getattr(torch, f"float8_{form}") for form in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz")
    if hasattr(torch, f"float8_{form}")
)  # fmt: skip


def chains_of(parameters: Any) -> list[Any]:
    """What is given for each chain: `parameters` alone, or the members of a sequence of chains.

    Raises
    ------
    ThermoError
        Neither a module nor names and tensors, nor several of these.
    """
    if isinstance(parameters, (nn.Module, Mapping)):
        return [parameters]
    if isinstance(parameters, (str, Tensor)) or not isinstance(parameters, Iterable):
        raise ThermoError(
            _NAMELESS
            if isinstance(parameters, Tensor)
            else f"parameters: give a module, its named_parameters(), or a list of them, not {_kind(parameters)}"
        )
    listed = list(parameters)
    first = listed[0] if listed else ("", None)
    pairs = isinstance(first, (tuple, list)) and len(first) == 2 and not isinstance(first[0], (tuple, list, nn.Module))
    return [listed] if pairs or isinstance(first, (str, Tensor)) else listed


def bare(module: nn.Module) -> nn.Module:
    """The model inside of what ``torch.compile`` and data-parallel training put around it."""
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif isinstance(inner := module._modules.get("_orig_mod"), nn.Module):
            module = inner
        else:
            return module


def named_tensors(source: Any) -> dict[str, Tensor]:
    """Every tensor of a module, or of names and tensors, by its name; a module's tied parameters once.

    Raises
    ------
    ThermoError
        A tensor has no name, a name has no tensor or two, or processes share the values.
    """
    if isinstance(source, nn.Module):
        _require_whole(source)
        pairs: Iterable[Any] = bare(source).named_parameters()
    elif isinstance(source, Mapping):
        pairs = source.items()
    else:
        pairs = source
    found: dict[str, Tensor] = {}
    for pair in pairs:
        if isinstance(pair, Tensor) or not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            raise ThermoError(_NAMELESS)
        name, tensor = pair
        if isinstance(name, Tensor):
            raise ThermoError(_NAMELESS)
        if not isinstance(name, str):
            raise ThermoError(f"parameters: the name of a parameter must be a string, got {name!r}")
        # As in a state_dict(): what a module keeps there besides its tensors.
        if name.endswith("_extra_state"):
            continue
        if not isinstance(tensor, Tensor):
            raise ThermoError(f"parameter {name!r} is {_kind(tensor)}, no tensor: {_whose(tensor)}")
        name = _plain(name)
        if found.setdefault(name, tensor) is not tensor:
            raise ThermoError(f"parameters: two tensors have the name {name!r}: give each a name of its own")
    return found


def trained(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that require a gradient, each once: one that is listed again under another name is left out."""
    chosen: dict[str, Tensor] = {}
    seen: set[object] = set()
    for name, tensor in named.items():
        if tensor.requires_grad and not ({id(tensor), key := _memory(tensor)} & seen):
            seen |= {id(tensor)} if key is None else {id(tensor), key}
            chosen[name] = tensor
    return chosen


def selected(names: Sequence[str], select: Select | None) -> list[str]:
    """The names that `select` means.

    Parameters
    ----------
    names : sequence of str
        Of the trained parameters, in the order of the model.
    select : str, re.Pattern, sequence of them, int or None
        A glob has to match the name of a parameter or of a module that holds it, a regular expression some part of the
        name; a whole number means that many of the last layers: modules with trained parameters of their own.

    Raises
    ------
    ThermoError
        There are none, or fewer layers.

    Examples
    --------
    >>> selected(["body.weight", "head.weight", "head.bias"], "head")
    ['head.weight', 'head.bias']
    >>> selected(["body.weight", "head.weight", "head.bias"], 1)
    ['head.weight', 'head.bias']
    """
    if select is None:
        return list(names)
    if isinstance(select, int):
        layers = list(dict.fromkeys(map(_layer, names)))
        if isinstance(select, bool) or not 1 <= select <= len(layers):
            raise ThermoError(f"select={select}: the model has {len(layers)} layers with trained parameters")
        return [name for name in names if _layer(name) in layers[-select:]]
    patterns: list[Any] = list(select) if isinstance(select, (list, tuple)) else [select]
    if strange := [one for one in patterns if not isinstance(one, (str, re.Pattern))]:
        raise ThermoError(f"select: give a glob, a regular expression or a whole number, not {strange[0]!r}")
    unused = [one for one in patterns if not any(_matches(name, one) for name in names)]
    if unused or not patterns:
        what = repr(unused[0].pattern if isinstance(unused[0], re.Pattern) else unused[0]) if unused else "nothing"
        raise ThermoError(f"select: {what} matches no trained parameter: there are {_some(names)}")
    return [name for name in names if any(_matches(name, one) for one in patterns)]


def readable(name: str, tensor: Tensor) -> Tensor:
    """`tensor` itself, or what it wraps, with all of its values in the memory of one device of this process.

    Raises
    ------
    ThermoError
        There is no such tensor.
    """
    if is_lazy(tensor):
        raise _unreadable(name, "has no shape yet: run the model once, then record it")
    if tensor.is_meta:
        raise _unreadable(name, "is on the meta device and has no values: load the model first, then record it")
    wraps: bool = is_traceable_wrapper_subclass(tensor)
    if wraps:
        tensor = _local(name, tensor)
    if tensor.is_nested or tensor.layout != torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        raise _unreadable(name, f"is {layout}: only dense weights can be recorded, leave it out with select=")
    if tensor.dtype not in _REAL + _FLOAT8:
        raise _unreadable(name, f"is {tensor.dtype}: only real weights can be recorded, leave it out with select=")
    if not tensor.numel():
        raise _unreadable(
            name, "has no weights here: leave it out with select=; where processes share it, as ZeRO 3 does, it cannot "
            "be recorded",
        )  # fmt: skip
    if any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)):
        raise _unreadable(name, "shows one number at several places: record the tensor that was expanded")
    if not (tensor.is_leaf or tensor._is_view() or tensor.grad_fn is None):
        raise _unreadable(name, "is computed from other tensors and never trained: record those, or give the module")
    if type(tensor) not in (Tensor, nn.Parameter):
        try:
            tensor.data_ptr()
            tensor.detach().reshape(-1)[:1].to("cpu", torch.float32)
        except Exception as error:
            raise _unreadable(name, f"is a {_kind(tensor)} that cannot be read ({first_line(error)})") from error
    return tensor


def require_apart(named: Mapping[str, Tensor]) -> None:
    """Raise ThermoError where a part of one tensor is part of another one: it would count twice."""
    spans: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
    for name, tensor in named.items():
        begin = tensor.storage_offset()
        last = begin + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
        storage = (str(tensor.device), tensor.untyped_storage().data_ptr())
        spans.setdefault(storage, []).append((int(begin), int(last), name))
    for place in spans.values():
        place.sort()
        furthest = -1
        for number, (begin, last, other) in enumerate(place):
            # Columns of one matrix lie between each other and have nothing in common: those are compared for real.
            for _, end, name in place[:number] if begin <= furthest else []:
                if begin <= end and _share(named[name], named[other]):
                    raise ThermoError(
                        f"parameters {name!r} and {other!r} share weights, which would count twice: record one of them"
                    )
            furthest = max(furthest, last)


def _share(one: Tensor, other: Tensor) -> bool:
    storage = one.untyped_storage()
    if one.element_size() != other.element_size():
        return True
    taken = torch.zeros(storage.nbytes() // one.element_size(), dtype=torch.bool)
    taken.as_strided(one.shape, one.stride(), one.storage_offset()).fill_(True)
    return bool(taken.as_strided(other.shape, other.stride(), other.storage_offset()).any())


def _local(name: str, tensor: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor

    if not isinstance(tensor, DTensor):
        raise _unreadable(name, f"is a {_kind(tensor)}, no plain tensor: record the model before it is converted")
    for size, placement in zip(tensor.device_mesh.shape, tensor.placements, strict=True):
        if size > 1 and not placement.is_replicate():
            raise _unreadable(
                name, f"is spread over {size} processes: one process cannot record it; leave it out with select=, or "
                "train this model with DDP, which keeps it whole",
            )  # fmt: skip
    # Whole, and its own memory: full_tensor() would wait for processes that record nothing.
    return tensor.to_local()


def _require_whole(module: nn.Module) -> None:
    for part in module.modules():
        group: Any = getattr(part, "process_group", None) if "FullyShardedDataParallel" in type(part).__name__ else None
        if group is not None and group.size() > 1:
            raise ThermoError(
                f"parameters: the model is spread over {group.size()} processes by FullyShardedDataParallel: one "
                "process cannot record it; train it with DDP, which keeps it whole"
            )


def _memory(tensor: Tensor) -> object:
    """Equal for tensors that are the same numbers in the same memory; None where that cannot be told."""
    if type(tensor) not in (Tensor, nn.Parameter) or is_lazy(tensor) or tensor.layout != torch.strided:
        return None
    if tensor.is_meta or not tensor.numel():
        return None
    return tensor.device, tensor.dtype, tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def _plain(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _layer(name: str) -> str:
    # A parametrized weight is one tensor or more in a module of their own, which belongs to the layer.
    return name.split("parametrizations.")[0].rstrip(".") if "parametrizations." in name else name.rpartition(".")[0]


def _matches(name: str, pattern: str | re.Pattern[str]) -> bool:
    if isinstance(pattern, re.Pattern):
        return pattern.search(name) is not None
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _whose(value: object) -> str:
    return "leave it out" if value is None else "give names and tensors, as named_parameters() does"


def _unreadable(name: str, what: str) -> ThermoError:
    return ThermoError(f"parameter {name!r} {what}")
