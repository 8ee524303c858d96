"""The first reading of a run: what its parameters and metrics say."""

import numpy as np
import pytest

from analysis.results import OK, RunResult
from analysis.study.examination import examine
from analysis.trajectory import Trajectory
from mlflow_thermo import schema

#: 2⟨w·g⟩ = lr·⟨|g|²⟩ at lr = 0.1.
SUMS = {"steps": 100.0, "wg": 5.0, "gg": 100.0}


def examined(**params):
    rng = np.random.default_rng(0)
    run = Trajectory(
        steps=np.arange(10, 2010, 10), weights=rng.normal(size=(200, 3)), loss=1 + 0.1 * rng.normal(size=200), lr=0.1,
        params=params, metrics={schema.PREFIX_WINDOW + name: value for name, value in SUMS.items()},
    )  # fmt: skip
    return examine(RunResult("run", 0.1, 0, OK, ""), lambda series: run, None, 1).result


@pytest.mark.parametrize(
    ("logged", "ratio"), [(None, 1.0), ("0.0", 1.0), ("None", 1.0), ("", 1.0), ("1e-3", None), ("cosine", None)]
)
def test_the_fluctuation_ratio_needs_weights_without_decay(logged, ratio):
    found = examined(**({} if logged is None else {"weight_decay": logged}))
    assert found.fluctuation_ratio == (None if ratio is None else pytest.approx(ratio))
    assert found.loss is not None


@pytest.mark.parametrize(("logged", "n_train"), [("1500", 1500), ("None", None), ("1.5e3", None), ("", None)])
def test_the_number_of_training_samples(logged, n_train):
    assert examined(n_train=logged).n_train == n_train
