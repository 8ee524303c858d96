"""Several things to be done, none of which may prevent the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow_thermo.errors import without_password
from mlflow_thermo.store import StoreError

logger = logging.getLogger(__name__)


class Failures:
    """Collects the errors of several actions, so that all are tried before the first error is raised."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    def attempt(self, action: Callable[..., None], *arguments: Any) -> None:
        """Call `action` and keep the exception that it raises, if any."""
        try:
            action(*arguments)
        except Exception as error:
            self._errors.append(error)

    def add(self, error: Exception) -> None:
        """Keep an error that nothing raised."""
        self._errors.append(error)

    def log(self) -> None:
        """Log all errors, where another one is to be seen."""
        for error in self._errors:
            logger.error("%s", without_password(error))

    def raise_first(self) -> None:
        """Log all errors but the first, and raise that one; does nothing if there is none."""
        first, self._errors = self._errors[:1], self._errors[1:]
        self.log()
        if first:
            raise first[0]


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a write error into a StoreError that names the folder and what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"snapshots cannot be written to {folder} ({error}): check that it is writable and has free space, and "
            "start again; what was already written is kept"
        ) from error
