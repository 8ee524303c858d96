"""``python -m analysis`` is ``mlflow-thermo``."""

from analysis.cli import main

main()
