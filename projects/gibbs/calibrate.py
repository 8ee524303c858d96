"""Entry point `calibrate_network`: the whole analysis on Gibbs states of a network, whose temperature is known.

Each study samples a ladder with a seed of its own and analyses it as if its temperatures were not known. What comes out
is held against them: T = dU/dS with its interval by several entropies, the thermometers that need none, and the change
of the entropy against ∫ dU/T, which the losses alone give.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
from scipy.interpolate import CubicSpline

from analysis import StudyConfig, StudyResult, Trajectory, analyze
from analysis.cli import entry, steady_progress
from analysis.results import NO_SNAPSHOTS, OK, Estimate
from analysis.trajectory import RunError
from mlflow_thermo import ThermoError, schema
from projects.gibbs.config import DEFAULT, GibbsConfig, resolve
from projects.gibbs.presets import PRESETS

#: Draws of each chain whose gradients are looked at.
GRADIENT_DRAWS = 50


@dataclass(frozen=True)
class SampledRun:
    """One temperature of a ladder, in the form that a study takes; its numbers never leave the memory."""

    run_id: str
    lr: float
    seed: int
    series: dict[str, Trajectory]
    uniform_loss: float | None = None
    uniform_loss_std: float | None = None

    @property
    def set_temperature(self) -> float:
        """The temperature."""
        return self.lr

    def load(self, series: str) -> Trajectory:
        """Snapshots or gradients; RunError for any other series."""
        if series not in self.series:
            raise RunError(f"run {self.run_id} holds no series {series!r}", NO_SNAPSHOTS)
        return self.series[series]


@dataclass(frozen=True)
class Calibrated:
    """One temperature of one study by one entropy, relative to the temperature that was set.

    Attributes
    ----------
    estimator, seed, temperature, status : of the study and the run.
    ratio, lower, upper : dU/dS and its interval over T.
    virial, virial_error : over T.
    change : ΔS from the next lower temperature over ∫ dU/T; NaN for the lowest.
    """

    estimator: str
    seed: int
    temperature: float
    status: str
    ratio: float
    lower: float
    upper: float
    virial: float
    virial_error: float
    change: float


def sampled_runs(config: GibbsConfig) -> list[SampledRun]:
    """A ladder as the runs of a study."""
    import torch

    from projects.gibbs.ladder import sampled
    from projects.gibbs.surfaces import make_surface

    torch.set_num_threads(1)
    surface = make_surface(config.preset, getattr(torch, config.dtype))
    _, samples = sampled(config, surface)
    units = schema.spheres_of(surface.protocol, surface.layout, surface.d)
    every = max(1, config.draws // GRADIENT_DRAWS)
    runs = []
    for i, temperature in enumerate(config.ladder):
        weights, gradients, losses = (
            part[:, i].movedim(0, 1).double().numpy() for part in (samples.weights, samples.gradients, samples.losses)
        )
        whole = Trajectory(
            np.arange(1, config.draws + 1), surface.scale * weights, losses, lr=temperature, protocol=surface.protocol,
            units=units, attributes={schema.REPEATS: schema.METROPOLIS},
        )  # fmt: skip
        some = slice(every - 1, None, every)
        slopes = replace(whole.take(some), weights=gradients[:, some] / surface.scale, series=schema.GRADIENTS)
        series = {schema.SPACED: whole, schema.GRADIENTS: slopes}
        runs.append(SampledRun(f"T={temperature:.3g}", temperature, config.seed, series))
    return runs


def calibrated(result: StudyResult, seed: int) -> Iterator[Calibrated]:
    """The runs of a study against the temperatures that were set."""
    known = np.array([run.lr for run in result.runs])
    loss = np.array([np.nan if run.loss is None else run.loss.value for run in result.runs])
    # ∫ dU/T = ΔU/T + ∫ U/T² dT, with U smooth in ln T.
    spline = CubicSpline(np.log(known), loss)
    fine = [np.linspace(a, b, 200) for a, b in zip(np.log(known[:-1]), np.log(known[1:]), strict=True)]
    exact = [float(np.trapezoid(spline(x, 1) * np.exp(-x), x)) for x in fine]
    for i, run in enumerate(result.runs):
        before = result.runs[i - 1].entropy if i else None
        change = np.nan
        if before is not None and run.entropy is not None:
            change = (run.entropy.value - before.value) / exact[i - 1]
        found, virial, t = run.temperature, run.thermometers.virial, run.lr

        def over_t(one: Estimate | None, part: str, t: float = t) -> float:
            value = None if one is None else getattr(one, part)
            return np.nan if value is None else value / t

        yield Calibrated(
            result.estimator.name, seed, t, run.status, over_t(found, "value"), over_t(found, "lower"),
            over_t(found, "upper"), over_t(virial, "value"), over_t(virial, "stderr"), change,
        )  # fmt: skip


def summary(rows: Sequence[Calibrated]) -> list[str]:
    """What a reader asks first, a line for each entropy."""
    lines = []
    for name in dict.fromkeys(row.estimator for row in rows):
        own = [row for row in rows if row.estimator == name]
        off = np.abs([row.ratio - 1 for row in own])
        inside = np.mean([row.lower <= 1 <= row.upper for row in own if np.isfinite(row.lower)])
        ok = np.array([row.status == OK for row in own])
        virial = np.nanmedian([row.virial for row in own])
        change = np.nanmedian([row.change for row in own])
        lines.append(
            f"{name}: |T̂/T − 1| median {np.nanmedian(off):.1%}, worst {np.nanmax(off):.1%}, where ok "
            f"{np.max(off[ok], initial=0.0):.1%}; 95 % interval covers {inside:.1%} of {len(own)}; ok {ok.mean():.1%}; "
            f"virial/T {virial:.3f}; ΔS/∫dU/T {change:.3f}"
        )
    return lines


def calibrate_preset(
    preset: str, studies: int, configs: Sequence[StudyConfig], given: dict[str, str], folder: Path
) -> None:
    """Sample and analyse the studies of one preset; after each the rows so far are in `folder`."""
    rows: list[Calibrated] = []
    begin = time.monotonic()
    for seed in range(studies):
        runs = sampled_runs(resolve({"preset": preset, "seed": str(seed), **given}))
        for config in configs:
            with steady_progress() as tell:
                rows += calibrated(analyze(runs, config, progress=tell), seed)
        # A program of an hour that is stopped keeps what it has.
        content = [asdict(row) for row in rows]
        seconds = round(time.monotonic() - begin)
        text = json.dumps({"preset": preset, "seconds": seconds, "rows": content}, indent=1).replace("NaN", "null")
        (folder / f"{preset}.json").write_text(text + "\n")
        click.echo(f"{preset}: study {seed + 1} of {studies}", err=True)
    for line in summary(rows):
        click.echo(f"{preset}, {line}")


@click.command(context_settings={"show_default": True})
@click.option("--preset", default=f"smooth,{DEFAULT}", help=f"Networks and settings, of {', '.join(PRESETS)}.")
@click.option("--studies", default="4", help="Ladders of each with seeds of their own.")
@click.option("--entropies", default="edgeworth,gaussian-ml", help="Comma list of entropy estimators.")
@click.option(
    "--temperatures", default="", show_default=False, help="Temperatures, lo:hi:n or a list.  [default: the preset's]"
)
@click.option("--draws", default="", show_default=False, help="Draws of each chain.  [default: the preset's]")
@click.option("--out", default="thermo-network", help="Folder for PRESET.json, the table of each.")
def main(preset: str, studies: str, entropies: str, temperatures: str, draws: str, out: str) -> None:
    """The analysis on Gibbs states of networks, against the temperatures that were set."""
    if not studies.isdigit() or int(studies) < 1:
        raise ThermoError(f"studies must be a whole number of at least 1, got {studies!r}")
    configs = [StudyConfig(entropy=name) for name in entropies.split(",")]
    given = {"draws": draws, "temperatures": temperatures}
    names = preset.split(",")
    for name in names:
        # A mistake in the last one must not show after the first has been sampled.
        resolve({"preset": name, **given})
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        calibrate_preset(name, int(studies), configs, given, folder)


if __name__ == "__main__":
    entry(main)
