"""Entry point `toy_sphere`: the over- and the under-parameterised toy, and weight decay under isotropic noise."""

from __future__ import annotations

from pathlib import Path

import click

from analysis.cli import entry
from analysis.report import TOY, require_folder
from mlflow_thermo import schema
from projects.common import EXPERIMENT, WholeNumber, parse_lrs
from projects.toy_sphere.measurement import CHAINS, STEPS, run_toys


@click.command()
@click.option("--lrs", default="1e-3:10:80", show_default=True, help="lo:hi:n (log-spaced) or a comma list.")
@click.option("--steps", default=STEPS, type=WholeNumber(1000), show_default=True, help="Steps of every chain.")
@click.option(
    "--chains",
    default=CHAINS,
    type=WholeNumber(10),
    show_default=True,
    help="Independent chains at each learning rate.",
)
@click.option("--seed", default=0, type=WholeNumber(0), show_default=True, help="Seed of start and samples.")
@click.option("--out", default="thermo-toy", show_default=True, help="Folder for tables and figures.")
@EXPERIMENT
def main(lrs: str, steps: int, chains: int, seed: int, out: str, experiment: str | None) -> None:
    """SGD on the sphere at many learning rates, over- and under-parameterised, with its exact answers."""
    rates = parse_lrs(lrs)
    from mlflow import MlflowClient

    from analysis.tracking import upload_report
    from projects.common import ParentWatch, log_new_params, own_run
    from projects.toy_sphere.facts import toy_facts
    from projects.toy_sphere.figures import toy_figures
    from projects.toy_sphere.recording import record_study
    from projects.toy_sphere.report import write_toy_report

    require_folder(out, TOY)
    watch = ParentWatch()
    with own_run(watch, experiment, "toy_sphere", schema.KIND_TOY, {}, "ended: {end}") as run_id:
        client = MlflowClient()
        log_new_params(run_id, {"lrs": lrs, "steps": steps, "chains": chains, "seed": seed})
        studies, decays = run_toys(rates, steps, chains, seed, lambda line: click.echo(line, err=True))
        watch.check()
        facts = toy_facts(studies, decays)
        write_toy_report(studies, decays, facts, toy_figures(studies, decays), Path(out))
        experiment_id = client.get_run(run_id).info.experiment_id
        for study in studies:
            record_study(client, experiment_id, study)
        upload_report(client, run_id, out, TOY)
        for fact in facts:
            for name, value in fact.numbers().items():
                client.log_metric(run_id, f"toy/{name}", value)
                click.echo(f"{name:<28} {value:.5g}")
        click.echo(f"figures {(Path(out) / 'figures').resolve()}")


if __name__ == "__main__":
    entry(main)
