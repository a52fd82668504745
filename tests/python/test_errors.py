"""Errors: a class for each status, with the library's line; nothing fails silently; what is closed says so."""

from __future__ import annotations

import copy
import pickle
import re
import threading
from array import array
from typing import Any, Callable, List, Tuple

import pytest

import libstream
from libstream import Durability, Limits, Store, Stream, StreamMode
from libstream._native import ffi, lib
from libstream.errors import failure


def test_every_status_has_a_class() -> None:
    codes = [name for name in dir(lib) if name.startswith("LS_ERR_")]
    assert len(codes) == 20
    for name in codes:
        error = failure(getattr(lib, name))
        assert type(error).status == error.status == getattr(lib, name)
        assert error.code == name and error.retryable == bool(lib.ls_status_is_retryable(error.status))
        assert type(error).__name__ in libstream.__all__
    parents = {1: libstream.UsageError, 2: libstream.StateError, 3: libstream.ThrottlingError,
               4: libstream.ResourceError, 5: libstream.DamageError}
    for name in codes:
        assert isinstance(failure(getattr(lib, name)), parents[getattr(lib, name) // 100])
    assert type(failure(499)) is libstream.ResourceError  # A later release's code.


def test_python_s_own_classes_catch_them() -> None:
    for status, kind in ((lib.LS_ERR_INVALID_ARGUMENT, ValueError), (lib.LS_ERR_NOT_FOUND, LookupError),
                         (lib.LS_ERR_TIMEOUT, TimeoutError), (lib.LS_ERR_IO, OSError), (lib.LS_ERR_FULL, OSError),
                         (lib.LS_ERR_NO_MEMORY, MemoryError)):
        assert isinstance(failure(status), kind)


def test_the_message_is_the_library_s(store: Store) -> None:
    with pytest.raises(libstream.NotFoundError, match="nothing") as caught:
        store.stream("nothing")
    assert str(caught.value) == ffi.string(lib.ls_last_error_message()).decode()
    assert caught.value.code == "LS_ERR_NOT_FOUND" and not caught.value.retryable
    with pytest.raises(libstream.ExistsError):
        store.create_stream("a")
        store.create_stream("a")
    with pytest.raises(libstream.InvalidArgumentError, match="name"):
        store.create_stream("no blanks")


def test_errors_go_to_other_processes() -> None:
    for name in libstream.errors.__all__:
        kind = getattr(libstream.errors, name)
        error = kind("a line", kind.status or libstream.InvalidArgumentError.status, 28, 1.5)
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(again) is kind and str(again) == "a line" and again.code == error.code
            assert (again.status, again.system_errno, again.retry_after) == (error.status, 28, 1.5)
            assert getattr(again, "errno", 28) == 28


def test_puts_refuse_what_they_must(stream: Stream) -> None:
    with stream.producer() as producer:
        with pytest.raises(libstream.InvalidArgumentError):
            producer.put("", b"x")
        with pytest.raises(libstream.InvalidArgumentError):
            producer.put(b"\xff", b"x")
        with pytest.raises(libstream.TooLargeError):
            producer.put("k" * 257, b"x")
        with pytest.raises(libstream.TooLargeError):
            producer.put("k", b"x" * (1 << 20))
        with pytest.raises(TypeError, match="not str"):
            producer.put("k", "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="str or bytes, not int"):
            producer.put(1, b"x")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not 'int'"):
            producer.put("k", 1)  # type: ignore[arg-type]
        with pytest.raises(libstream.InvalidArgumentError):
            producer.put("\ud800", b"x")
        with pytest.raises(TypeError, match="put.* missing 1 required positional argument: 'data'"):
            producer.put("k")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="unexpected keyword argument 'kind'"):
            producer.put("k", b"x", kind=1)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="2\\*\\*128-1"):
            producer.put("k", b"x", explicit_hash_key=1 << 128)
        with pytest.raises(libstream.TooLargeError):
            producer.put_many("k", [b"x"] * 65537)
        with pytest.raises(libstream.InvalidArgumentError, match="1"):
            producer.put_batch([("k", b"x"), ("", b"y")])
        with pytest.raises(TypeError, match="list of"):
            producer.put_batch([b"x"])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="1 records, but 2 keys"):
            producer.put_batch([("k", b"x")], explicit_hash_keys=[1, 2])
    assert list(stream.iterator()) == []


