"""What a shell is offered for a word that names an experiment."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

#: Seconds after which a shell gets nothing: it is waiting with its user.
_LIMIT = 2.0


def experiment_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Experiments whose names begin with what is typed; none where the server does not answer at once.

    The server is asked by its interface alone, and a database read directly: to import MLflow takes longer than a user
    waits.
    """
    from analysis.tracking import quick_experiment_names

    uri = str(context.params.get("tracking_uri") or "")
    return [CompletionItem(name) for name in quick_experiment_names(uri, _LIMIT) if name.startswith(begun)]
