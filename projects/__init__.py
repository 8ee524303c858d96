"""What is trained: each folder holds one MLflow project's code."""

import os

#: Process that has started this one. Noted here, where every program begins: once torch and MLflow are imported, which
#: takes seconds, the orphan of a command that was killed meanwhile has another one.
STARTED_BY = os.getppid()
