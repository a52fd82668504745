"""Stores and streams: what they are opened with counts, and what is set is there."""

from __future__ import annotations

import os
from typing import Dict, List, Tuple

import pytest

import libstream
from libstream import (Clock, Compression, Cuts, Durability, Limits, LogLevel, ShardFilter, Store, StoreFlag, Stream,
                       StreamMode)


def test_a_store_keeps_its_durability(folder: str) -> None:
    for durability in Durability:
        with Store("%s/%s" % (folder, durability.name), durability=durability) as store:
            assert store.durability == durability
    with Store(folder + "/INTERVAL") as store:
        assert store.durability == Durability.INTERVAL and store.location == folder + "/INTERVAL"
        store.sync()
        store.maintain(10)


def test_streams_are_listed_made_and_deleted() -> None:
    store = Store("memory:")
    names = ["s%03d" % i for i in range(110)]  # More than a page of the library's.
    for name in names:
        store.create_stream(name).close()
    assert list(store.streams()) == names and list(store.streams("s100")) == names[101:]
    stream = store.stream("s007")
    stream.register_consumer("reader")
    with pytest.raises(libstream.WrongStateError):
        store.delete_stream("s007")
    store.delete_stream("s007", consumers=True)
    with pytest.raises(libstream.NotFoundError):
        list(stream.iterator())
    assert "s007" not in list(store.streams())


def test_a_stream_is_as_it_was_asked_for(store: Store) -> None:
    stream = store.create_stream("s", shard_count=3, retention_hours=48, mode=StreamMode.PROVISIONED,
                                 record_bytes_max=4096, compression=Compression.ZSTD, retention_bytes=1 << 30,
                                 tags={"team": "blue", "empty": ""}, write_records_per_second=17)
    found = stream.describe()
    assert (found.name, found.retention_hours, found.mode, found.record_bytes_max, found.compression,
            found.retention_bytes, len(found.open_shards)) == \
        ("s", 48, StreamMode.PROVISIONED, 4096, Compression.ZSTD, 1 << 30, 3)
    assert found.limits == Limits(1 << 20, 17, 2 << 20, 5)
    assert found.shards[0].first_hash_key == 0 and found.shards[2].last_hash_key == (1 << 128) - 1
    assert found.shards[1].shard_id == "shardId-000000000001"
    assert stream.tags() == {"empty": "", "team": "blue"}
    stream.add_tags({"a": "1"})
    stream.remove_tags(["team", "nothing"])
    assert stream.tags() == {"a": "1", "empty": ""}
    stream.increase_retention(72)
    with pytest.raises(libstream.InvalidArgumentError):
        stream.increase_retention(24)
    stream.decrease_retention(24)
    stream.set_mode(StreamMode.ON_DEMAND)
    stream.set_retention_bytes(0)
    stream.set_record_bytes_max(1 << 20)
    stream.set_compression(Compression.NONE)
    found = stream.describe()
    assert (found.retention_hours, found.mode, found.retention_bytes, found.record_bytes_max, found.compression) == \
        (24, StreamMode.ON_DEMAND, 0, 1 << 20, Compression.NONE)
    assert stream.recompress() == 0
    assert not found.recompression and found.auto_scaling is None and found.cuts == libstream.Cuts(0, 0, 0, 0, 0)
    stream.set_recompression(True)
    stream.set_auto_scaling(libstream.AutoScaling(hot_percent=90, shards_max=7))
    found = stream.describe()
    assert found.recompression and found.auto_scaling == libstream.AutoScaling(90, 60, 25, 900, 1, 7)
    stream.set_auto_scaling(None)
    assert stream.describe().auto_scaling is None
    with pytest.raises(libstream.WrongStateError):
        stream.reset_shard(0)


def test_shards_are_listed_by_filters_of_kinesis(store: Store) -> None:
    stream = store.create_stream("s", shard_count=2)
    stream.split(0)
    assert [s.shard for s in stream.shards()] == [0, 1, 2, 3]
    assert [s.shard for s in stream.shards(ShardFilter.AT_LATEST, limit=1)] == [1, 2, 3]
    assert [s.shard for s in stream.shards(ShardFilter.AFTER_SHARD_ID, after_shard=1)] == [2, 3]
    assert [(s.parent, s.is_open) for s in stream.shards()] == [(None, False), (None, True), (0, True), (0, True)]


