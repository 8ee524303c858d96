"""Make the pictures of the gallery: run every example and draw what it ends in.

    python docs/pictures.py [NAME ...]

Writes docs/images/example-NAME.png, and for the name `own-data` the picture of that page; two minutes for all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from analysis import analyze, from_folder

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
#: The folder of each program's runs, below the one that it is given, and what is drawn of them.
DRAWN = {
    "own_loop": (".", "temperature"),
    "chains": (".", "temperature"),
    # Half a minute with the losses of minibatches is enough for entropies, and too short for their slope.
    "lightning_callback": (".", "entropy"),
    "transformers_trainer": ("runs", "entropy"),
}
PAGE = "own-data"


def main(names: list[str]) -> None:
    """Make these pictures, or all."""
    for name in names or [*DRAWN, PAGE]:
        with TemporaryDirectory() as folder:
            if name == PAGE:
                blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / f"{PAGE}.md").read_text(), re.S)
                run(["-c", "\n".join(blocks)], folder)
                shutil.copy(Path(folder) / "temperature.png", IMAGES / f"{PAGE}.png")
            else:
                run([str(ROOT / "examples" / f"{name}.py"), folder], folder)
                runs, figure = DRAWN[name]
                analyze(from_folder(Path(folder) / runs)).figures()[figure].save(str(IMAGES / f"example-{name}.png"))


def run(arguments: list[str], folder: str) -> None:
    """Run Python in a folder, with the packages of this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, env=environment)


if __name__ == "__main__":
    main(sys.argv[1:])
