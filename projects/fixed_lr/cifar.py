"""CIFAR-10 and CIFAR-100: the published files, or others in their format."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlflow_thermo.errors import ThermoError

logger = logging.getLogger(__name__)

#: Folder, training files (a pattern), test file and key of the labels, by data set.
_FORMAT: dict[str, tuple[str, str, str, bytes]] = {
    "cifar10": ("cifar-10-batches-py", "data_batch_*", "test_batch", b"labels"),
    "cifar100": ("cifar-100-python", "train", "test", b"fine_labels"),
}
#: Bytes of an image: 32 rows of 32 pixels in each of three colours.
_SHAPE = (3, 32, 32)

#: Images (n, 3, 32, 32) and labels (n,) of the training and of the test set.
Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def cifar_folder(name: str) -> str:
    """The folder that the published archive of `name` unpacks to."""
    return _FORMAT[name][0]


def cifar_is_there(name: str, folder: Path) -> bool:
    """Whether there are training and test files of `name` in `folder`."""
    inner, train, test, _ = _FORMAT[name]
    return (folder / inner / test).is_file() and any((folder / inner).glob(train))


def read_cifar(name: str, folder: Path, download: bool) -> Arrays:
    """The images and labels in `folder`.

    Files that are not the published ones, by their checksums, are used as they are, with a warning.

    Raises
    ------
    ThermoError
        Files that are not there or not in the format, or no torchvision to check or download them with.
    """
    try:
        from torchvision import datasets
    except ImportError as error:
        raise ThermoError(f"dataset {name!r} needs torchvision: pip install 'mlflow-thermo[train]'") from error
    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    try:
        train, test = (kind(str(folder), train=part, download=download) for part in (True, False))
    except (RuntimeError, OSError) as error:
        if not cifar_is_there(name, folder):
            raise ThermoError(
                f"dataset {name!r} was not found: put the folder {cifar_folder(name)} into {folder.resolve()}, "
                "or pass download=true with a network connection"
            ) from error
        logger.warning("dataset %r in %s is not the published one: training on what is there", name, folder)
        return _others(name, folder)
    (x_train, x_test), (y_train, y_test) = (
        [part.data.transpose(0, 3, 1, 2) for part in (train, test)],
        [np.asarray(part.targets) for part in (train, test)],
    )
    return x_train, y_train, x_test, y_test


def _others(name: str, folder: Path) -> Arrays:
    inner, train, test, key = _FORMAT[name]
    x_train, y_train = _joined(sorted((folder / inner).glob(train)), key)
    x_test, y_test = _joined([folder / inner / test], key)
    return x_train, y_train, x_test, y_test


def _joined(paths: Sequence[Path], key: bytes) -> tuple[NDArray[Any], NDArray[Any]]:
    images, labels = [], []
    for path in paths:
        try:
            # The format is a pickle, whoever wrote it: there is no other reader.
            with path.open("rb") as handle:
                content = pickle.load(handle, encoding="bytes")
            content = {k.encode() if isinstance(k, str) else k: v for k, v in content.items()}
            images.append(np.asarray(content[b"data"], dtype=np.uint8).reshape(-1, *_SHAPE))
            labels.append(np.asarray(content[key], dtype=np.int64).reshape(len(images[-1])))
        except (pickle.UnpicklingError, EOFError, KeyError, AttributeError, ValueError, TypeError) as error:
            # A damaged or foreign pickle fails in any of these ways, the shapes of its arrays included.
            raise ThermoError(
                f"{path.name} is not a CIFAR file ({type(error).__name__}: {error}): it is half-written or in another "
                "format, fetch it again"
            ) from error
    return np.concatenate(images), np.concatenate(labels)
