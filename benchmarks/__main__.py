"""python -m benchmarks NAME: run a study and write its table, markdown and JSON, into this folder."""

from __future__ import annotations

import importlib

import click

from mlflow_thermo.errors import ThermoError

#: Each is a module of this package with a function `main`, whose table has the module's name.
STUDIES = (
    "accuracy", "coverage", "convexity", "entropy", "recorder", "sweep", "scale", "storage", "startup", "study",
    "chains", "network", "diagnosis", "paper", "delivery", "fuzz", "faults", "soak", "full", "disk", "advice",
)  # fmt: skip
#: Not among all of them: it needs a GPU.
GPU = "gpu"


@click.command()
@click.argument("name", type=click.Choice([*STUDIES, GPU, "all"]))
@click.option("--quick", is_flag=True, help="A tenth of the repetitions, printed and not written.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), help="Of gpu; cpu tries the same code.  [default: cuda]")
@click.option("--tiny", is_flag=True, help="Of gpu: small sizes, a minute on a CPU.")
def run(name: str, quick: bool, device: str | None, tiny: bool) -> None:
    """Run the study NAME, or all of them except gpu, one after the other, which takes three hours."""
    if name == GPU:
        try:
            importlib.import_module("benchmarks.gpu").main(quick, device or "cuda", tiny)
        except ThermoError as error:
            raise click.ClickException(str(error)) from None
        return
    if device or tiny:
        raise click.UsageError(f"--device and --tiny belong to {GPU}: leave them out for {name}")
    for one in STUDIES if name == "all" else (name,):
        importlib.import_module(f"benchmarks.{one}").main(quick)


if __name__ == "__main__":
    run()
