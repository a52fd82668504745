"""Fixtures for pytest, which finds them by itself where libstream is installed; else
``pytest_plugins = ["libstream.testing"]``.

- `libstream_clock`: the time of day as the test sets it, from now on.
- `libstream_store`: an empty store in a directory of the test's, by that clock; puts are KERNEL.
- `libstream_kinesis`: boto3's client over that store.

A test asks for trouble, or for other options of `Store`, by a mark:

.. code-block:: python

    @pytest.mark.libstream(faults={"seed": 1, "throttled_per_1000": 500})
    def test_that_throttling_is_survived(libstream_store, libstream_clock):
        stream = libstream_store.create_stream("orders")
        libstream_clock.advance(3600)
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from libstream.kinesis import Client
from libstream.store import Clock, Store
from libstream.values import Durability


def pytest_configure(config: Any) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "libstream(**options): options of the store that libstream_store opens")


@pytest.fixture
def libstream_clock() -> Clock:
    """A clock that the test sets; it stands at the time when the test began."""
    return Clock(time.time_ns() // 1000)


@pytest.fixture
def libstream_store(request: pytest.FixtureRequest, tmp_path: Path, libstream_clock: Clock) -> Iterator[Store]:
    """An empty store, closed after the test."""
    mark = request.node.get_closest_marker("libstream")
    options: Any = {"durability": Durability.KERNEL, "clock": libstream_clock, **(mark.kwargs if mark else {})}
    with Store(tmp_path / "libstream.store", **options) as store:
        yield store


@pytest.fixture
def libstream_kinesis(libstream_store: Store) -> Iterator[Client]:
    """boto3's client over `libstream_store`."""
    with Client(libstream_store) as client:
        yield client
