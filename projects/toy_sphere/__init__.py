"""The sphere toy: SGD with batch size 1 in three dimensions, all learning rates in one program."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from projects.toy_sphere.figures import toy_figures as toy_figures
    from projects.toy_sphere.run import (
        CHAINS as CHAINS,
        STEPS as STEPS,
        fact_rows as fact_rows,
        run_all as run_all,
        write as write,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "figures": ["toy_figures"],
        "run": ["CHAINS", "STEPS", "fact_rows", "run_all", "write"],
    },
)
