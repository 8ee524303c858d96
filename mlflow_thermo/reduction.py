"""Brings series into their isometric form when a recording ends, and clears the folders that nobody owns."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow_thermo.buffering import SeriesBuffer

#: Folder for what is uploaded in another form than it is kept in, beside the series.
SPARE = "reduced"


class Reducer:
    """Reduces the series of one recorder.

    Parameters
    ----------
    directory : Path
        Folder of the series.
    owned : bool
        Whether that folder is temporary and goes when the recording has ended.
    shared : bool
        Whether the series are uploaded.
    """

    def __init__(self, directory: Path, *, owned: bool, shared: bool) -> None:
        self._directory, self._owned, self._shared = directory, owned, shared
        self._spare: Path | None = None

    def reduce(self, series: SeriesBuffer) -> None:
        """Bring a series of full snapshots into its isometric form, where that is what is to be kept of it."""
        if not series.can_be_reduced:
            return
        out = series.writer.folder
        if not self._owned and not series.writer.facts.complete:
            # The user may resume an unfinished series from this folder: it keeps the full snapshots, and the run gets
            # their reduced form.
            if not self._shared:
                return
            self._spare = self._directory / SPARE
            out = self._spare / out.name
        series.reduce(out)

    def clean_up(self) -> None:
        """Remove the folders that nobody asked for."""
        for folder in (self._spare, self._directory if self._owned else None):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
