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
#: The folder of each program's runs, below the one that it is given, and what is drawn of them.
DRAWN = {
    "own_loop": (".", "temperature"),
    "chains": (".", "temperature"),
    # Half a minute with the losses of minibatches is enough for entropies, and too short for their slope.
    "lightning_callback": (".", "entropy"),
    "transformers_trainer": ("runs", "entropy"),
}


def main(names: list[str]) -> None:
    """Make the pictures of these examples, or of all."""
    for name in names or DRAWN:
        with TemporaryDirectory() as folder:
            command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), folder]
            subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
            picture = ROOT / "docs" / "images" / f"example-{name}.png"
            runs, figure = DRAWN[name]
            analyze(from_folder(Path(folder) / runs)).figures()[figure].save(str(picture))


if __name__ == "__main__":
    main(sys.argv[1:])
