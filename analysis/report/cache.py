"""A cache of reports, by the content of the runs and settings that they were made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from analysis.report.folder import STUDY, alone, new_report, report_files
from analysis.results import RESULT_SCHEMA_VERSION, StudyResult
from mlflow_thermo.disk import DiskError
from mlflow_thermo.errors import ThermoError

_RESULT = "result.json"
#: Beside the files of a report in the cache: their sha256.
_DIGESTS = ".digests.json"


def study_key(identities: Sequence[str | None], settings: Mapping[str, str]) -> str | None:
    """Key of the analysis of these runs; None where one of them has no identity.

    Parameters
    ----------
    identities : of the runs, `analysis.tracking.RunRecord.identity`.
    settings : everything else that the report depends on.
    """
    if any(identity is None for identity in identities):
        return None
    content = [list(identities), dict(settings), version("mlflow-thermo"), RESULT_SCHEMA_VERSION, _code()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _code() -> str:
    """Digest of the analysis' own code: other code may give another result."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*")):
        if path.suffix in (".py", ".html", ".css", ".js"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


class ReportCache:
    """Reports that are kept in a folder on this machine.

    Parameters
    ----------
    folder : created when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str | None, out: Path) -> StudyResult | None:
        """Copy the report `key` into `out` and return its result; None where it is missing, changed or damaged."""
        kept = self._folder / key if key else None
        if kept is None or not kept.is_dir():
            return None
        try:
            listed = json.loads((kept / _DIGESTS).read_text(encoding="utf-8"))
            # Those with a dot are the lists of what is there.
            paths = [path for path in kept.rglob("[!.]*") if path.is_file()]
            files = {path.relative_to(kept).as_posix(): path.read_bytes() for path in paths}
            if listed != {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}:
                return None
            result = StudyResult.from_dict(json.loads(files[_RESULT]))
        except (OSError, LookupError, ValueError, ThermoError):
            return None
        with new_report(out, STUDY, files) as staged:
            # What was checked is what is written: the files in the cache may change meanwhile.
            for name, content in files.items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                (staged / name).write_bytes(content)
        return result

    def put(self, key: str | None, result: StudyResult, out: Path) -> None:
        """Keep the report of a result that lies in `out`; if that fails (a full disk), the next analysis is not faster.

        Where another analysis has put its own report into `out` since, nothing is kept.
        """
        if key is None:
            return
        temporary: Path | None = None
        with suppress(OSError, DiskError):
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix="report-", dir=self._folder))
            names = copy_report(result, out, temporary)
            if names:
                digests = {name: hashlib.sha256((temporary / name).read_bytes()).hexdigest() for name in names}
                (temporary / _DIGESTS).write_text(json.dumps(digests), encoding="utf-8")
                # One that is there was not good enough to be handed out.
                shutil.rmtree(self._folder / key, ignore_errors=True)
                os.replace(temporary, self._folder / key)
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def copy_report(result: StudyResult, folder: Path, target: Path) -> list[str]:
    """Make a copy of the report of a result in `target`; returns the names of its files.

    Nothing is copied, and no name returned, where the report of another analysis lies in `folder`: two at once may
    have been given the same.
    """
    if not folder.is_dir():
        return []
    with alone(folder):
        try:
            there: object = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        if there != json.loads(json.dumps(result.to_dict())):
            return []
        names = [path.relative_to(folder).as_posix() for path in report_files(folder, STUDY)]
        with new_report(target, STUDY, names) as staged:
            for name in names:
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, staged / name)
    return names
