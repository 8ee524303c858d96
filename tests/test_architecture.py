"""The walls of the house hold."""

import ast
import importlib
import subprocess
import sys
from inspect import ismodule
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("mlflow_thermo", "analysis", "projects", "benchmarks")
#: Rooms of the plugin that the analysis may enter: the contract between the two, and how a package shows its names.
SHARED = {f"mlflow_thermo.{name}" for name in ("errors", "schema", "store", "faces", "delivery", "disk", "said")}

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


def source_files(*packages):
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path):
    """(module, name) of every import from this repository in a file; the name is empty for a plain import."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            for alias in node.names:
                yield node.module, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in PACKAGES:
                    yield alias.name, ""


def target(module, name):
    """The module that an import reaches: a package's name that is no module belongs to the package itself."""
    path = ROOT / Path(*module.split("."), name)
    if not name or not (path.with_suffix(".py").is_file() or path.is_dir()):
        return module
    shown = getattr(importlib.import_module(module), name, None)
    return module if shown is not None and not ismodule(shown) else f"{module}.{name}"


def passed_face(module, home):
    """The package whose face an import of `module` from the package `home` passes by; None where it passes none.

    Packages at the top are only the street; their rooms are the houses.
    """
    parts = module.split(".")
    for i in range(2, len(parts)):
        package = ".".join(parts[:i])
        if (ROOT / Path(*parts[:i]) / "__init__.py").is_file() and not f"{home}.".startswith(f"{package}."):
            return package
    return None


def test_nobody_reaches_past_a_face():
    reaching = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in source_files(*PACKAGES)
        for module, name in imports(path)
        if passed_face(target(module, name), ".".join(path.relative_to(ROOT).parent.parts))
    ]
    assert reaching == []


def test_the_face_check_sees_what_it_should():
    assert passed_face("analysis.entropy.base", "analysis.study") == "analysis.entropy"
    assert passed_face("analysis.entropy.base", "analysis.entropy") is None
    assert passed_face("analysis.entropy", "benchmarks") is None
    assert passed_face("projects.fixed_lr.config", "projects.paper") == "projects.fixed_lr"
    assert target("analysis.temperature", "laws") == "analysis.temperature.laws"
    assert target("analysis.temperature", "power_law") == "analysis.temperature"


def test_the_analysis_enters_the_shared_rooms_of_the_plugin_only():
    entered = {target(module, name) for path in source_files("analysis") for module, name in imports(path)}
    assert {module for module in entered if module.startswith("mlflow_thermo")} <= SHARED


def test_files_can_be_read_in_one_sitting():
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in source_files(*PACKAGES)}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_the_rooms_of_the_analysis_are_few():
    tracked = subprocess.run(["git", "ls-files", "analysis"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode or not tracked.stdout:
        pytest.skip("not a git checkout")
    assert len({Path(line).parts[1] for line in tracked.stdout.splitlines()}) <= 14


def test_a_wall_is_one_line_a_room():
    tomllib = pytest.importorskip("tomllib")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert len(contracts) <= 10
    for contract in contracts:
        if contract["type"] == "forbidden":
            assert max(len(contract["source_modules"]), len(contract["forbidden_modules"])) <= 6


@pytest.mark.parametrize("package", ["analysis", "mlflow_thermo", "projects"])
def test_tests_mirror_the_packages(package):
    """A folder of tests without a room of its own would hold what nobody looks for there."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests" / package).rglob("test_*.py")}
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []


def test_the_top_of_the_repository_holds_what_belongs_there():
    """Output that was committed by mistake shows here first."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone")
    found = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert found == {
        ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MLproject", "README.md", "SECURITY.md",
        "analysis", "benchmarks", "docs", "examples", "mkdocs.yml", "mlflow_thermo", "projects", "pyproject.toml",
        "tests",
    }  # fmt: skip
