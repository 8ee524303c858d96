"""The result of a study: its runs, the power law, and how the numbers were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.results.checks import StudyChecks
from analysis.results.flat import RUN_COLUMNS, run_row
from analysis.results.json_form import RESULT_SCHEMA_VERSION, study_from_dict, study_to_dict
from analysis.results.run import RunResult

if TYPE_CHECKING:
    import pandas as pd

    from analysis.report import Chart


@dataclass(frozen=True)
class EstimatorUsed:
    """The entropy estimator of a study.

    Attributes
    ----------
    name : short name.
    dim : D of the formulas; None where no run could be measured.
    reason : why this one, in words.
    snapshots : name of the series that it was applied to.
    n_used : snapshots of every run behind its entropy.
    sketch_error : relative error of the distances where the snapshots are sketches.
    """

    name: str
    dim: int | None = None
    reason: str = ""
    snapshots: str = ""
    n_used: int | None = None
    sketch_error: float | None = None


@dataclass(frozen=True)
class PowerLaw:
    """T = prefactor·lr^exponent.

    Attributes
    ----------
    exponent, exponent_stderr : of the learning rate.
    prefactor, prefactor_stderr : in loss units per nat, at lr = 1.
    lr_min, lr_max : range of the learning rates that were used.
    n, n_excluded : numbers of points used, and left out because ln T does not exist.
    """

    exponent: float
    exponent_stderr: float
    prefactor: float
    prefactor_stderr: float
    lr_min: float
    lr_max: float
    n: int
    n_excluded: int

    def __str__(self) -> str:
        return self.words("lr")

    def words(self, axis: str) -> str:
        """The law in one line, with `axis` for what the temperatures depend on."""
        return (
            f"T = {self.prefactor:.3g}·{axis}^({self.exponent:.3f} ± {self.exponent_stderr:.3f}) for {axis} from "
            f"{self.lr_min:.3g} to {self.lr_max:.3g}"
        )


@dataclass(frozen=True)
class Baselines:
    """Loss and entropies of uniformly random weights, each entropy in the units of those it is compared with.

    Attributes
    ----------
    loss : mean loss.
    entropy : by the study's estimator.
    paper_entropy, course_entropy, course_paper_entropy : by the estimators of the iterates and of the bursts.
    exact_entropy : nats.
    """

    loss: float | None = None
    entropy: float | None = None
    paper_entropy: float | None = None
    course_entropy: float | None = None
    course_paper_entropy: float | None = None
    exact_entropy: float | None = None


@dataclass(frozen=True)
class Origin:
    """Where the runs of a study came from, so that its results can go back there.

    Attributes
    ----------
    title : of the report.
    experiment_id, experiment : id and name of the runs' MLflow experiment; None and empty for those of a folder.
    scope : what was selected, in one line; two analyses of one scope replace each other.
    tracking_uri : of the server; None for MLflow's default.
    known : metrics and tags of each run, by run id, at the time when the runs were selected.
    """

    title: str
    experiment_id: str | None = None
    experiment: str = ""
    scope: str = ""
    # A password in it must not be shown with the origin.
    tracking_uri: str | None = field(default=None, repr=False)
    known: Mapping[str, tuple[Mapping[str, float], Mapping[str, str]]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class StudyResult:
    """The result of a study.

    Attributes
    ----------
    runs : by learning rate and seed.
    estimator, method : behind the entropies, and the temperatures.
    power_law : of the temperatures; None where they do not allow one.
    notes : remarks for the reader.
    checks : tests of the study as a whole.
    baselines : loss and entropies of uniformly random weights; None where weights are not on a sphere.
    schema_version : of `to_dict`.
    origin : where the runs came from; not a part of the result.

    Examples
    --------
    Nine runs, recorded below ``runs``:

    >>> from analysis import StudyResult, analyze, from_folder
    >>> result = analyze(from_folder("runs"))
    >>> run = result.runs[1]
    >>> run.status, run.temperature.lower < run.temperature.value < run.temperature.upper
    ('ok', True)
    >>> [path.name for path in result.write("report")[:3]]
    ['result.json', 'temperature.csv', 'report.html']
    >>> import json, pathlib
    >>> StudyResult.from_dict(json.loads(pathlib.Path("report/result.json").read_text())).power_law == result.power_law
    True
    """

    runs: tuple[RunResult, ...]
    estimator: EstimatorUsed
    method: str
    power_law: PowerLaw | None = None
    notes: tuple[str, ...] = ()
    checks: StudyChecks = field(default_factory=StudyChecks)
    baselines: Baselines | None = None
    schema_version: int = RESULT_SCHEMA_VERSION
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The content of result.json; a number that does not exist is None."""
        return study_to_dict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> StudyResult:
        """Read the content of result.json.

        Raises
        ------
        ThermoError
            Of another version, or not the content of a result.json.
        """
        return study_from_dict(raw)

    @property
    def gibbs(self) -> bool:
        """Whether the runs are Gibbs states at set temperatures, which stand in the place of learning rates."""
        return bool(self.runs) and all(run.set_temperature is not None for run in self.runs)

    @property
    def axis(self) -> str:
        """Symbol of what the runs differ in."""
        return "T_set" if self.gibbs else "lr"

    @property
    def axis_title(self) -> str:
        """What the runs differ in."""
        return "Temperature that was set" if self.gibbs else "Learning rate"

    def to_frame(self) -> pd.DataFrame:
        """One tidy row per run; missing numbers are NaN. Entropies in nats, temperatures in loss units per nat.

        The columns of temperature.csv come first, in its order, then the other single numbers of a run, then its note.
        """
        import pandas as pd

        rows = [run_row(run) for run in self.runs]
        more = [name for name in (rows[0] if rows else ()) if name not in (*RUN_COLUMNS, "note")]
        frame = pd.DataFrame(rows, columns=[*RUN_COLUMNS, *more, "note"])
        numbers = frame.columns.difference(["run_id", "seed", "regime", "status", "hops", "note"])
        # pandas makes object columns of None and floats; a seed of 64 bits does not fit a float.
        typed: pd.DataFrame = frame.astype(dict.fromkeys(numbers, float))
        return typed

    def write(self, folder: str | Path, title: str | None = None) -> list[Path]:
        """Write result.json, temperature.csv, report.html and figures/*.png into `folder`; returns their paths.

        Raises
        ------
        ThermoError
            The folder cannot be written, or holds files of these names that no earlier report wrote.
        """
        from analysis.report import write_report

        return write_report(self, folder, title or (self.origin.title if self.origin else "Temperature of SGD"))

    def publish(self, folder: str | Path | None = None) -> str:
        """Put the numbers on the runs in MLflow and the report on an analysis run; returns that run's id.

        Parameters
        ----------
        folder : of a report that `write` made; a new one is made where none is given.

        Raises
        ------
        ThermoError
            The runs did not come from a tracking server.
        """
        from analysis.tracking import publish_result

        return publish_result(self, folder)

    def figures(self) -> dict[str, Chart]:
        """All figures of the report by name, as Altair charts."""
        from analysis.report import course_figures, study_figures

        return {**study_figures(self), **course_figures(self)}

    def plot_loss(self) -> Chart:
        """U against the learning rate."""
        return self._figure("loss")

    def plot_entropy(self) -> Chart:
        """S against the learning rate."""
        return self._figure("entropy")

    def plot_temperature(self) -> Chart:
        """T against the learning rate, with its intervals and the power law."""
        return self._figure("temperature")

    def plot_free_energy(self) -> Chart:
        """F(lr'; T(lr)), whose minima should lie at lr' = lr."""
        return self._figure("free_energy")

    def _figure(self, name: str) -> Chart:
        from analysis.report import figure_named

        return figure_named(self, name)

    def _repr_html_(self) -> str:
        from analysis.report import notebook_html

        return notebook_html(self)
