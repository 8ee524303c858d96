"""The recorder that a training loop calls once per step to keep its weights for the analysis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from mlflow_thermo import schema
from mlflow_thermo.arguments import default_series, distinct, one_of, positive, require_json, whole
from mlflow_thermo.background import Background
from mlflow_thermo.buffering import SeriesBuffer
from mlflow_thermo.counting import say_misfits
from mlflow_thermo.delivery import Outbox
from mlflow_thermo.errors import ThermoError
from mlflow_thermo.failures import Failures
from mlflow_thermo.forgotten import Recording, release
from mlflow_thermo.losses import step_losses
from mlflow_thermo.opening import attached_series, folder_of, index_of, open_series
from mlflow_thermo.packing import Parameters, Select, packers_of
from mlflow_thermo.reduction import Reducer
from mlflow_thermo.resuming import ResumableRecorder
from mlflow_thermo.schedule import Schedule, plain_name
from mlflow_thermo.schema import SeriesIndex
from mlflow_thermo.store import DISK_SHARE, SKETCH_COLUMNS, SeriesWriter
from mlflow_thermo.together import PassingRecorder
from mlflow_thermo.uploader import WAIT, find_run, open_uploader


class SnapshotRecorder(ResumableRecorder, PassingRecorder, Recording):
    """Keeps snapshots of a model's trainable weights as artifacts of an MLflow run, or in a plain folder.

    Call `step` once per optimiser step, preferably between ``backward()`` and ``optimizer.step()``, where the weights
    are the ones at which the loss was computed. Leaving the ``with`` block closes the series; a recorder that is never
    closed closes itself, with a warning. Writing and uploading happen in a background thread.

    Parameters
    ----------
    parameters : torch.nn.Module, mapping or iterable of (str, Tensor), or a list of them
        A module, in which replaced parameters are followed, or names and tensors as ``named_parameters()`` gives them;
        those that require a gradient are recorded, each once. A list holds the chains of a run: copies of one model
        that go on from one state, each with batches of its own.
    total_steps : int, optional
        Updates of the optimizer in the training. Needed for the default series.
    series : sequence of Schedule, optional
        Series to record; by default `spaced`, `consecutive` and `bursts`.
    lr : float, optional
        Learning rate, written into the index for the analysis and logged as a metric.
    seed, protocol : int, str, optional
        Seed and protocol (one of `schema.PROTOCOLS`) of the training, written into the index.
    run_id : str, optional
        MLflow run to record into, one recorder each; by default the active run. Not needed with `directory`.
    directory : str or Path, optional
        Keep the series in this folder too, in one folder each; without a run, only there.
    resume : bool
        Continue the series found in `directory`; see the second example, and `flush` and `fast_forward`.
    storage : str
        ``full`` keeps every weight. ``isometric`` keeps the inner products of the snapshots, which is all that an
        entropy needs; full snapshots stay in a local folder until the series is closed. ``sketch`` keeps
        `sketch_columns` columns, and distances up to a known error. ``auto`` chooses by size.
    sketch_columns : int
        Columns of a sketch.
    disk_share : float
        With ``auto``, the share of the free disk space that full snapshots may take until they are reduced.
    attributes : dict, optional
        Anything else that a reader of the index should know; has to fit into JSON.
    wait : float
        Seconds that `close` waits for a tracking server that takes nothing.
    select : str, re.Pattern, sequence of them, or int, optional
        Record these only: parameters or modules by a glob (``"head.*"``) or a regular expression, or that many of
        the last layers.

    Attributes
    ----------
    run_id, chains
        MLflow run that is recorded into, or None; number of chains.
    directory : Path
        Folder of the series: the one given, or a temporary one that is deleted after the last upload.
    steps_taken : int
        Optimiser steps counted so far, of each chain.

    Raises
    ------
    ThermoError
        No run and no directory; no parameter that requires a gradient, or one that cannot be read; neither
        `total_steps` nor `series`; an unknown storage or protocol; a run or a folder that holds other snapshots.

    Examples
    --------
    Without MLflow, into a folder:

    >>> import tempfile, torch
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> folder = tempfile.TemporaryDirectory()
    >>> with SnapshotRecorder(model, total_steps=20, lr=0.1, directory=folder.name) as recorder:
    ...     for _ in range(20):
    ...         loss = model(torch.randn(8, 3)).square().mean()
    ...         loss.backward()
    ...         recorder.step(loss)
    ...         optimizer.step()
    ...         optimizer.zero_grad()
    >>> recorder.index("spaced").n_snapshots
    10
    >>> folder.cleanup()

    A loop of your own goes on after a kill, as if there had been none, with three lines: `state_dict` into each of your
    checkpoints, `resume` with the same `directory`, and `load_state_dict`:

    >>> folder = tempfile.TemporaryDirectory()
    >>> recorder = SnapshotRecorder(model, total_steps=20, lr=0.1, directory=folder.name)
    >>> for _ in range(15):
    ...     recorder.step(0.5)
    >>> checkpoint = {"recorder": recorder.state_dict()}  # beside the states of the model and the random numbers
    >>> recorder = SnapshotRecorder(model, total_steps=20, lr=0.1, directory=folder.name, resume=True)
    >>> recorder.load_state_dict(checkpoint["recorder"])
    >>> for _ in range(recorder.steps_taken, 20):
    ...     recorder.step(0.5)
    >>> recorder.close()
    >>> recorder.index("spaced").complete, recorder.index("spaced").n_snapshots
    (True, 10)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        parameters: Parameters | Sequence[Parameters],
        total_steps: int | None = None,
        *,
        series: Sequence[Schedule] | None = None,
        lr: float | None = None,
        seed: int | None = None,
        protocol: str = schema.FIXED_LR,
        run_id: str | None = None,
        directory: str | Path | None = None,
        resume: bool = False,
        storage: str = schema.AUTO,
        sketch_columns: int = SKETCH_COLUMNS,
        disk_share: float = DISK_SHARE,
        attributes: dict[str, Any] | None = None,
        wait: float = WAIT,
        select: Select | None = None,
    ) -> None:
        schedules = default_series(total_steps) if series is None else distinct(series)
        sketch_columns = whole("sketch_columns", sketch_columns, at_least=1)
        lr = None if lr is None else positive("lr", lr)
        seed = None if seed is None else whole("seed", seed)
        require_json("attributes", attributes)
        protocol = one_of("protocol", protocol, schema.PROTOCOLS)
        if resume and directory is None:
            raise ThermoError("resume needs the directory that holds the series")
        packers = packers_of(parameters, select)
        self.chains = len(packers)
        owned = directory is None
        self._wait = positive("wait", wait) if wait else 0.0
        self.run_id = find_run(run_id, required=owned)
        self.directory = folder_of(directory)
        if resume:
            release(self.directory)
        self._uploader = open_uploader(self.run_id, self.directory, keep_files=not owned, fresh=not resume)
        self._reducer = Reducer(self.directory, owned=owned, shared=self._uploader is not None)
        self._background, self._attached = Background(), list[SeriesWriter]()
        self._index = index = index_of(packers[0], protocol=protocol, lr=lr, seed=seed, attributes=attributes or {})
        self._series = open_series(
            schedules, index, packers, self.directory,
            resume=resume, storage=storage, sketch_columns=sketch_columns, disk_share=disk_share,
        )  # fmt: skip
        self._whole = False
        self._total = None if total_steps is None else whole("total_steps", total_steps)
        if self._uploader is not None:
            self._uploader.announce(lr)
        self.opened(self._background)

    @property
    def outbox(self) -> Outbox | None:
        """Takes metrics and tags of the run too, and sends them in order with the snapshots; None without a run."""
        return None if self._uploader is None else self._uploader.outbox

    @property
    def delivered(self) -> bool:
        """Whether the server has all that was handed over."""
        return self._uploader is None or self._uploader.outbox.empty

    def step(self, loss: Tensor | float | Sequence[Tensor | float] | NDArray[Any] | None = None) -> None:
        """Count one optimiser step and keep the weights if a schedule asks for them.

        Parameters
        ----------
        loss : Tensor or float, optional
            Minibatch loss of this step, of several chains one for each; of several numbers for one, as from several
            devices, the mean is taken. A tensor on a device stays there.

        Raises
        ------
        ThermoError
            Snapshots of an earlier step could not be written, `loss` is not one number for each chain, other parameters
            are trained than at first or in another dtype, or the recorder is closed.
        """
        self.require_open()
        self.steps_taken += 1
        value = None if loss is None else step_losses(loss, self.chains)
        full = [series for series in self._series if series.step(self.steps_taken, value)]
        if full:
            for series in full:
                self._hand_over(series)
            self._background.check()

    def index(self, series: str) -> SeriesIndex:
        """The index of a series as it is on disk now; ThermoError if there is no such series."""
        self._background.wait()
        found = {one.schedule.name: one.writer.index for one in self._series}
        if series not in found:
            raise ThermoError(f"series {series!r} is not recorded: choose one of {', '.join(found)}")
        return found[series]

    def end_here(self) -> None:
        """Say that the training ends at this step: what is scheduled for later is not missing."""
        self._total = None
        for series in self._series:
            series.end_here()

    def attach(
        self, name: str, steps: Sequence[int], rows: NDArray[Any], loss: NDArray[Any], **attributes: Any
    ) -> None:
        """Keep another series of vectors beside the snapshots, such as full gradients at some of them.

        Parameters
        ----------
        name : str
            Name of the series; `schema.GRADIENTS` for gradients.
        steps, rows, loss, **attributes
            Optimiser steps (n,), vectors (n, chains, d) in the layout of the weights, losses (n, chains); what else a
            reader of their index should know.
        """
        require_json("attributes", attributes)
        folder = self.directory / plain_name(name)
        self._attached.append(attached_series(folder, self._index, steps, rows, loss, attributes))

    def close(self, complete: bool | None = None) -> None:
        """Write what is buffered, and wait until the server has everything; tag the run as complete or partial.

        Parameters
        ----------
        complete : bool, optional
            Whether the training reached its end; by default, whether every schedule did.

        Raises
        ------
        ThermoError
            The disk or the server did not take all snapshots; the message names the folder that has them, and how to
            deliver them later. The other series are still written and uploaded.
        """
        if not self.closed:
            failures = Failures()
            failures.attempt(self.finish, complete)
            failures.attempt(self.await_delivery)
            failures.raise_first()

    def finish(self, complete: bool | None = None) -> None:
        """The first half of `close`: hand over everything, and wait for nobody; `await_delivery` is the other half."""
        if not self.end():
            return
        done = complete if complete is not None else all(s.next_step < 0 for s in self._series)
        # A series that cannot be written must not prevent the others from being written.
        failures = Failures()
        try:
            for series in self._series:
                failures.attempt(self._hand_over, series)
            failures.attempt(self._background.wait)
        finally:
            self._background.stop()
        if complete is not False:
            where = str(self.directory) if self.run_id is None else f"run {self.run_id}"
            say_misfits(where, self._series, self.steps_taken, self._total)
        for series in self._series:
            failures.attempt(series.close, done)
            failures.attempt(self._reducer.reduce, series)
        if self._uploader is not None:
            failures.attempt(self._uploader.finish, [*(series.writer for series in self._series), *self._attached])
        failures.raise_first()
        self._whole = True

    def await_delivery(self, since: float | None = None) -> None:
        """The second half of `close`: wait for the server; `since` is that of `Outbox.wait`."""
        if self._uploader is not None:
            self._uploader.await_delivery(self._wait, since)
        if self._whole:
            self._reducer.clean_up()

    def _hand_over(self, series: SeriesBuffer) -> None:
        """Write and upload what is buffered, in the background."""
        write = series.hand_over()
        if write is not None:
            self._background.submit(write)
            if self._uploader is not None and not series.reduced_at_end:
                self._background.submit(partial(self._uploader.upload, series.writer))
