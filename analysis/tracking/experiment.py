"""What an experiment shows of itself in MLflow's UI: its kind, its saved views, and a note with the newest result."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from analysis.report import summary
from analysis.results import OK, StudyResult
from analysis.tracking.errors import ServerError, server_errors
from analysis.tracking.view import ALL, SOUND, TRAINING_VIEW, view_link, view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

KIND, NOTE = "mlflow.experimentKind", "mlflow.note.content"
#: Of an experiment that trains models. In MLflow 3.17 a link, and not this, says on which side the UI opens it.
TRAINING = "custom_model_development"
#: Signs around what is ours in a note: the rest is the user's.
_BEGIN, _END = "<!-- mlflow-thermo -->", "<!-- end of mlflow-thermo -->"
#: Longest note that MLflow keeps, in characters.
_LONGEST = 5000


@server_errors()
def prepare_experiment(client: MlflowClient, experiment_id: str) -> None:
    """Have the UI open the experiment as one of trainings, with our saved views; what the user has set stays."""
    known = client.get_experiment(experiment_id).tags
    wanted = {KIND: known.get(KIND) or TRAINING, **view_tags()}
    for key, value in wanted.items():
        if known.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)


def name_run(client: MlflowClient, run_id: str, name: str) -> None:
    """Name a run that ``mlflow run`` has opened under a random name, as useful-wren-189; the user's own stays."""
    if re.fullmatch(r"[a-z]+-[a-z]+-\d+", client.get_run(run_id).info.run_name or ""):
        client.update_run(run_id, name=name)


def show_in_experiment(client: MlflowClient, experiment_id: str, run_id: str, result: StudyResult) -> None:
    """Prepare the experiment and renew its note, where that is allowed: to write runs may be all that is."""
    with suppress(ServerError):
        prepare_experiment(client, experiment_id)
    # Also where somebody else was just preparing it.
    with suppress(ServerError):
        renew_note(client, experiment_id, run_id, result)


@server_errors()
def renew_note(client: MlflowClient, experiment_id: str, run_id: str, result: StudyResult) -> None:
    """Put the result into the note of its experiment, with its picture and where the rest is.

    Parameters
    ----------
    run_id : of the analysis, which has the report.
    """
    known = client.get_experiment(experiment_id).tags
    note = with_ours(known.get(NOTE, ""), _words(experiment_id, run_id, result))
    if len(note) <= _LONGEST and note != known.get(NOTE):
        client.set_experiment_tag(experiment_id, NOTE, note)


def with_ours(note: str, words: str) -> str:
    """A note with our words in the place of our earlier ones, or at its end."""
    ours = f"{_BEGIN}\n{words}\n{_END}"
    found = re.sub(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", lambda _: ours, note, count=1, flags=re.DOTALL)
    return found if ours in found else f"{note.rstrip()}\n\n{ours}".lstrip()


def _words(experiment_id: str, run_id: str, result: StudyResult) -> str:
    """Numbers and links alone: the names of runs are texts of anyone."""
    sound = [run for run in result.runs if run.status == OK]
    rest = len(result.runs) - len(sound)
    statuses = f"{len(sound)} with the status `ok`" + (f", {rest} with another, see the report" if rest else "")
    report = f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/report.html?{TRAINING_VIEW}"
    lines = [
        f"**Temperature of SGD.** {summary(result)} {statuses[0].upper()}{statuses[1:]}.",
        f"[Report]({report}) · [Charts]({view_link(experiment_id, ALL)}) · "
        f"[Charts of the runs that are ok]({view_link(experiment_id, SOUND)})",
    ]
    if "temperature" in result.figures():
        query = urlencode({"path": "figures/temperature.png", "run_uuid": run_id})
        lines.append(f"![Temperature against learning rate](get-artifact?{query})")
    return "\n\n".join(lines)
