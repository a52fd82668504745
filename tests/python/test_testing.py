"""The fixtures that libstream gives to tests of programs."""

from __future__ import annotations

import time

import pytest

import libstream
from libstream import Clock, Store
from libstream.kinesis import Client


def test_the_store_goes_by_the_clock(libstream_store: Store, libstream_clock: Clock) -> None:
    assert abs(libstream_clock.now_us - time.time_ns() // 1000) < 60_000_000
    stream = libstream_store.create_stream("orders")
    libstream_clock.advance(-3600)
    before = libstream_clock.now_us
    stream.producer().put("k", b"x")
    assert [record.arrival_us for record in stream.iterator()] == [before]
    assert libstream_store.durability == libstream.Durability.KERNEL


@pytest.mark.libstream(faults={"seed": 1, "throttled_per_1000": 1000}, durability=libstream.Durability.INTERVAL)
def test_a_mark_asks_for_trouble(libstream_store: Store) -> None:
    assert libstream_store.durability == libstream.Durability.INTERVAL
    with pytest.raises(libstream.ThrottledError):
        libstream_store.create_stream("orders").producer().put("k", b"x")


def test_the_client_is_of_the_same_store(libstream_kinesis: Client, libstream_store: Store) -> None:
    libstream_store.create_stream("orders")
    assert libstream_kinesis.list_streams()["StreamNames"] == ["orders"]
