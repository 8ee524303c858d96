"""The Tab key: commands, options and names of experiments in a real bash, and nothing where no server answers."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def complete(tmp_path):
    """What bash offers for words, the last of which is being typed; nothing may be said on stderr."""
    program = tmp_path / "bin" / "mlflow-thermo"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom analysis.cli import main\nmain()\n")
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])

    def offered(*words, **environment):
        typed = " ".join(f"'{word}'" for word in ("mlflow-thermo", *words))
        script = (
            'eval "$(_MLFLOW_THERMO_COMPLETE=bash_source mlflow-thermo)"\n'
            f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}\n"
            "_mlflow_thermo_completion mlflow-thermo\n"
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=200, check=True,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip
        assert done.stderr == ""
        return [line for line in done.stdout.splitlines() if line]

    return offered


def test_commands_and_options(complete):
    assert set(complete("")) >= {"analyze", "doctor", "watch", "advise", "export", "calibrate", "deliver", "paper"}
    assert complete("an") == ["analyze"]
    assert set(complete("doctor", "--")) >= {"--fix", "--json", "--experiment", "--tracking-uri", "--debug", "--help"}
    assert complete("analyze", "--pub") == ["--publish"]


def test_names_of_experiments(complete, store):
    for name in ("digits up", "digits", "Digits"):
        store.create_experiment(name)
    store.delete_experiment(store.create_experiment("digits-deleted"))
    assert complete("doctor", "dig") == ["digits", "digits up"]
    assert complete("analyze", "--experiment", "st") == ["study"]
    assert complete("watch", "no") == []


@pytest.mark.slow
def test_names_from_a_server(complete, server, tmp_path):
    server.client.create_experiment(f"tab {tmp_path.name}")
    assert complete("export", "--tracking-uri", server.uri, "tab test_names_from") == [f"tab {tmp_path.name}"]


@pytest.mark.parametrize("uri", ["http://{refused}", "http://{silent}", "sqlite:////none.db", "postgresql://a/b", "x"])
def test_nothing_where_nobody_answers(complete, uri):
    """At once, and in silence; also where a server takes the connection and says nothing."""
    with socket.socket() as refused, socket.socket() as silent:
        refused.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        places = {name: "{}:{}".format(*one.getsockname()) for name, one in (("refused", refused), ("silent", silent))}
        begin = time.monotonic()
        assert complete("doctor", "st", MLFLOW_TRACKING_URI=uri.format(**places)) == []
        # Two seconds are the limit; the rest is Python's start, twice.
        assert time.monotonic() - begin < 15
