"""A training that nobody waits for any more ends; whoever is the parent of the tests themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from projects import PARENT_VARIABLE
from projects.common.lifetime import ParentWatch, Terminated, reason_of

ROOT = Path(__file__).parents[3]

# Begins as the programs do, waits for its parent's end, and says whether it has noticed.
CHILD = """
import os, time
parent = os.getppid()
import projects
print("begun", flush=True)
for _ in range(600):
    if os.getppid() != parent:
        break
    time.sleep(0.05)
from projects.common.lifetime import ParentWatch, Terminated, reason_of
try:
    ParentWatch().check()
    print("goes on")
except Terminated as end:
    print(end)
"""
# Starts the child on its own output, and is gone when the test says so.
PARENT = """
import signal, subprocess, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[2] == "nohup" else signal.SIG_DFL)
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
sys.stdin.readline()
"""


@pytest.fixture
def signals():
    """Gives back what a watch changes, and begins without nohup."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before:
        signal.signal(number, handler)


def outcome(nohup=False, child=CHILD, **environment):
    """What a program says whose parent is gone before it has imported what is slow."""
    known = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_RUN_ID", "MLFLOW_THERMO_SWEEP")}
    command = [sys.executable, "-W", "ignore", "-c", PARENT, child, "nohup" if nohup else ""]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**known, "PYTHONPATH": str(ROOT), **environment}, **pipes) as parent:
        assert parent.stdout.readline() == "begun\n"
        parent.stdin.close()
        return parent.stdout.read().strip()


GONE = "the process that started this training is gone"


def test_an_orphan_notices(signals, monkeypatch):
    watch = ParentWatch()
    watch.check()
    # Not 1: that may be who has started the tests, and an orphan's new parent may be a subreaper.
    other = os.getppid() + 1
    monkeypatch.setattr(os, "getppid", lambda: other)
    with pytest.raises(Terminated, match="gone"):
        watch.check()


def test_who_is_started_by_init_is_no_orphan(signals, monkeypatch):
    """As in a container."""
    monkeypatch.setattr("projects.common.lifetime.STARTED_BY", 1)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    ParentWatch().check()


def test_a_parent_that_is_gone_during_the_imports(signals):
    assert outcome() == GONE


def test_nohup_outlives_the_shell_but_not_a_command_that_waits(signals):
    assert outcome(nohup=True) == "goes on"
    assert outcome(nohup=True, MLFLOW_RUN_ID="abc") == GONE
    assert outcome(nohup=True, MLFLOW_THERMO_SWEEP="abc") == GONE


# Is ready, and then in the middle of something that lasts.
SLEEPER = """
import time
from projects.common.lifetime import ParentWatch, Terminated
try:
    watch = ParentWatch()
    print("begun", flush=True)
    time.sleep(60)
    print("goes on")
except Terminated as end:
    print(end)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not tell")
def test_an_orphan_is_told_at_once(signals):
    begin = time.monotonic()
    assert outcome(child=SLEEPER) == GONE
    assert time.monotonic() - begin < 40


def test_a_parent_that_is_gone_before_the_first_line(signals):
    """By the process id that a sweep tells its programs: their own parent is another one by then."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    script = SLEEPER.replace("time.sleep(60)", "watch.stop_if_asked()")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), PARENT_VARIABLE: str(gone.pid)}
    shown = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert shown.stdout == f"begun\n{GONE}\n", shown.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_asks_a_program_to_end(signals, number, capfd):
    """Held back where it must be; and once only, whatever comes while the program closes."""
    # Who started the tests may have had some ignored.
    signal.signal(number, signal.SIG_DFL)
    watch = ParentWatch()
    watch.closing_words = "wait for it"
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Terminated):
        with watch.holding():
            os.kill(os.getpid(), number)
            assert watch.asked
            watch.stop_if_asked()
            raise AssertionError("goes on")
    assert capfd.readouterr().err == ""
    os.kill(os.getpid(), number)
    watch.check()
    assert capfd.readouterr().err == "wait for it\n"


def test_who_types_nohup_keeps_it(signals):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ParentWatch()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_program_that_was_ended_says_why():
    assert reason_of(Terminated("signal 15")) == "signal 15"
    assert reason_of(KeyboardInterrupt()) == "interrupted from the keyboard"
