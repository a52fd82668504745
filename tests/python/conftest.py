"""What the tests of the Python package share. They see what is in PYTHONPATH, or installed: nothing of the build."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Iterator

import pytest

import libstream

pytest_plugins = ["libstream.testing"]
# What a shell starts in the background ignores Ctrl+C, and so would the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def folder() -> Iterator[str]:
    """An empty directory on a real disk: pytest's own may be on a tmpfs, and keeps three runs."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as made:
        yield made


@pytest.fixture
def store(folder: str) -> Iterator[libstream.Store]:
    with libstream.Store(folder + "/store", durability=libstream.Durability.KERNEL) as opened:
        yield opened


@pytest.fixture
def stream(store: libstream.Store) -> libstream.Stream:
    return store.create_stream("orders")