def test_consumers_are_registered(stream: Stream) -> None:
    made = stream.register_consumer("a")
    stream.register_consumer("b")
    assert stream.describe_consumer("a") == made and [c.name for c in stream.consumers()] == ["a", "b"]
    assert made.cuts == Cuts(0, 0, 0, 0, 0)
    stream.deregister_consumer("a")
    with pytest.raises(libstream.NotFoundError):
        stream.describe_consumer("a")


def test_keys_come_from_a_function_or_a_file(folder: str) -> None:
    keys: Dict[str, bytes] = {"first": os.urandom(32)}
    with Store(folder + "/store", key=keys.__getitem__) as store:
        if "crypto" not in libstream._ffi.string(libstream._lib.ls_version_features()).decode().split():
            pytest.skip("libstream was built without encryption")
        stream = store.create_stream("secret")
        stream.start_encryption("first")
        assert stream.describe().key_id == "first"
        with pytest.raises(libstream.KeyUnavailableError):
            stream.start_encryption("second")
        with stream.producer() as producer:
            producer.put("k", b"needle")
    with Store(folder + "/store") as store, pytest.raises(libstream.KeyUnavailableError):
        list(store.stream("secret").iterator())
    with open(os.open(folder + "/key", os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
        file.write(keys["first"])
    with Store(folder + "/store", key=folder + "/key") as store:
        stream = store.stream("secret")
        assert [r.data for r in stream.iterator()] == [b"needle"]
        stream.stop_encryption()


def test_a_key_of_another_size_is_refused(folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    with Store(folder + "/store", key=lambda name: b"short") as store:
        with pytest.raises((libstream.KeyUnavailableError, libstream.UnsupportedError)):
            store.create_stream("secret").start_encryption("k")


def test_a_clock_that_is_set_makes_records_old(folder: str) -> None:
    clock = Clock(1_700_000_000_000_000)
    with Store(folder + "/store", clock=clock) as store:
        stream = store.create_stream("s")
        with stream.producer() as producer:
            producer.put("k", b"old")
            clock.advance(23 * 3600)
            producer.put("k", b"young")
        assert [r.arrival_us for r in stream.iterator()] == [1_700_000_000_000_000, 1_700_082_800_000_000]
        late = stream.iterator(0, libstream.Position.at(1))
        clock.advance(7200)
        with pytest.raises(libstream.TrimmedError):
            late.next_batch()
        assert [r.data for r in late] == [b"young"]


def test_events_are_logged(folder: str) -> None:
    lines: List[Tuple[LogLevel, str]] = []
    with Store(folder + "/store", log=lambda level, line: lines.append((level, line)),
               flags=StoreFlag.MAINTENANCE_THREAD | StoreFlag.NO_MAPPED_WRITES, prealloc_bytes=libstream.NO_PREALLOC):
        pass
    assert lines and all(isinstance(level, LogLevel) and line for level, line in lines)


def test_a_backup_is_a_store(folder: str, store: Store) -> None:
    with store.create_stream("s").producer() as producer:
        producer.put_many("k", [b"x" * 1000] * 1000)
    told: List[int] = []
    store.backup(folder + "/copy", lambda done, total: told.append(done) is None)
    assert told
    with Store(folder + "/copy", create=False) as copy:
        assert len(list(copy.stream("s").iterator())) == 1000
    with pytest.raises(libstream.CancelledError):
        store.backup(folder + "/cancelled", lambda done, total: False)

    def fail(done: int, total: int) -> bool:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.backup(folder + "/failed", fail)
    with pytest.raises(libstream.ExistsError):
        store.backup(folder)
    store.backup(folder + "/silent")


def test_a_least_privilege_is_held(folder: str) -> None:
    with Store(folder + "/store") as store:
        store.create_stream("s").close()
    with Store(folder + "/store", flags=StoreFlag.PRODUCE_ONLY) as store:
        stream = store.stream("s")
        stream.producer().put("k", b"x")
        with pytest.raises(libstream.WrongStateError):
            stream.iterator()
