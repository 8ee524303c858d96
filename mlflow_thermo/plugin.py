"""What MLflow finds through the entry points. Imported with every ``import mlflow``, so it stays tiny."""

from __future__ import annotations

import os

#: Set for the processes of a sweep, so that every run that they start carries the sweep's tag.
SWEEP_VARIABLE = "MLFLOW_THERMO_SWEEP"


class ThermoRunContext:
    """Tags every run with the plugin's version, the state of the git tree and the sweep it belongs to.

    Has the methods of MLflow's RunContextProvider without inheriting from it: that would import MLflow, which
    imports this module half-made and drops the provider, whenever this module is imported first.
    """

    def in_context(self) -> bool:
        """Whether to tag runs: always, since the plugin is installed on purpose."""
        return True

    def tags(self) -> dict[str, str]:
        """Tags of a run that starts now in this folder."""
        return run_tags()


def run_tags(folder: str | None = None) -> dict[str, str]:
    """Tags that the plugin puts on a run; ``mlflow run`` calls no providers, so its scripts set these too."""
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
    """Whether tracked files of the git tree at `folder` differ from the commit; None outside of a tree."""
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
