"""One thread that delivers what the runs of a program have in their outboxes, beside the training."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_thermo import schema
from mlflow_thermo.delivery.alive import BEAT, Sign
from mlflow_thermo.delivery.journal import DELETE, END, FILE, INPUTS, KEEP, METRICS, REPLACED, TAGS, Journal
from mlflow_thermo.delivery.requests import Refused, send
from mlflow_thermo.disk import disk_trouble
from mlflow_thermo.errors import first_line
from mlflow_thermo.said import say_once
from mlflow_thermo.store import sha256_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

logger = logging.getLogger(__name__)

#: Seconds between two requests with metrics of one run, so that many points make one request.
INTERVAL = 1.0
#: Seconds until a server that did not answer is asked again: at first, at most, and at most while a program waits.
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE_AT_END = 1.0, 30.0, 2.0
#: How many times longer a program waits for a server that takes something than for one that takes nothing.
PATIENCE = 10
_THREAD = "thermo-courier"
#: Entries that may go into one request.
MOST = 1000


class _Backoff:
    """Until when nothing is tried, which is twice as long after each failure in a row."""

    def __init__(self) -> None:
        self.until, self._failures = 0.0, 0

    def failed(self, *, urgent: bool) -> None:
        longest = LONGEST_PAUSE_AT_END if urgent else LONGEST_PAUSE
        self.until = time.monotonic() + min(FIRST_PAUSE * 2.0 ** min(self._failures, 10), longest)
        self._failures += 1


class Outbox:
    """What one run has for its tracking server: written to disk at once, and sent in order as the server takes it.

    Nothing here waits for the server but `wait`.

    Parameters
    ----------
    client : MlflowClient
        Client of the tracking server.
    run_id : str
        Run that it is for.
    folder : Path
        Folder of the run's series. What an earlier program could not deliver from there goes first.
    resume : bool
        Whether the run goes on from a checkpoint.
    """

    def __init__(self, client: MlflowClient, run_id: str, folder: Path, *, resume: bool = False) -> None:
        self.client, self.folder = client, folder
        self.journal = Journal(folder, run_id, resume=resume)
        self.run_id = run_id
        #: Why the server will never take what is left; empty while it may.
        self.refused = ""
        #: What went wrong at the last attempt, in one line.
        self.trouble = ""
        self.backoff = _Backoff()
        self.urgent = False
        self.sent = -math.inf
        self._beaten, self._ended = time.monotonic(), False
        _COURIER.serve(self)

    @property
    def known(self) -> set[tuple[str, int]]:
        """Names and steps of the metrics that a resumed run has handed over before."""
        return self.journal.known

    @property
    def empty(self) -> bool:
        """Whether the server has everything."""
        return not len(self.journal)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Metrics at an optimiser step; NaN is kept, infinity is left out (MLflow would store 1.8e308)."""
        # With the time of the measurement: a point that is sent twice is then one and the same.
        now = time.time_ns() // 1_000_000
        rows = [[key, float(value), now, step] for key, value in values.items() if not math.isinf(value)]
        if rows:
            self._add(METRICS, rows)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Tags of the run."""
        self._add(TAGS, dict(tags))

    def inputs(self, datasets: Iterable[DatasetInput]) -> None:
        """Data sets that the run is trained on."""
        self._add(INPUTS, [[dict(one.dataset), {tag.key: tag.value for tag in one.tags}] for one in datasets])

    def file(self, path: Path, target: str, digest: str, *, delete: bool) -> None:
        """A file below the folder as an artifact in the folder `target`; `delete` it when it is sent."""
        name = path.relative_to(self.folder).as_posix()
        if self.journal.files.get(name) != digest:
            self._add(FILE, [name, target, digest, DELETE if delete else KEEP])

    def version(self, path: Path, target: str) -> None:
        """The present content of a file that will be replaced; of several versions that wait only the last is sent."""
        self._add(FILE, [path.relative_to(self.folder).as_posix(), target, sha256_of(path), REPLACED])

    def end(self, status: str) -> None:
        """The status that the run ends with, after everything else."""
        self._ended = True
        # With the time: what is delivered a day later has not run for a day.
        self._add(END, [status, time.time_ns() // 1_000_000])

    def wait(self, seconds: float, since: float | None = None) -> bool:
        """Wait until the server has everything, and return whether it has.

        Parameters
        ----------
        seconds : float
            For which the server may take nothing before the waiting ends. One that is slow and takes something is
            waited for `PATIENCE` times as long in all.
        since : float, optional
            Time of `time.monotonic` from which on they count, by default now: outboxes that are waited for one after
            the other share it.
        """
        return _COURIER.wait(self, seconds, time.monotonic() if since is None else since)

    def close(self) -> None:
        """Send no more."""
        _COURIER.leave(self)
        self.journal.close()

    def due(self, now: float) -> float:
        """Seconds until there is something to send; infinity for nothing."""
        entries = self.journal.peek(1)
        if self.refused or (not entries and self._ended):
            return math.inf
        if not entries:
            soonest = self._beaten + BEAT
        elif entries[0].kind != METRICS or self.urgent or len(self.journal) > MOST:
            soonest = now
        else:
            soonest = self.sent + INTERVAL
        return max(0.0, soonest - now, self.backoff.until - now)

    def deliver_some(self) -> None:
        """Send the oldest entries in one request; an exception for a server that did not take them now.

        Where there are none, a sign of life.
        """
        try:
            if self.empty:
                self.client.set_tag(self.run_id, schema.TAG_ALIVE, str(Sign.of_this_process(beats=True)))
                self._beaten = time.monotonic()
                return
            send(self.client, self.run_id, self.folder, self.journal)
        except Refused as error:
            self.refused = str(error)
            logger.warning("run %s: %s", self.run_id, error)
        self.sent = time.monotonic()

    def _add(self, kind: str, body: object) -> None:
        self.journal.append(kind, body)
        _COURIER.wake()


def waiting_outbox(run_id: str) -> Outbox | None:
    """The outbox of a run that this program has not closed yet; None if there is none."""
    return _COURIER.outbox_of(run_id)


class _Courier:
    """Goes round the open outboxes for as long as the program lives."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._outboxes: list[Outbox] = []
        self._thread: threading.Thread | None = None
        # Of all outboxes together: where one fails alone, as with a file that cannot be read, the others go on.
        self._backoff = _Backoff()
        self._taken = -math.inf

    def serve(self, outbox: Outbox) -> None:
        with self._news:
            self._outboxes.append(outbox)
            if self._thread is None or not self._thread.is_alive():
                # A daemon: a request that hangs must not keep a program alive that has nothing more to do.
                self._thread = threading.Thread(target=self._work, name=_THREAD, daemon=True)
                say_once([_THREAD])
                self._thread.start()
            self._news.notify_all()

    def leave(self, outbox: Outbox) -> None:
        with self._news:
            if outbox in self._outboxes:
                self._outboxes.remove(outbox)

    def wake(self) -> None:
        with self._news:
            self._news.notify_all()

    def outbox_of(self, run_id: str) -> Outbox | None:
        with self._news:
            return next((one for one in self._outboxes if one.run_id == run_id), None)

    def wait(self, outbox: Outbox, seconds: float, since: float) -> bool:
        with self._news:
            outbox.urgent = True
            for backoff in (self._backoff, outbox.backoff):
                backoff.until = min(backoff.until, time.monotonic() + LONGEST_PAUSE_AT_END)
            self._news.notify_all()
            while not (outbox.empty or outbox.refused):
                # One thread serves all: what the server takes of another run shows that the turn of this one comes.
                taken = outbox.sent if outbox.trouble else self._taken
                left = min(max(since, taken) + seconds, since + PATIENCE * seconds) - time.monotonic()
                if left <= 0:
                    break
                self._news.wait(left)
            return outbox.empty

    def _work(self) -> None:
        while True:
            with self._news:
                while (pause := self._pause()) > 0:
                    self._news.wait(None if math.isinf(pause) else pause)
                now = time.monotonic()
                ready = [one for one in self._outboxes if one.due(now) <= 0]
            for outbox in ready:
                if not self._serve_one(outbox):
                    break

    def _pause(self) -> float:
        now = time.monotonic()
        soonest = min((one.due(now) for one in self._outboxes), default=math.inf)
        return soonest if math.isinf(soonest) else max(soonest, self._backoff.until - now)

    def _serve_one(self, outbox: Outbox) -> bool:
        """Whether the server took what it was sent."""
        try:
            outbox.deliver_some()
        except Exception as error:
            # Whatever it is, it must reach neither the training nor the other runs, and may be over in a minute.
            said = disk_trouble(error) or first_line(error)
            if said != first_line(error) and isinstance(error, OSError) and error.filename:
                said = f"{error.filename}: {said}"
            with self._news:
                if not outbox.trouble and said not in {one.trouble for one in self._outboxes}:
                    logger.warning("run %s: not delivered, will try again: %s", outbox.run_id, said)
                outbox.trouble = said
                outbox.backoff.failed(urgent=outbox.urgent)
                self._backoff.failed(urgent=any(one.urgent for one in self._outboxes))
            return False
        with self._news:
            outbox.trouble = ""
            outbox.backoff, self._backoff = _Backoff(), _Backoff()
            self._taken = time.monotonic()
            self._news.notify_all()
        return True


_COURIER = _Courier()
