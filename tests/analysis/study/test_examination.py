"""The first reading of a run: what its parameters and metrics say."""

import numpy as np
import pytest

from analysis.results import NOT_STATIONARY, OK, RunResult
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


class TestBalance:
    """The fluctuation-dissipation relation holds in any stationary state of the updates that were logged."""

    def examined(self, ratio, stderr):
        rng = np.random.default_rng(0)
        sums = {"steps": 100.0, "wg": 5.0 * ratio, "gg": 100.0, schema.RATIO_STDERR: stderr}
        run = Trajectory(
            steps=np.arange(10, 2010, 10), weights=rng.normal(size=(8, 200, 3)), lr=0.1,
            loss=1 + 0.1 * rng.normal(size=(8, 200)),
            metrics={schema.PREFIX_WINDOW + name: value for name, value in sums.items() if value is not None},
        )  # fmt: skip
        return examine(RunResult("run", 0.1, 0, OK, ""), lambda series: run, None, 1).result

    def test_twice_the_logged_learning_rate(self):
        found = self.examined(0.5, 0.02)
        assert found.status == NOT_STATIONARY
        assert found.note.startswith("the fluctuation-dissipation ratio is 0.5 ± 0.02, 1 in a stationary state")

    @pytest.mark.parametrize(("ratio", "stderr"), [(1.02, 0.02), (1.15, 0.05), (0.5, None), (1.05, 1e-4)])
    def test_no_alarm_within_the_error_without_one_or_for_a_trifle(self, ratio, stderr):
        assert self.examined(ratio, stderr).status == OK
