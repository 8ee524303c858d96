"""What a user of the library meets: a dozen names that load when they are used, and their examples."""

import doctest
import inspect
import pydoc
import subprocess
import sys

import pytest

import analysis
from mlflow_thermo import schema
from mlflow_thermo.errors import ThermoError

NAMES = {
    "from_tracking", "from_folder", "analyze", "analyze_run", "StudyConfig", "StudyResult", "Trajectory", "diagnose",
    "temperature_curve", "power_law", "convexity_test", "EdgeworthEntropy", "GaussianEntropy",
    "GaussianMixtureEntropy", "KNNGraphEntropy", "KernelDensityEntropy", "KozachenkoLeonenkoEntropy",
    "ProbabilisticPCAEntropy", "watch",
}  # fmt: skip


def test_names():
    assert set(analysis.__all__) == NAMES
    for name in NAMES:
        assert getattr(analysis, name).__name__ == name


def test_help_shows_the_door():
    shown = pydoc.plain(pydoc.render_doc(analysis))
    for name in NAMES:
        assert f"class {name}(" in shown or f"    {name}(" in shown, name
    assert "An analysis in ten lines" in shown


def test_importing_it_loads_nothing_heavy():
    code = "import analysis, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = {"numpy", "scipy", "sklearn", "pandas", "statsmodels", "altair", "mlflow", "torch"}
    assert "analysis" in loaded
    assert not heavy & set(loaded)
    assert not [name for name in loaded if name.startswith("analysis.")]


@pytest.fixture
def recorded(study, store, monkeypatch):
    """A folder "runs" here and an experiment "study" on the default store, as the examples have them."""
    experiment = store.get_experiment_by_name("study").experiment_id
    for folder, lr in zip(study.write_all(), study.lrs, strict=True):
        study.log_run(store, experiment, folder, lr, tags={schema.TAG_SWEEP: "first"})
    monkeypatch.chdir(study.root.parent)
    return study


@pytest.mark.parametrize("name", ["", *sorted(NAMES)])
def test_examples_run(recorded, name):
    thing = getattr(analysis, name) if name else analysis
    # The class alone: its methods are documented with what they do.
    found = doctest.DocTestFinder(recurse=False).find(thing, name or "analysis", globs={name: thing} if name else {})
    assert sum(doctest.SKIP not in example.options for test in found for example in test.examples) >= 1
    said = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in found:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_is_documented(name):
    thing = getattr(analysis, name)
    text = inspect.getdoc(thing)
    assert "Parameters\n----------" in text or "Attributes\n----------" in text, name


class TestBadInput:
    """One line that names the thing and the remedy, as on the command line."""

    def check(self, call, message):
        with pytest.raises(ThermoError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)

    def test_no_runs(self):
        self.check(lambda: analysis.analyze([]), "at least 3 learning rates, 0 have usable snapshots: run a sweep")

    def test_a_folder_that_is_not_there(self, tmp_path):
        self.check(lambda: analysis.from_folder(tmp_path / "none"), "folder .*none does not exist: give one that holds")

    def test_an_unknown_experiment(self, store):
        self.check(lambda: analysis.from_tracking("studi"), "'studi' does not exist: did you mean 'study'")

    def test_a_folder_that_is_a_file(self, recorded, tmp_path):
        (tmp_path / "taken").write_text("x")
        result = analysis.analyze(analysis.from_folder("runs"))
        self.check(lambda: result.write(tmp_path / "taken"), "choose another folder")
