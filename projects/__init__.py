"""What is trained: each folder holds one MLflow project's code."""

import os

#: Environment variable in which a program tells those that it starts its process id.
PARENT_VARIABLE = "MLFLOW_THERMO_PARENT"
_TOLD = int(os.environ.pop(PARENT_VARIABLE, 0))
#: Process that has started this one. Noted here, where every program begins: once torch and MLflow are imported, which
#: takes seconds, the orphan of a command that was killed meanwhile has another one. A sweep that is killed even before
#: that has told its own.
STARTED_BY = _TOLD or os.getppid()
#: Whether that is a program of ours, which has looked after the experiment before.
STARTED_BY_US = bool(_TOLD)
