"""Programs that run inside the tests' own process."""

import os

import pytest

from projects.common import lifetime


@pytest.fixture(autouse=True)
def begins_now(monkeypatch):
    """A program that a test starts in this process has the parent of now: the tests' own may have left since."""
    monkeypatch.setattr(lifetime, "STARTED_BY", os.getppid())
