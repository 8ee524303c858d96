"""Several things to be done, none of which may prevent the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from mlflow_thermo.disk import DiskError
from mlflow_thermo.errors import without_password

logger = logging.getLogger(__name__)


class Failures:
    """Collects the errors of several actions, so that all are tried before the first error is raised.

    Parameters
    ----------
    told : an error that the user sees anyway: a disk that is full is said once, not once for each file.
    """

    def __init__(self, told: BaseException | None = None) -> None:
        self._errors: list[Exception] = []
        self._told = {told.trouble} if isinstance(told, DiskError) else set()

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
            if isinstance(error, DiskError):
                if error.trouble in self._told:
                    continue
                self._told.add(error.trouble)
            logger.error("%s", without_password(error))

    def raise_first(self) -> None:
        """Log all errors but the first, and raise that one; does nothing if there is none."""
        first, self._errors = self._errors[:1], self._errors[1:]
        self._told |= {error.trouble for error in first if isinstance(error, DiskError)}
        self.log()
        if first:
            raise first[0]
