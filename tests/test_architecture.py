"""The walls of the house hold."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

WITHOUT_TORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
from analysis import cli
sys.argv = ["mlflow-thermo", "analyze", "--folder", sys.argv[1], "--out", sys.argv[2]]
cli.main()
assert "torch" not in sys.modules
"""


def test_import_contracts():
    shown = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout
    assert "0 broken" in shown.stdout


def test_the_analysis_runs_without_torch(tmp_path):
    from tests.analysis.conftest import Study

    root = tmp_path / "runs"
    root.mkdir()
    Study(root).write_all()
    out = tmp_path / "out"
    command = [sys.executable, "-W", "error::UserWarning", "-c", WITHOUT_TORCH, str(root), str(out)]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert (out / "report.html").is_file()


def test_every_metric_name_lives_in_the_schema():
    """A name that is written twice is a name that will differ one day."""
    for path in ROOT.glob("*/**/*.py"):
        relative = path.relative_to(ROOT)
        if relative.parts[0] in ("analysis", "mlflow_thermo", "projects") and path.name != "schema.py":
            for line in path.read_text().splitlines():
                if '"thermo/' in line:
                    raise AssertionError(f"{relative}: {line.strip()}")
