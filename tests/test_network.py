"""Nothing connects to anywhere before it is asked to."""

import subprocess
import sys

import pytest

#: Refuses every look-up of a name and every socket that leaves the process, and names the one that was tried.
GUARD = """
import socket, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print(event, arguments[-1] if event == "socket.connect" else arguments, file=sys.stderr)
        raise SystemExit(f"{event} while {sys.argv[1]} was imported")

sys.addaudithook(refuse)
"""
IMPORTS = {
    "mlflow_thermo": "from mlflow_thermo import *",
    "analysis": "from analysis import *; import analysis.cli, analysis.tracking.publish, analysis.report.figures",
    "projects": "import projects.fixed_lr.train, projects.fixed_lr.sweep, projects.gibbs.run, projects.paper.run",
    "plugin": "import mlflow; from mlflow_thermo.plugin import ThermoRunContext; ThermoRunContext().in_context()",
}


def started(code, name):
    # Threads that a library leaves behind have a second to try.
    program = f"{GUARD}\n{code}\nimport time; time.sleep(1)"
    return subprocess.run(
        [sys.executable, "-c", program, name], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("name", IMPORTS)
def test_importing_connects_to_nothing(name):
    done = started(IMPORTS[name], name)
    assert done.returncode == 0, done.stderr
    assert "socket." not in done.stderr


def test_the_guard_sees_a_connection():
    for code in (
        "socket.create_connection(('127.0.0.1', 9), timeout=1)",
        "socket.getaddrinfo('tracking.example', 80)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    ):
        assert started(code, "nothing").returncode != 0
