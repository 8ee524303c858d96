"""Training at a fixed learning rate, with weight snapshots: the entry points `main` and `sweep`.

Names load when they are first used: reading a preset needs no torch.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from projects.fixed_lr.cifar import cifar_folder as cifar_folder, cifar_is_there as cifar_is_there
    from projects.fixed_lr.config import TrainConfig as TrainConfig, resolve as resolve
    from projects.fixed_lr.crew import run_sweep as run_sweep
    from projects.fixed_lr.data import Dataset as Dataset, load_dataset as load_dataset
    from projects.fixed_lr.engine import (
        AUTO as AUTO,
        choose_engine as choose_engine,
        deal as deal,
        step_seconds as step_seconds,
    )
    from projects.fixed_lr.loop import Observer as Observer, run_loop as run_loop
    from projects.fixed_lr.models import build_model as build_model
    from projects.fixed_lr.options import parse_options as parse_options
    from projects.fixed_lr.phases import schedules as schedules
    from projects.fixed_lr.presets import PRESETS as PRESETS
    from projects.fixed_lr.protocols import make_update as make_update
    from projects.fixed_lr.stack import ModelStack as ModelStack
    from projects.fixed_lr.train import choose_device as choose_device
    from projects.fixed_lr.training_setup import (
        UNIFORM_SAMPLES as UNIFORM_SAMPLES,
        TrainingSetup as TrainingSetup,
        prepare as prepare,
    )
    from projects.fixed_lr.unfinished import (
        dealt as dealt,
        done_runs as done_runs,
        parts_to_go_on as parts_to_go_on,
        place_of as place_of,
    )

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "cifar": ["cifar_folder", "cifar_is_there"],
        "config": ["TrainConfig", "resolve"],
        "crew": ["run_sweep"],
        "data": ["Dataset", "load_dataset"],
        "engine": ["AUTO", "choose_engine", "deal", "step_seconds"],
        "loop": ["Observer", "run_loop"],
        "training_setup": ["TrainingSetup", "UNIFORM_SAMPLES", "prepare"],
        "models": ["build_model"],
        "options": ["parse_options"],
        "phases": ["schedules"],
        "presets": ["PRESETS"],
        "protocols": ["make_update"],
        "stack": ["ModelStack"],
        "train": ["choose_device"],
        "unfinished": ["dealt", "done_runs", "parts_to_go_on", "place_of"],
    },
)
