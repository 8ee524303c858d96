"""python -m benchmarks NAME: run a study and write its table, markdown and JSON, into this folder."""

from __future__ import annotations

import importlib

import click

#: Each is a module of this package with a function `main`, whose table has the module's name.
STUDIES = ("accuracy", "coverage", "convexity", "entropy", "recorder", "sweep", "scale", "storage", "startup", "paper")


@click.command()
@click.argument("name", type=click.Choice([*STUDIES, "all"]))
@click.option("--quick", is_flag=True, help="A tenth of the repetitions, printed and not written.")
def run(name: str, quick: bool) -> None:
    """Run the study NAME, or all of them one after the other, which takes two hours and a half."""
    for one in STUDIES if name == "all" else (name,):
        importlib.import_module(f"benchmarks.{one}").main(quick)


if __name__ == "__main__":
    run()
