"""No text that leaves the program has a password in it."""

import pickle

import pytest

from mlflow_thermo.errors import ThermoError, first_line, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host", "http://host"),
        ("http://user:secret@host:5000/#/experiments/1", "http://host:5000/#/experiments/1"),
        ("postgresql+psycopg2://user:secret@host:5432/db", "postgresql+psycopg2://host:5432/db"),
        # Percent-encoded, and not encoded at all, which SQLAlchemy accepts.
        ("http://us%40er:se%2Fcret%40@host/", "http://host/"),
        ("mysql://user:sec@ret@host/db", "mysql://host/db"),
        ("mysql://user:sec/ret?s#t@host/db", "mysql://host/db"),
        ("mysql://user:12345secret@host/db", "mysql://host/db"),
        ("http://:secret@host", "http://host"),
        ("http://user@host/path", "http://host/path"),
        ("http://user:@[::1]:5000/", "http://[::1]:5000/"),
        ("HTTPS://user:secret@HOST", "HTTPS://HOST"),
        (
            "tried 'http://u:secret@a' and (http://u:secret@b:1/x), then c",
            "tried 'http://a' and (http://b:1/x), then c",
        ),
        ("next=http%3A%2F%2Fuser%3Asecret%40host%2Fpath", "next=http%3A%2F%2Fhost%2Fpath"),
        ("postgresql://host/db?user=u&password=secret&x=1", "postgresql://host/db?user=u&password=***&x=1"),
    ],
)
def test_user_information_is_stripped(text, shown):
    assert without_password(text) == shown
    assert str(ThermoError(f"before {text} after")) == f"before {shown} after"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sqlite:////home/me@home/mlflow.db",
        "http://host:5000/#/experiments/1?owner=me@example.org",
        "http://host:5000 was asked by me@example.org",
        "open 'http://host:5000', or write to me@example.org",
        "lr=0.1 at a ratio of 3:2@half, file:///tmp/x@y, git@host:repository",
        "http://host/a http://other:80/b@c",
    ],
)
def test_any_other_text_stays_as_it_is(text):
    assert without_password(text) == text


def test_an_error_keeps_neither_text_nor_argument():
    error = ThermoError("cannot reach http://user:secret@host", 3)
    assert "secret" not in repr(error)
    assert error.args == ("cannot reach http://host", 3)
    assert pickle.loads(pickle.dumps(error)).args == error.args


def test_one_class_at_each_of_its_addresses():
    import mlflow_thermo

    assert mlflow_thermo.ThermoError is ThermoError


def test_the_first_line_of_an_error_is_never_empty_and_holds_no_password():
    assert first_line(RuntimeError("\ncannot open http://user:secret@host/x\nmore")) == "cannot open http://host/x"
    assert first_line(RuntimeError("")) == first_line(RuntimeError("\n")) == "RuntimeError"
