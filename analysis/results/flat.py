"""A run as one row of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.results.estimate import Estimate
    from analysis.results.run import RunResult

#: Columns of temperature.csv, in its order.
RUN_COLUMNS = (
    "run_id", "lr", "seed", "regime", "status", "loss", "loss_stderr", "entropy", "entropy_stderr", "temperature",
    "temperature_lower", "temperature_upper", "paper_temperature", "paper_ratio", "equipartition_temperature",
    "equipartition_spread", "noise_temperature", "noise_temperature_lower", "noise_temperature_upper",
    "virial_temperature", "virial_temperature_lower", "virial_temperature_upper", "virial_spread", "set_temperature",
    "late_temperature", "fluctuation_ratio", "free_energy", "n_eff", "tau", "burn_in", "n_used",
    "entropy_isotropic", "entropy_subspace", "entropy_shrinkage",
)  # fmt: skip


def run_row(run: RunResult) -> dict[str, Any]:
    """The single numbers and texts of a run under their names in result.json; None where one does not exist."""
    loss, entropy, temperature = run.loss, run.entropy, run.temperature
    three, thermal = run.identification, run.equipartition
    noise, virial = run.thermometers.noise, run.thermometers.virial
    return {
        "run_id": run.run_id,
        "lr": run.lr,
        "seed": run.seed,
        "status": run.status,
        "regime": run.regime,
        "loss": loss and loss.value,
        "loss_stderr": loss and loss.stderr,
        "entropy": entropy and entropy.value,
        "entropy_stderr": entropy and entropy.stderr,
        "temperature": temperature and temperature.value,
        "temperature_lower": temperature and temperature.lower,
        "temperature_upper": temperature and temperature.upper,
        "free_energy": run.free_energy,
        "n_eff": run.sampling.n_eff,
        "tau": run.sampling.tau,
        "paper_entropy": run.paper.entropy,
        "paper_n_used": run.paper.n_used,
        "paper_temperature": run.paper.temperature,
        "paper_ratio": run.paper.ratio,
        "uniform_loss": run.uniform_loss,
        "burn_in": run.sampling.burn_in,
        "n_used": run.sampling.n_used,
        "spacing": run.sampling.spacing,
        "last_step": run.sampling.last_step,
        "entropy_isotropic": three and three.isotropic,
        "entropy_subspace": three and three.subspace,
        "entropy_shrinkage": three and three.shrinkage,
        "equipartition_temperature": thermal and thermal.temperature,
        "equipartition_stderr": thermal and thermal.stderr,
        "equipartition_spread": thermal and thermal.spread,
        "equipartition_p_value": thermal and thermal.p_value,
        **_interval("noise_temperature", noise),
        **_interval("virial_temperature", virial),
        "virial_spread": run.thermometers.spread,
        "virial_p_value": run.thermometers.p_value,
        "set_temperature": run.set_temperature,
        "fluctuation_ratio": run.fluctuation_ratio,
        "late_temperature": run.late_temperature,
        "note": run.note,
        "n_train": run.n_train,
        "hops": run.hops,
    }


def _interval(name: str, found: Estimate | None) -> dict[str, Any]:
    parts = ("stderr", "lower", "upper")
    return {name: found and found.value, **{f"{name}_{part}": found and getattr(found, part) for part in parts}}
