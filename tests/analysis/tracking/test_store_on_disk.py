"""An sqlite store whose disk is full, read-only or gone: said at once, by its name, and left as it was."""

import re
import sqlite3
import time
from contextlib import closing

import pytest
from alembic.util import CommandError

from analysis.tracking import ServerError, from_tracking, require_store
from analysis.tracking.errors import server_errors
from projects.common import prepare_store


@pytest.fixture
def path(small_disk, empty_database):
    target = small_disk.folder / "mlflow.db"
    target.write_bytes(empty_database.read_bytes())
    return target


@pytest.mark.parametrize("there", [True, False], ids=["old", "new"])
@pytest.mark.parametrize(("fault", "words"), [("fill", "the disk is full"), ("lock", "the disk is read-only")])
def test_a_store_that_takes_nothing(small_disk, path, there, fault, words):
    if not there:
        path.unlink()
    getattr(small_disk, fault)()
    with pytest.raises(ServerError, match=f"^the tracking store {re.escape(str(path))} cannot be written: {words}"):
        require_store(f"sqlite:///{path}", writes=True)
    small_disk.mend()
    assert [one.name for one in small_disk.folder.iterdir()] == ["mlflow.db"] * there


def test_a_training_says_so_at_once(small_disk, path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    mlflow.set_tracking_uri(None)
    small_disk.lock()
    begin = time.monotonic()
    with pytest.raises(ServerError, match="cannot be written: the disk is read-only"):
        prepare_store()
    # MLflow alone takes fifty.
    assert time.monotonic() - begin < 5


def test_a_store_on_a_read_only_disk_can_be_analysed(small_disk, path):
    small_disk.lock()
    with pytest.raises(Exception, match="experiment 'none' does not exist"):
        from_tracking("none", f"sqlite:///{path}")


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match="a file is in the place of a folder: move it away"):
        require_store(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", writes=False)


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "mlflow.db").write_text("years of work" * 1000)
    with pytest.raises(ServerError, match=r"mlflow\.db cannot be written: file is not a database"):
        require_store(f"sqlite:///{tmp_path / 'mlflow.db'}", writes=True)


def test_a_store_whose_tables_are_half_made(tmp_path):
    """As two commands leave it that opened a new one at the same moment, once in twenty times."""
    import sqlalchemy
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    engine = sqlalchemy.create_engine(uri)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE _alembic_tmp_latest_metrics (x INTEGER)"))
    engine.dispose()
    with pytest.raises(ServerError, match=r"half made \(.*_alembic_tmp_latest_metrics already.*db upgrade URI"):
        from_tracking("study", uri)


def test_words_of_alembic_are_an_error_of_the_store():
    with pytest.raises(ServerError, match=r"half made \(Online migration expected"), server_errors():
        raise CommandError("Online migration expected to match one row when updating 'a' to 'b'; 0 found")


def test_a_store_that_is_in_use_is_left_alone(tmp_path, empty_database):
    path = tmp_path / "my #%25 store.db"
    path.write_bytes(empty_database.read_bytes())
    with closing(sqlite3.connect(path, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        require_store(f"sqlite:///{path}", writes=True)
        busy.execute("ROLLBACK")
    before = path.read_bytes()
    require_store(f"sqlite:///{path}", writes=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "postgresql:///on-a-socket", "databricks"])
def test_other_stores_are_not_looked_at(uri):
    require_store(uri, writes=True)


def test_a_store_that_does_not_exist_yet_is_not_made_by_looking(tmp_path):
    require_store(f"sqlite:///{tmp_path / 'a' / 'b' / 'mlflow.db'}", writes=True)
    assert list(tmp_path.iterdir()) == []
