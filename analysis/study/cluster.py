"""A Dask cluster as an executor. Dask is the engine, and brings its own deployers for SLURM, Kubernetes and GPUs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from mlflow_thermo.errors import ThermoError, first_line, without_password

_PACKAGE = "mlflow-thermo"
#: Seconds within which a scheduler has to answer.
PATIENCE = 10.0
#: Seconds between two looks for the first worker.
_LOOK = 0.5


@dataclass(frozen=True)
class Cluster:
    """A scheduler that has answered.

    Attributes
    ----------
    address : of the scheduler.
    executor : runs functions on its workers; what a lost worker was at is run again by another.
    """

    address: str
    executor: Executor
    _client: Any

    @property
    def slots(self) -> int:
        """Tasks that the workers of this moment run side by side."""
        return sum(self._client.nthreads().values())

    def wait_for_workers(self, check: Callable[[], None] = lambda: None) -> int:
        """Wait until there is a worker; `check` is called all the time, and may raise. Returns `slots`."""
        while not (slots := self.slots):
            check()
            time.sleep(_LOOK)
        return slots

    def require(self, trouble: Callable[..., str] | None = None, *arguments: Any) -> None:
        """ThermoError where a worker of this moment cannot be used.

        Parameters
        ----------
        trouble : why it cannot, called there with `arguments`; empty if it can.
        """
        asked: list[tuple[Callable[..., str], tuple[Any, ...]]] = [(_package_trouble, (version(_PACKAGE),))]
        if trouble is not None:
            asked.append((trouble, arguments))
        for question, these in asked:
            for worker, found in self._client.run(question, *these, on_error="return").items():
                why = found
                if isinstance(found, ModuleNotFoundError):
                    why = (
                        f"it does not find {found.name}: install {_PACKAGE} there, and for a training start it with "
                        "PYTHONPATH set to a checkout"
                    )
                elif isinstance(found, AttributeError):
                    why = f"its {_PACKAGE} is of another version than this: install the same, and start it again"
                elif isinstance(found, Exception):
                    why = first_line(found)
                if why:
                    raise ThermoError(f"worker {worker} cannot be used: {why}")

    def listen(self, topic: str, handler: Callable[[Any], None]) -> None:
        """Have `handler` called, in a thread of its own, with each message that a worker sends by `tell`."""

        def hear(event: tuple[float, Any]) -> None:
            # An error in it would be logged for every message, and change nothing.
            with suppress(Exception):
                handler(event[1])

        self._client.subscribe_topic(topic, hear)


def tell(topic: str, message: Any) -> None:
    """Send `message`, of numbers, texts and None, from inside a task to who listens to `topic`."""
    from distributed import get_worker

    # Not in a worker any more: the cluster has given the task up.
    with suppress(ValueError):
        get_worker().log_event(topic, message)


def _package_trouble(wanted: str) -> str:
    found = version(_PACKAGE)
    return "" if found == wanted else f"it has {_PACKAGE} {found}, and this is {wanted}: install the same"


def uri_for_all(uri: str) -> str:
    """A tracking URI that means the same in every folder; ThermoError where it would show a password to all workers."""
    if without_password(uri) != uri:
        raise ThermoError(
            "the tracking URI has a password in it, which would go to every worker in clear text: give "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment of the workers"
        )
    if uri.startswith("sqlite:"):
        # Imported here: --help must not wait for it.
        from sqlalchemy import make_url

        url = make_url(uri)
        if url.database:
            return str(url.set(database=os.path.abspath(url.database)))
    return uri if "://" in uri or uri == "databricks" else os.path.abspath(uri.removeprefix("file:"))


@contextmanager
def open_cluster(address: str) -> Iterator[Cluster]:
    """Connect to a Dask scheduler, and leave it as it is at the end.

    Parameters
    ----------
    address : such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    ThermoError
        Dask is not installed, the address is none, or no scheduler answers there; inside of the block also where the
        scheduler went away, or a task took several workers with it.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import parse_address, parse_host_port
        from distributed.comm.registry import get_backend
    except ImportError:
        raise ThermoError("a scheduler needs Dask: pip install 'mlflow-thermo[dask]'") from None
    shown = without_password(address)
    try:
        # A client that fails over them would print a traceback when it is thrown away.
        scheme, place = parse_address(address)
        get_backend(scheme)
        parse_host_port(place)
        client = Client(address, timeout=PATIENCE, set_as_default=False, name="mlflow-thermo")
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise ThermoError(
            f"scheduler {shown!r} does not answer ({first_line(error)}): start one with 'dask scheduler', and give its "
            "address, as in scheduler=tcp://10.0.0.1:8786"
        ) from error
    try:
        # Pure functions of equal arguments are run once by Dask; ours have effects.
        yield Cluster(shown, client.get_executor(pure=False), client)
    except KilledWorker as error:
        raise ThermoError(f"scheduler {shown!r}: a task took its workers with it: give them more memory") from error
    except CancelledError as error:
        raise ThermoError(f"scheduler {shown!r} has given up what it was asked for: start it again") from error
    finally:
        client.close()
