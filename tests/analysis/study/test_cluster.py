"""What a cluster is asked before it works, and the same analysis by other executors."""

import os
import socket
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from analysis import analyze, from_folder
from analysis.study import open_cluster, uri_for_all
from mlflow_thermo.errors import ThermoError


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "foo://127.0.0.1:1", "tcp://127.0.0.1:many"])
def test_an_address_that_is_none(address):
    with pytest.raises(ThermoError, match=r"^scheduler .* does not answer .*: start one with 'dask scheduler'"):
        with open_cluster(address):
            pass


def test_nobody_answers(monkeypatch):
    monkeypatch.setattr("analysis.study.cluster.PATIENCE", 0.5)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(ThermoError, match="does not answer"):
            with open_cluster(f"tcp://127.0.0.1:{held.getsockname()[1]}"):
                pass


def test_no_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ThermoError, match=r"pip install 'mlflow-thermo\[dask\]'"):
        with open_cluster("tcp://127.0.0.1:1"):
            pass


@pytest.mark.parametrize("uri", ["http://user:secret@host:5000", "postgresql://user:secret@host/db"])
def test_a_password_goes_to_no_worker(uri):
    with pytest.raises(ThermoError, match="MLFLOW_TRACKING_PASSWORD") as error:
        uri_for_all(uri)
    assert "secret" not in str(error.value)


def test_a_store_means_the_same_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert uri_for_all("sqlite:///mlflow.db") == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert uri_for_all("sqlite:////data/mlflow.db") == "sqlite:////data/mlflow.db"
    assert uri_for_all("mlruns") == os.path.join(tmp_path, "mlruns")
    assert uri_for_all("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


@pytest.mark.parametrize("make", [ThreadPoolExecutor, pytest.param(ProcessPoolExecutor, marks=pytest.mark.slow)])
def test_every_executor_gives_the_same(study, make, monkeypatch):
    study.write_all()
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    context = {"mp_context": get_context("spawn")} if make is ProcessPoolExecutor else {}
    with make(2, **context) as executor:
        found = analyze(from_folder(study.root), executor=executor)
    assert found.to_frame().equals(analyze(from_folder(study.root)).to_frame())
