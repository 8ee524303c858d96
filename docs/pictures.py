"""Make the pictures of the gallery: run every example and draw what it ends in.

    python docs/pictures.py [NAME ...]

Writes docs/images/example-NAME.png; two minutes for all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from analysis import analyze, from_folder

ROOT = Path(__file__).parents[1]
#: Programs that end in a temperature curve, with the folder of their runs below the one that they are given.
RUNS = {"own_loop": ".", "chains": ".", "lightning_callback": ".", "transformers_trainer": "runs"}


def main(names: list[str]) -> None:
    """Make the pictures of these examples, or of all."""
    for name in names or RUNS:
        with TemporaryDirectory() as folder:
            command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), folder]
            subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
            picture = ROOT / "docs" / "images" / f"example-{name}.png"
            analyze(from_folder(Path(folder) / RUNS[name])).plot_temperature().save(str(picture))


if __name__ == "__main__":
    main(sys.argv[1:])
