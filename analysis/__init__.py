"""From recorded weights to entropy, temperature and free energy.

All that a user of the library needs; names load when they are first used. An analysis in ten lines:

>>> from analysis import StudyConfig, analyze, from_folder
>>> runs = from_folder("runs")  # or from_tracking("my experiment")
>>> result = analyze(runs, StudyConfig(method="local-quadratic"))
>>> table = result.to_frame()  # pandas, one row per run
>>> table[["lr", "loss", "entropy", "temperature", "status"]].loc[1:2]  # doctest: +ELLIPSIS
         lr      loss   entropy  temperature status
1  0.017783  0.003... -4.9...     0.002...     ok
2  0.031623  0.006... -4.1...     0.003...     ok
>>> law = result.power_law
>>> print(law)  # doctest: +ELLIPSIS
T = 0.1...·lr^(1.1... ± 0...) for lr from 0.01 to 1
>>> paths = result.write("report")  # report.html, result.json, temperature.csv, figures/
>>> chart = result.plot_temperature()  # Altair; chart.save("temperature.png")

Natural units: entropies in nats, losses in units of the training loss (mean per sample), temperatures in loss units
per nat.
"""

from typing import TYPE_CHECKING

from mlflow_thermo.faces import lazy_names

if TYPE_CHECKING:
    from analysis.entropy import (
        EdgeworthEntropy as EdgeworthEntropy,
        GaussianEntropy as GaussianEntropy,
        GaussianMixtureEntropy as GaussianMixtureEntropy,
        KernelDensityEntropy as KernelDensityEntropy,
        KNNGraphEntropy as KNNGraphEntropy,
        KozachenkoLeonenkoEntropy as KozachenkoLeonenkoEntropy,
        ProbabilisticPCAEntropy as ProbabilisticPCAEntropy,
    )
    from analysis.free_energy import convexity_test as convexity_test
    from analysis.results import StudyResult as StudyResult
    from analysis.stationarity import diagnose as diagnose
    from analysis.study import StudyConfig as StudyConfig, analyze as analyze, analyze_run as analyze_run
    from analysis.temperature import power_law as power_law, temperature_curve as temperature_curve
    from analysis.tracking import from_folder as from_folder, from_tracking as from_tracking, watch as watch
    from analysis.trajectory import Trajectory as Trajectory

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "entropy": [
            "EdgeworthEntropy",
            "GaussianEntropy",
            "GaussianMixtureEntropy",
            "KNNGraphEntropy",
            "KernelDensityEntropy",
            "KozachenkoLeonenkoEntropy",
            "ProbabilisticPCAEntropy",
        ],
        "free_energy": ["convexity_test"],
        "results": ["StudyResult"],
        "stationarity": ["diagnose"],
        "study": ["StudyConfig", "analyze", "analyze_run"],
        "temperature": ["power_law", "temperature_curve"],
        "tracking": ["from_folder", "from_tracking", "watch"],
        "trajectory": ["Trajectory"],
    },
)