def test_explicit_hash_keys_place_records_of_a_batch(store: Store) -> None:
    stream = store.create_stream("two", shard_count=2)
    with stream.producer() as producer:
        results = producer.put_batch([("k", b"0"), ("k", b"1"), ("k", b"2")],
                                     explicit_hash_keys=[0, (1 << 128) - 1, None], durability=Durability.SYNC)
        assert [i.shard for i in results if i][:2] == [0, 1]
        with pytest.raises(libstream.InvalidArgumentError):
            producer.put_batch([("k", b"0"), ("k", b"1")], explicit_hash_keys=[0, (1 << 128) - 1], atomic=True)
        producer.flush()
    keys = {record.data: record.explicit_hash_key for record in stream.iterator()}
    assert keys == {b"0": 0, b"1": (1 << 128) - 1, b"2": None}


def test_a_part_of_a_batch_that_fails_is_told(folder: str) -> None:
    with Store(folder + "/store", faults={"seed": 7, "partial_per_1000": 1000}) as store:
        stream = store.create_stream("orders")
        with stream.producer() as producer:
            rows = [b"%d" % i for i in range(50)]
            with pytest.raises(libstream.PartialBatchError, match=r"\d+ of 50 records were not put") as caught:
                producer.put_many("k", rows)
            results = caught.value.results
            assert caught.value.retryable and 0 < results.failed <= 50
            assert [i for i, row in enumerate(results) if row is None] == list(results.statuses)
            again = pickle.loads(pickle.dumps(caught.value))  # As from a process of a pool.
            assert str(again) == str(caught.value) and list(again.results) == list(results)
            assert again.retryable and again.results.statuses == results.statuses
            silent = producer.put_many("k", rows, partial_ok=True)
        put = [row for row, at in zip(rows, results) if at] + [row for row, at in zip(rows, silent) if at]
        assert [record.data for record in stream.iterator()] == put


@pytest.mark.parametrize("bad", ["x\0y", "\ud800"])
def test_texts_that_c_would_cut_are_refused(store: Store, stream: Stream, folder: str, bad: str) -> None:
    txn, shard = store.transaction(), stream.iterator()
    told = stream.register_consumer("c")
    calls: List[Callable[[], Any]] = [
        lambda: Store(folder + "/" + bad), lambda: Store(folder + "/other", key=folder + "/" + bad),
        lambda: store.stream(bad), lambda: store.create_stream(bad), lambda: store.delete_stream(bad),
        lambda: list(store.streams(bad)), lambda: store.backup(folder + "/" + bad),
        lambda: store.write_metrics(folder + "/" + bad),
        lambda: store.define_metric("a_total", libstream.MetricType.COUNTER, "Help.", [bad]),
        lambda: store.create_stream("tagged", tags={bad: "1"}), lambda: stream.add_tags({"a": bad}),
        lambda: stream.remove_tags([bad]), lambda: stream.mapping(bad).describe(),
        lambda: stream.create_mapping(bad), lambda: stream.create_mapping("m", filters=[bad]),
        lambda: stream.register_consumer(bad), lambda: stream.describe_consumer(bad),
        lambda: stream.deregister_consumer(bad), lambda: stream.subscribe(bad), lambda: stream.group(bad),
        lambda: stream.group("g", worker=bad), lambda: stream.leases(bad), lambda: stream.delete_group(bad),
        lambda: stream.iterator(place=shard.place + bad), lambda: stream.subscribe("c", place=shard.place + bad),
        lambda: stream.create_delivery("d", directory=folder + "/" + bad), lambda: stream.delivery(bad).describe(),
        lambda: stream.start_encryption(bad), lambda: stream.windows(print, name=bad, size_ms=1),
        lambda: stream.windows(print, size_ms=1, time=bad)]
    if bad == "\ud800":  # A NUL may be in a key, which C does not look for.
        producer, later = stream.producer(), stream.async_producer()
        calls += [
            lambda: producer.put(bad, b""), lambda: producer.put_batch([(bad, b"")]),
            lambda: producer.put_batch([("k", b""), (bad, bytearray())]), lambda: producer.put_many(bad, [b""]),
            lambda: producer.put_buffer(bad, b"ab", offsets=array("i", [0, 1, 2])), lambda: later.put(bad, b""),
            lambda: producer.put_buffer([bad, "k"], b"ab", offsets=array("i", [0, 1, 2])),
            lambda: later.put_batch([(bad, b"")]), lambda: later.put_many(bad, [b""]),
            lambda: txn.put(stream, bad, b"")]
    for number, call in enumerate(calls):
        with pytest.raises(libstream.InvalidArgumentError, match="NUL at byte|surrogate|no such name"):
            call()
            pytest.fail("call %d was not refused" % number)
    assert list(store.streams()) == ["orders"] and stream.tags() == {} and stream.mappings() == []
    assert [info.name for info in stream.consumers()] == [told.name]
    stream.producer().put("a\0b", b"")
    assert [record.partition_key for record in stream.iterator()] == ["a\0b"]


