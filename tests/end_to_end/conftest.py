"""A user's folder and shell, and the services of a shared installation: database, object store, passwords."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.end_to_end.studies import DESKTOP, analysed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def user(tmp_path):
    """A folder with the project as cloned, and a shell that knows the environment's commands and the system's."""
    copy = tmp_path / "clone"
    copy.mkdir()
    shutil.copy(ROOT / "MLproject", copy)
    shutil.copytree(ROOT / "projects", copy / "projects", ignore=shutil.ignore_patterns("__pycache__"))
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    for tool in ("pyenv", "conda", "uv", "virtualenv"):
        assert shutil.which(tool, path=path) is None, f"{tool} is on the test's PATH"
    environment = {
        "PATH": path,
        "HOME": str(tmp_path / "home"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }

    def run(*arguments, **more):
        return subprocess.run(
            arguments, cwd=copy, env={**environment, **more}, capture_output=True, text=True, timeout=600
        )

    run.folder = copy
    run.environment = environment
    run.client = lambda: MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    return run


@dataclass(frozen=True)
class Production:
    """A tracking server as teams run it, and what its users need to know."""

    uri: str
    name: str
    password: str
    log: Path

    @property
    def access(self):
        """Environment of a user."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": self.name,
            "MLFLOW_TRACKING_PASSWORD": self.password,
        }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command, log, url, **options):
    """A service, from when it answers to the end of the block; any answer will do."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **options)
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                except urllib.error.HTTPError as answer:
                    answer.close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()[-2000:]
                    time.sleep(0.25)
            else:
                raise AssertionError(f"no answer: {log.read_text()[-2000:]}")
            yield
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 15)
            process.wait(30)


@contextmanager
def postgresql():
    """A database of its own; its URI. PostgreSQL refuses to run as root, so that root needs the user `postgres`."""
    bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not bins:
        pytest.skip("PostgreSQL is not installed")
    # Not on everybody's PATH.
    runuser = shutil.which("runuser", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))
    if os.getuid() == 0 and runuser is None:
        pytest.skip("root cannot become another user here, which PostgreSQL asks for")
    become = [str(runuser), "-u", "postgres", "--"] if os.getuid() == 0 else []
    # Not below pytest's folders, which only their owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    folder.chmod(0o777)
    data, port = folder / "data", free_port()

    def run(program, *arguments):
        done = subprocess.run([*become, str(bins[-1] / program), *arguments], capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, done.stderr

    run("initdb", "-D", str(data), "-U", "thermo", "--auth=trust", "-E", "UTF8")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "thermo", "mlflow")
        yield f"postgresql+psycopg2://thermo@127.0.0.1:{port}/mlflow"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def production(tmp_path_factory):
    """MLflow's server with basic authentication, its runs in PostgreSQL and its artifacts behind the S3 API."""
    pytest.importorskip("moto")
    pytest.importorskip("psycopg2")
    import boto3

    folder = tmp_path_factory.mktemp("production")
    # As the administrator of the server sets it; it must never be seen anywhere else.
    name, password = "physicist", "kT-is-a-secret-0815"
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = EDIT\nauthorization_function = "
        "mlflow.server.auth:authenticate_request_basic_auth\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\nadmin_username = {name}\nadmin_password = {password}\n"
    )
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        s3, port = free_port(), free_port()
        keys = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "kT-of-the-store",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        store = f"http://127.0.0.1:{s3}"
        moto = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(s3)]
        stack.enter_context(running(moto, folder / "moto.log", store))
        boto3.client(
            "s3", endpoint_url=store, aws_access_key_id="key", aws_secret_access_key="kT-of-the-store",
            region_name="us-east-1",
        ).create_bucket(Bucket="thermo")  # fmt: skip
        environment = {
            **os.environ, **keys, "MLFLOW_S3_ENDPOINT_URL": store, "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 20,
        }  # fmt: skip
        server = [
            sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--port",
            str(port), "--workers", "2", "--backend-store-uri", database, "--artifacts-destination", "s3://thermo",
        ]  # fmt: skip
        uri = f"http://127.0.0.1:{port}"
        log = folder / "mlflow.log"
        stack.enter_context(running(server, log, f"{uri}/health", env=environment, cwd=folder))
        yield Production(uri, name, password, log)


@pytest.fixture(scope="session")
def shown(server, tmp_path_factory):
    """A study on the shared server."""
    return analysed(server.client, server.uri, tmp_path_factory.mktemp("shown"), "shown")


@pytest.fixture
def visit(browser, server):
    """Opens pages, which must ask this server alone and complain about nothing."""
    opened, wrong = [], []

    def asked(request):
        if not request.url.startswith((f"{server.uri}/", "data:")):
            wrong.append(request.url)

    def go(address, **options):
        context = browser.new_context(**{**DESKTOP, **options})
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", asked)
        page.goto(address)
        page.wait_for_selector("main[aria-busy=false]")
        return page

    yield go
    for context in opened:
        context.close()
    assert wrong == []
