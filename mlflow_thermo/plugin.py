"""What MLflow loads through its entry points. Every ``import mlflow`` imports this, so it must stay small."""

from __future__ import annotations

import os

#: Environment variable of the processes of a sweep: every run that they start gets it as the sweep's tag.
SWEEP_VARIABLE = "MLFLOW_THERMO_SWEEP"


class ThermoRunContext:
    """Tags every run with the plugin's version, the state of the git tree and the sweep it belongs to.

    It has the methods of MLflow's RunContextProvider but does not inherit from it. Inheriting would import MLflow,
    and where this module is imported first, MLflow would find it only partly initialised and drop the provider.
    """

    def in_context(self) -> bool:
        """Whether to tag runs: always, because installing the plugin asks for it."""
        return True

    def tags(self) -> dict[str, str]:
        """Tags of a run that starts now in the current folder."""
        return run_tags()


def run_tags(folder: str | None = None) -> dict[str, str]:
    """Tags that the plugin puts on a run.

    ``mlflow run`` creates its run without asking the providers, so scripts started by it set these tags themselves.

    Parameters
    ----------
    folder : str, optional
        Folder in the git tree of the training; by default the current one.

    Returns
    -------
    dict of str to str
        The plugin's version, whether the git tree has uncommitted changes (only in a git tree), and the sweep (only in
        a sweep), by the keys of `mlflow_thermo.schema`.
    """
    from importlib.metadata import version

    from mlflow_thermo import schema

    tags = {schema.TAG_VERSION: version("mlflow-thermo")}
    dirty = _git_dirty(folder or os.getcwd())
    if dirty is not None:
        tags[schema.TAG_DIRTY] = str(dirty).lower()
    sweep = os.environ.get(SWEEP_VARIABLE)
    if sweep:
        tags[schema.TAG_SWEEP] = sweep
    return tags


def _git_dirty(folder: str) -> bool | None:
    """Whether tracked files of the git tree at `folder` differ from its commit; None outside a git tree."""
    import subprocess

    try:
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return bool(status.stdout.strip())