def test_a_batch_for_a_stream_that_is_gone_is_refused_as_a_put_is(folder: str) -> None:
    with Store(folder + "/store") as store, store.create_stream("orders") as stream, stream.producer() as producer:
        with Store(folder + "/store") as other:
            other.delete_stream("orders")
        calls: List[Callable[[], Any]] = [
            lambda: producer.put("k", b""), lambda: producer.put_batch([("k", b"")] * 2),
            lambda: producer.put_many("k", [b""] * 2, partial_ok=True),
            lambda: producer.put_buffer("k", b"ab", offsets=array("q", [0, 1, 2]))]
        for call in calls:
            with pytest.raises(libstream.NotFoundError, match="stream 'orders' was deleted"):
                call()


def test_throttling_says_how_long_to_wait(store: Store) -> None:
    stream = store.create_stream("slow", mode=StreamMode.PROVISIONED, write_records_per_second=5)
    with stream.producer() as producer, pytest.raises(libstream.ThrottledError) as caught:
        for _ in range(20):
            producer.put("k", b"x")
    assert 0 < caught.value.retry_after <= 2 and caught.value.retryable
    stream.set_limits(Limits(write_records_per_second=7))
    assert stream.describe().limits.write_records_per_second == 7


def test_what_is_closed_says_so(store: Store) -> None:
    stream = store.create_stream("orders")
    producer, iterator = stream.producer(), stream.iterator()
    producer.put("k", b"x")
    stream.close()
    stream.close()
    for call in (lambda: producer.put("k", b"x"), lambda: producer.put_many("k", [b"x"]), producer.flush,
                 iterator.next_batch, iterator.cancel, stream.describe):
        with pytest.raises(libstream.WrongStateError, match=r"(producer|iterator|stream) is closed"):
            call()
    assert stream.closed and producer.closed and iterator.closed and not store.closed
    assert "closed" in repr(stream)


def test_children_that_nobody_refers_to_are_closed(store: Store) -> None:
    def cycle() -> None:
        stream = store.create_stream("cycle")
        knot: dict[str, object] = {"stream": stream, "iterator": stream.iterator(), "producer": stream.producer()}
        knot["knot"] = knot

    cycle()
    import gc

    gc.collect()
    store.delete_stream("cycle")
    assert store._children == {}


def test_closing_waits_for_calls_of_other_threads(folder: str) -> None:
    store = Store(folder + "/store")
    stream = store.create_stream("orders")
    iterator = stream.iterator(timeout=None)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            iterator.next_batch(None)
        except libstream.Error as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while iterator._gate.count == 0:
        pass
    store.close()
    thread.join(10)
    assert not thread.is_alive() and isinstance(caught[0], (libstream.CancelledError, libstream.WrongStateError))


def test_damage_names_the_place(folder: str) -> None:
    import glob

    with Store(folder + "/store") as store:
        with store.create_stream("orders") as stream, stream.producer() as producer:
            producer.put("k", b"needle" * 100)
            producer.put("k", b"more")
    path = next(p for p in glob.glob(folder + "/store/**/*.seg", recursive=True) if b"needle" in open(p, "rb").read())
    with open(path, "r+b") as file:
        content = file.read()
        file.seek(content.index(b"needle"))
        file.write(b"N")
    with Store(folder + "/store", read_only=True) as store, pytest.raises(libstream.CorruptError, match=r"\.seg"):
        list(store.stream("orders").iterator())


