"""The way of a run's numbers and files to its tracking server: a journal on disk, emptied by a thread of its own."""

from mlflow_thermo.delivery.alive import Sign
from mlflow_thermo.delivery.courier import Outbox, waiting_outbox
from mlflow_thermo.delivery.deliver import Delivered, deliver
from mlflow_thermo.delivery.journal import ENTRIES, JOURNAL

__all__ = ["ENTRIES", "JOURNAL", "Delivered", "Outbox", "Sign", "deliver", "waiting_outbox"]
