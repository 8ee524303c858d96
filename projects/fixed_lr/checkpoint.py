"""The file from which a killed training goes on: tensors and JSON in one safetensors file, never pickle."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mlflow_thermo.disk import disk_error
from mlflow_thermo.errors import ThermoError

#: Where a training stands: numbers, words and tensors, nested in dicts with keys of text and in lists.
State: TypeAlias = dict[str, Any]

#: Of the file; another one is refused.
VERSION = 1
#: Saving may take this share of the time of a training, at most: the next checkpoint waits.
LARGEST_SHARE = 0.01
#: Begins the text that stands for a tensor, as no other text does.
_TENSOR = "\0tensor:"
_FACTS = "state"


def save(path: Path, state: State) -> None:
    """Write a state in one atomic rename: until the new file is complete on disk, the old one is there."""
    tensors: dict[str, Tensor] = {}
    facts = _without_tensors({"version": VERSION, **state}, tensors)
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata={_FACTS: json.dumps(facts)})
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except (OSError, SafetensorError) as error:
        raise disk_error(error, f"the checkpoint cannot be written to {path}") from error


def load(path: Path, *, facts_alone: bool = False) -> State:
    """Read what `save` wrote, or its numbers and words alone; ThermoError where that cannot be."""
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()[_FACTS])
            if facts["version"] != VERSION:
                raise ThermoError(
                    f"{path} is a checkpoint of version {facts['version']}, this release reads version {VERSION}: "
                    "go on with the release that wrote it"
                )
            if facts_alone:
                return dict(facts)
            # Copied: as they lie in the file, dot products of them differ in the last digit from those of aligned ones.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return dict(_with_tensors(facts, tensors))
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ThermoError(f"{path} is not a readable checkpoint ({error}): train anew") from error


class Checkpoints:
    """Saves where a training stands, every so many seconds.

    Parameters
    ----------
    every : seconds between two of them, at least.
    """

    def __init__(self, path: Path, every: float) -> None:
        self._path, self._every = path, every
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for the next one; at first it is."""
        return time.monotonic() >= self._next

    def save(self, state: Callable[[], State]) -> None:
        """Save one now; what that costs puts off the next."""
        begin = time.monotonic()
        save(self._path, state())
        self._next = time.monotonic() + max(self._every, (time.monotonic() - begin) / LARGEST_SHARE)


def _without_tensors(value: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    if isinstance(value, Tensor):
        # Tensors that share memory cannot be written, and the training goes on in this one.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return _TENSOR + name
    if isinstance(value, Mapping):
        return {key: _without_tensors(one, tensors, f"{name}/{key}") for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(one, tensors, f"{name}/{place}") for place, one in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, str):
        return tensors[value.removeprefix(_TENSOR)] if value.startswith(_TENSOR) else value
    if isinstance(value, dict):
        return {key: _with_tensors(one, tensors) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_tensors(one, tensors) for one in value]
    return value


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