def test_read_only_stores_say_so(folder: str) -> None:
    with pytest.raises(libstream.NotFoundError):
        Store(folder + "/store", create=False)
    with Store(folder + "/store") as store:
        store.create_stream("orders").close()
    with Store(folder + "/store", read_only=True) as store:
        assert list(store.streams()) == ["orders"]
        with pytest.raises(libstream.ReadOnlyError):
            store.stream("orders").producer()


def test_documents_name_every_public_name() -> None:
    for name in libstream.__all__:
        thing = getattr(libstream, name)
        if not isinstance(thing, int):
            assert thing.__doc__ and not re.match(r"^\w+\(.*\)$", thing.__doc__), name
            for part, member in vars(thing).items() if isinstance(thing, type) else ():
                if not part.startswith("_") and (callable(member) or isinstance(member, property)):
                    assert getattr(member, "__doc__", None), "%s.%s has no documentation" % (name, part)


def test_numbers_that_c_has_no_room_for_are_refused_everywhere(stream: Stream, store: Store) -> None:
    """A subscription hands its shard to a thread, whose error nobody would be told."""
    stream.register_consumer("c")
    stream.producer().put("k", b"x")
    group, delivery = stream.group("g"), stream.create_delivery("d", to_callback=True)
    event, windows = group.next(20), stream.windows(print, size_ms=10)
    tickets, transaction = stream.async_producer(), store.transaction()
    counter = store.define_metric("a_total", libstream.MetricType.COUNTER, "A.").series()
    assert event is not None
    for number in (-1, 1 << 70):
        calls: List[Callable[[], Any]] = [
            lambda: stream.subscribe("c", number), lambda: event.lease.checkpoint(number),
            lambda: event.lease.checkpoint(1, number), lambda: event.lease.prepare(number),
            lambda: transaction.checkpoint(event.lease, number), lambda: windows.tip(number),
            lambda: windows.add_shard(number), lambda: counter.add(number), lambda: tickets.wait(number, 0),
            lambda: stream.producer(5).put_many("k", [b""], numbers=[number])]
        for call in calls:
            with pytest.raises(libstream.InvalidArgumentError):
                call()
    with pytest.raises(TypeError):
        stream.subscribe("c", "shardId-000000000000")  # type: ignore[arg-type]
    with stream.subscribe("c", 0) as subscription:
        assert next(subscription).data_list() == [b"x"]
    delivery.run(deliver=lambda given: None, until_caught_up=True, give_up=float("inf"))


def test_numbers_out_of_range_are_named(stream: Stream, store: Store) -> None:
    calls: List[Tuple[str, Callable[[], Any]]] = [
        ("records_max is -1", lambda: stream.iterator(records_max=-1).next_batch()),
        ("records_max is 1099511627776", lambda: stream.iterator().next_batch(records_max=1 << 40)),
        ("shard_count is -1", lambda: store.create_stream("other", shard_count=-1)),
        ("seqno is -5", lambda: stream.iterator(0, libstream.Position.at(-5))),
        ("out of its range", lambda: stream.iterator(-1)), ("out of its range", lambda: stream.split(1 << 40)),
        ("records_max is -1", lambda: stream.create_mapping("m", records_max=-1)),
        ("buffer_bytes is -1", lambda: stream.create_delivery("d", directory="/tmp", buffer_bytes=-1)),
        ("linger_ms is -1", lambda: stream.async_producer(linger_ms=-1)),
        ("fault_latency_ms is -1", lambda: Store("memory:", faults={"latency_ms": -1}))]
    for told, call in calls:
        with pytest.raises(libstream.InvalidArgumentError, match=told):
            call()
    with pytest.raises(TypeError, match="no setting 'writes'"):
        store.create_stream("other", writes=1)
    with pytest.raises(TypeError, match="a time is a datetime"):
        libstream.Position.at_time(1.5)  # type: ignore[arg-type]
    for timeout in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout .* is below 0, or no number"):
            stream.iterator().next_batch(timeout)
    stream.producer().put("k", b"x")
    stream.create_mapping("w")
    for timeout in (float("inf"), 1e30):
        assert stream.iterator().next_batch(timeout).data_list() == [b"x"]
        stream.mapping("w").wait(timeout)
