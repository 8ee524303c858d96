"""What MLflow logs about errors of its database: a traceback each time, for errors that it raises as well."""

from __future__ import annotations

import logging
from collections.abc import Collection

from mlflow_thermo.errors import without_password

_LOGGER = "mlflow.store.db.utils"
#: A warning of MLflow's has the error in its second line.
_LINES = 2


class _SaidElsewhere(logging.Filter):
    """Drops what whoever catches the error says, and cuts the rest to one line."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()
        self.everywhere = False

    def filter(self, record: logging.LogRecord) -> bool:
        if not self.everywhere and record.threadName not in self.threads:
            return True
        if record.levelno >= logging.ERROR:
            return False
        if record.levelno == logging.WARNING:
            lines = without_password(record.getMessage()).splitlines()
            record.msg, record.args = " ".join(lines[:_LINES]), ()
        return True


_FILTER = _SaidElsewhere()


def say_once(threads: Collection[str] | None = None) -> None:
    """Let MLflow log no error of its database that is raised and said anyway.

    Parameters
    ----------
    threads : names of the threads in which that is so; None for all, which is for programs of our own.
    """
    if threads is None:
        _FILTER.everywhere = True
    else:
        _FILTER.threads.update(threads)
    logging.getLogger(_LOGGER).addFilter(_FILTER)
