"""Measurements that go wrong, for a process of their own: in a module that is imported quickly."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def breaks():
    yield ["a", 1]
    raise RuntimeError("first\n\n second | third\nfourth")


def dies():
    os.kill(os.getpid(), signal.SIGKILL)
    yield []


def hangs(told):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    Path(told).write_text(str(child.pid))
    time.sleep(100)
    yield []
