"""The contract between the recorder and the analysis: names, units and the shape of the index.

Standard library only: the recorder, the analysis and anyone's own script can all import it.
Units: losses in units of the training loss (mean per sample), entropies in nats, temperatures in loss units per nat,
times in optimiser steps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: Version of the snapshot index. A reader refuses a later one and reads every earlier one.
SCHEMA_VERSION = 5
#: Largest series: its index takes some 50 MB.
MAX_SNAPSHOTS = 1_000_000

#: Folder among a run's artifacts with one folder for each snapshot series.
ARTIFACT_ROOT = "thermo"
INDEX_NAME = "index.json"
#: Name of the one tensor in a chunk, shape (n_snapshots, d), or (n_snapshots, m) in a sketch.
WEIGHTS_KEY = "weights"
#: Names of the two tensors in a chunk of an isometric series (docs/format.md).
TRIANGLE_KEY = "triangle"
SHARED_KEY = "shared"

#: NumPy names of the dtypes that snapshots have, with their bytes; bfloat16 is recorded as float32.
DTYPES = {"float16": 2, "float32": 4, "float64": 8}

FULL, ISOMETRIC, SKETCH = "full", "isometric", "sketch"
AUTO = "auto"
STORAGES = (AUTO, FULL, ISOMETRIC, SKETCH)

SPACED = "spaced"
CONSECUTIVE = "consecutive"
#: Full gradients at some of the spaced snapshots, in the place of their weights.
GRADIENTS = "gradients"
#: Attribute of that series: means of |g_B|² over the steps of each chain.
MINIBATCH_SQUARES = "minibatch_squares"
#: Consecutive iterates at log-spaced times along the training.
BURSTS = "bursts"

# Metrics, in the units above.
METRIC_LR = "thermo/lr"
METRIC_LOG10_LR = "thermo/log10_lr"
METRIC_LOSS = "thermo/loss"
METRIC_ENTROPY = "thermo/entropy"
METRIC_TEMPERATURE = "thermo/temperature"
METRIC_LOG10_TEMPERATURE = "thermo/log10_temperature"
METRIC_FREE_ENERGY = "thermo/free_energy"
#: Temperature at which Gibbs states were sampled: an attribute of the index too.
METRIC_SET_TEMPERATURE, SET_TEMPERATURE = "thermo/set_temperature", "set_temperature"
#: Attribute of an index whose snapshots may repeat each other as draws of a sampler do, and its value.
REPEATS, METROPOLIS = "repeats", "metropolis"
#: Virial temperature of a run and its standard error, from full gradients.
METRIC_VIRIAL, METRIC_VIRIAL_STDERR = "thermo/virial_temperature", "thermo/virial_temperature_stderr"
METRIC_N_EFF = "thermo/n_eff"
METRIC_UNIFORM_LOSS = "thermo/uniform_loss"
METRIC_UNIFORM_LOSS_STD = "thermo/uniform_loss_std"

# Observables along the training, by optimiser step.
METRIC_TRAIN_LOSS = "train/loss"
METRIC_TRAIN_ACCURACY = "train/accuracy"
METRIC_TEST_LOSS = "test/loss"
METRIC_TEST_ACCURACY = "test/accuracy"
METRIC_GRADIENT_NORM = "gradient/norm"
METRIC_NOISE_RMS = "gradient/noise_rms"
METRIC_MINIBATCH_NORM = "gradient/minibatch_norm"
METRIC_MINIBATCH_NORM_STDERR = "gradient/minibatch_norm_stderr"
METRIC_SNR = "gradient/snr"
METRIC_SNR_STDERR = "gradient/snr_stderr"
#: Number of minibatch gradients that the noise was measured on; it adapts to the requested precision.
METRIC_NOISE_BATCHES = "gradient/noise_batches"
METRIC_WEIGHT_NORM = "weights/norm"
#: Independent snapshots that a run which goes on by need has, and needs.
METRIC_SAMPLING_N_EFF = "sampling/n_eff"
METRIC_SAMPLING_NEEDED = "sampling/n_eff_needed"
#: Prefix of everything measured on gradients.
PREFIX_GRADIENT = "gradient/"
#: Prefix of the running sums of `mlflow_thermo.fluctuations.FluctuationSums`.
PREFIX_SUMS = "sums/"
#: Prefix of the same sums over the second half of the training, logged at the last step.
PREFIX_WINDOW = "sums/window_"
#: With that prefix: standard error of the fluctuation-dissipation ratio, from the chains of a run.
RATIO_STDERR = "ratio_stderr"
#: Prefix of the metrics that an analysis writes, on the analysed runs and on its own.
PREFIX_RESULT = "thermo/"

# Tags.
TAG_STATUS = "thermo.status"
TAG_REGIME = "thermo.regime"
TAG_SWEEP = "thermo.sweep"
TAG_KIND = "thermo.kind"
TAG_VERSION = "thermo.version"
TAG_DIRTY = "thermo.git_dirty"
TAG_SNAPSHOTS = "thermo.snapshots"
#: Which process writes to the run, and when it last said so (`mlflow_thermo.delivery.Sign`).
TAG_ALIVE = "thermo.alive"
TAG_DEVICE = "thermo.device"
TAG_SCOPE = "thermo.scope"
#: JSON object of the sha256 of each series' index, which holds the sha256 of every chunk (`digests_of`).
TAG_DIGEST = "thermo.digest"

KIND_TRAIN = "train"
KIND_SWEEP = "sweep"
KIND_ANALYSIS = "analysis"
KIND_CALIBRATION = "calibration"
KIND_PAPER = "paper"
KIND_TOY = "toy"
#: The empty run that ``mlflow run`` opens to go on with another one.
KIND_RESUME = "resume"

#: MLflow's statuses of runs that have ended.
ENDED = ("FINISHED", "FAILED", "KILLED")

SNAPSHOTS_RECORDING = "recording"
SNAPSHOTS_COMPLETE = "complete"
SNAPSHOTS_PARTIAL = "partial"

STATIONARY = "stationary"
CONVERGING = "converging"
UNIFORM = "uniform"
DIVERGED = "diverged"
REGIMES = (STATIONARY, CONVERGING, UNIFORM, DIVERGED)

#: All weights on one sphere; or the weights that go into each unit on a sphere of their own.
SPHERE, SPHERES = "sphere", "spheres"
FIXED_ELR = "fixed_elr"
FIXED_LR = "fixed_lr"
PROTOCOLS = (SPHERE, SPHERES, FIXED_ELR, FIXED_LR)


@dataclass(frozen=True)
class ParameterSlice:
    """Where one parameter lies in the packed weight vector: ``[offset, offset + size)`` in C order.

    Attributes
    ----------
    name : str
        Name of the parameter.
    shape : tuple of int
        Its shape.
    offset, size : int
        First position in the vector, and number of weights.
    """

    name: str
    shape: tuple[int, ...]
    offset: int
    size: int


def spheres_of(protocol: str, layout: Sequence[ParameterSlice], d: int) -> tuple[int, ...]:
    """Numbers of weights on each of the spheres that a protocol keeps the weights on, in their order; () for none.

    Under ``spheres`` the first axis of a parameter counts its units.
    """
    if protocol == SPHERE:
        return (d,)
    if protocol != SPHERES:
        return ()
    units = [(p.shape[0] if len(p.shape) > 1 else 1, p.size) for p in layout]
    return tuple(size // count for count, size in units for _ in range(count))


@dataclass(frozen=True)
class Chunk:
    """One safetensors file with consecutive snapshots of a series.

    Attributes
    ----------
    file : str
        File name in the folder of the series.
    first_step, last_step : int
        Optimiser steps of its first and last snapshot.
    n_snapshots : int
        Number of snapshots in it.
    bytes : int
        Size of the file.
    sha256 : str
        Hex digest of the file.
    """

    file: str
    first_step: int
    last_step: int
    n_snapshots: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """One file with the entries of consecutive chunks of a series, which its ``index.json`` then need not hold.

    Attributes
    ----------
    file, bytes, sha256 : str, int, str
        As of a chunk.
    n_chunks, n_snapshots : int
        Numbers of chunks in it, and of their snapshots.
    """

    file: str
    n_chunks: int
    n_snapshots: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SeriesIndex:
    """What a reader needs to know about one snapshot series: what ``index.json`` and its parts say.

    Attributes
    ----------
    series : str
        Name of the series.
    d : int
        Number of trained weights.
    dtype : str
        NumPy name of the snapshots' dtype.
    protocol : str
        One of `PROTOCOLS`.
    lr : float or None
        Learning rate; None if unknown.
    seed : int or None
        Seed of the run; None if unknown.
    layout : tuple of ParameterSlice
        Where each parameter lies in a snapshot.
    schema_version : int
        Version of the format.
    complete : bool
        Whether every scheduled snapshot is there.
    chains : int
        Chains of the run. What they hold at one step are consecutive snapshots, in the order of the chains.
    steps : tuple of int
        Optimiser step of each snapshot, over all chunks in order.
    loss : tuple of float or None
        Minibatch loss at each snapshot's weights; None where none was recorded.
    loss_mean : tuple of float or None
        For each snapshot the mean minibatch loss of the steps since the previous snapshot, its own step included.
    chunks : tuple of Chunk
        The files, in order.
    parts : tuple of Part
        The files that hold the entries of the first chunks.
    attributes : dict
        Anything else that the training wrote.
    storage : str
        What the chunks hold: ``full``, ``isometric`` or ``sketch``.
    sketch_dim : int
        Columns of a sketch, or of the sketch that accompanies an isometric series.
    sketch_error : float or None
        Root mean square relative error of the distances in a sketch.
    """

    series: str
    d: int
    dtype: str
    protocol: str
    lr: float | None = None
    seed: int | None = None
    layout: tuple[ParameterSlice, ...] = ()
    schema_version: int = SCHEMA_VERSION
    complete: bool = False
    chains: int = 1
    steps: tuple[int, ...] = ()
    loss: tuple[float | None, ...] = ()
    loss_mean: tuple[float | None, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    parts: tuple[Part, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    storage: str = FULL
    sketch_dim: int = 0
    sketch_error: float | None = None

    @property
    def n_snapshots(self) -> int:
        """Number of snapshots in finished chunks."""
        return sum(chunk.n_snapshots for chunk in self.chunks)

    @property
    def columns(self) -> int:
        """Columns of the snapshots that are written: d, or those of a sketch."""
        return self.sketch_dim if self.storage == SKETCH else self.d


def digests_of(tag: str | None) -> dict[str, str]:
    """The sha256 of the index of each series, from the tag `TAG_DIGEST` of a run; {} where it names none.

    Runs of earlier releases have one sha256 over all indexes there, which says nothing about a single one.
    """
    try:
        found = json.loads(tag or "")
    except (ValueError, RecursionError):
        return {}
    named = isinstance(found, dict) and all(isinstance(digest, str) for digest in found.values())
    return found if named else {}
