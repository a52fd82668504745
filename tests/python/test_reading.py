"""Putting and reading: what is put comes back, from every position, as records, batches and arrays."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import threading
import time
import weakref
from array import array
from datetime import datetime, timedelta, timezone

import pytest

import libstream
import libstream.kinesis
from libstream import Position, Store, Stream
from libstream.store import Clock


def fill(stream: Stream, count: int) -> list[libstream.RecordId]:
    with stream.producer() as producer:
        return [producer.put("key-%d" % (i % 7), b"%d" % i) for i in range(count)]


def data(iterator: libstream.Iterator) -> list[bytes]:
    return [record.data for record in iterator]


def test_records_have_what_was_put_and_where(stream: Stream) -> None:
    before = time.time_ns() // 1000
    with stream.producer() as producer:
        ids = [producer.put("ключ", b"one"), producer.put(b"key", bytearray(b"two")),
               producer.put("k", memoryview(b"three")), producer.put("k", b"", explicit_hash_key=(1 << 128) - 1)]
    records = list(stream.iterator())
    assert [r.data for r in records] == [b"one", b"two", b"three", b""]
    assert [r.partition_key for r in records] == ["ключ", "key", "k", "k"]
    assert [r.id for r in records] == ids
    assert [r.explicit_hash_key for r in records] == [None, None, None, (1 << 128) - 1]
    assert [len(r) for r in records] == [3, 3, 5, 0] and all(records)
    assert before <= records[0].arrival_us <= time.time_ns() // 1000
    assert records[0].arrival == datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(
        microseconds=records[0].arrival_us)


def test_every_kind_of_position(stream: Stream) -> None:
    ids = fill(stream, 5)
    arrival = [r.arrival_us for r in stream.iterator()]
    assert data(stream.iterator(0)) == [b"0", b"1", b"2", b"3", b"4"]
    assert data(stream.iterator(0, Position.at(ids[3].seqno))) == [b"3", b"4"]
    assert data(stream.iterator(0, Position.after(ids[3].seqno))) == [b"4"]
    assert data(stream.iterator(0, Position.at_time(arrival[2])))[-1] == b"4"
    assert data(stream.iterator(position=Position.at_time(datetime.now(timezone.utc)))) == []
    latest = stream.iterator(position="LATEST")
    fill(stream, 1)
    assert data(latest) == [b"0"]
    latest.seek("TRIM_HORIZON")
    assert len(data(latest)) == 6
    with pytest.raises(ValueError, match="'LATEST'"):
        stream.iterator(position="latest")
    with pytest.raises(ValueError, match="no time zone"):
        Position.at_time(datetime.now())
    with pytest.raises(libstream.InvalidArgumentError):
        stream.iterator(position=Position.at(1))  # Numbers belong to a shard.


def test_seeking_in_a_loop_goes_on_from_there(stream: Stream) -> None:
    """What the loop has not taken of its batch is dropped."""
    ids = fill(stream, 6)
    iterator, got = stream.iterator(0), []
    for record in iterator:
        got.append(record.data)
        if len(got) == 2:
            iterator.seek(Position.at(ids[4].seqno))
        elif len(got) == 4:
            iterator.seek("TRIM_HORIZON")
        elif len(got) == 5:
            iterator.seek("LATEST")
            with pytest.raises(StopIteration):
                next(iterator)
    assert got == [b"0", b"1", b"4", b"5", b"0"]


def test_an_iterator_goes_on_after_its_end(stream: Stream) -> None:
    fill(stream, 3)
    iterator = stream.iterator()
    assert next(iterator).data == b"0"
    assert data(iterator) == [b"1", b"2"]
    assert data(iterator) == []
    fill(stream, 1)
    assert data(iterator) == [b"0"]


def test_an_iterator_goes_on_after_what_was_trimmed(folder: str) -> None:
    clock = Clock(time.time_ns() // 1000)
    with Store(folder + "/store", clock=clock, segment_bytes=1 << 16) as store:
        stream = store.create_stream("orders")
        iterator = stream.iterator(0)
        fill(stream, 1)
        assert data(iterator) == [b"0"]
        stream.producer().put_many("k", [b"x" * 10000] * 100)
        clock.advance(25 * 3600)
        store.maintain()
        stream.producer().put_many("k", [b"kept 1", b"kept 2"])
        with pytest.raises(libstream.TrimmedError):
            data(iterator)
        assert data(iterator)[-2:] == [b"kept 1", b"kept 2"]


def test_an_iterator_goes_on_after_a_limit(store: Store) -> None:
    stream = store.create_stream("reads", mode=libstream.StreamMode.PROVISIONED)
    for i in range(8):
        stream.producer().put("k", b"%d" % i)
    iterator, got, limits = stream.iterator(records_max=1), [], 0
    for _ in range(100):
        try:
            for record in iterator:
                got.append(record.data)
            break
        except libstream.ThrottledError as error:
            limits += 1
            time.sleep(error.retry_after)
    assert limits > 0 and got == [b"%d" % i for i in range(8)]


def test_a_place_is_behind_a_whole_batch(stream: Stream) -> None:
    fill(stream, 4)
    iterator = stream.iterator(records_max=2)
    next(iterator)
    with pytest.raises(libstream.WrongStateError, match="1 records of the batch were not taken"):
        iterator.place
    next(iterator)
    place = iterator.place
    assert data(stream.iterator(place=place)) == [b"2", b"3"]


def test_a_batch_is_also_arrays(stream: Stream) -> None:
    ids = fill(stream, 20)
    batch = stream.iterator().next_batch()
    assert len(batch) == 20
    assert batch.seqnos.tolist() == [i.seqno for i in ids]
    assert batch.data_list() == [b"%d" % i for i in range(20)]
    assert batch.key_list() == ["key-%d" % (i % 7) for i in range(20)]
    for i in (0, 7, 19):
        assert batch.data[batch.data_offsets[i]:batch.data_offsets[i + 1]] == b"%d" % i
        assert batch.keys[batch.key_offsets[i]:batch.key_offsets[i + 1]] == b"key-%d" % (i % 7)
    assert batch[-1].data == b"19" and [r.data for r in batch[3:5]] == [b"3", b"4"]
    assert batch.arrivals_us[3] == batch[3].arrival_us
    with pytest.raises(IndexError, match="record 20 of a batch of 20"):
        batch[20]
    with pytest.raises(TypeError):
        batch.data[0] = 1  # Nobody changes what others see.


def test_keys_that_are_not_ascii_come_as_a_list_too(stream: Stream) -> None:
    with stream.producer() as producer:
        producer.put_batch([("é", b"1"), ("ab", b"2"), ("\U0001f600", b"3")])
    assert stream.iterator().next_batch().key_list() == ["é", "ab", "\U0001f600"]


def test_views_outlive_everything(folder: str) -> None:
    with Store(folder + "/store") as store:
        stream = store.create_stream("orders")
        with stream.producer() as producer:
            producer.put_many("k", [b"%05d" % i * 20 for i in range(1000)])
        views = [record.view for record in stream.iterator(records_max=10)]
        seqnos = stream.iterator().next_batch().seqnos
    store.delete_stream if store.closed else pytest.fail("the store is open")
    gc.collect()
    filler = [bytearray(1 << 16) for _ in range(100)]
    assert [bytes(view[:5]) for view in views] == [b"%05d" % i for i in range(1000)]
    assert len(seqnos.tolist()) == 1000 and len(filler) == 100


def test_records_go_to_other_processes(stream: Stream) -> None:
    """Records, batches and results are pickled and copied, each record by itself; what is open is not."""
    with stream.producer() as producer:
        results = producer.put_batch([("k", b"x" * 100000), ("\u00e9", b""), ("h", b"y")],
                                     explicit_hash_keys=[None, None, 7])
        with stream.async_producer(aggregate=True) as packer:
            packer.put_many("k", [b"a", b"b"])
    batch = stream.iterator(deaggregate=True).next_batch()
    for again in (pickle.loads(pickle.dumps(batch)), copy.copy(batch), copy.deepcopy(batch)):
        assert list(again) == list(batch) and again.seqnos.tolist() == batch.seqnos.tolist()
        assert (again.shard, again.is_shard_end, again.children) == (batch.shard, batch.is_shard_end, batch.children)
        assert [(r.sub_seqno, r.sub_count, r.explicit_hash_key) for r in again] == [
            (r.sub_seqno, r.sub_count, r.explicit_hash_key) for r in batch]
    for record in batch:
        kept = pickle.dumps(record)
        again_one = pickle.loads(kept)
        assert again_one == record and hash(again_one) == hash(record) and len(kept) < len(record.data) + 500
        assert (again_one.view, again_one.sub_seqno, again_one.explicit_hash_key) == (
            record.data, record.sub_seqno, record.explicit_hash_key)
    assert batch[0] != batch[1] and batch[3] != batch[4] and batch[0] != batch[0].id and len(set(batch)) == 5
    assert list(pickle.loads(pickle.dumps(results))) == list(results)
    assert libstream.Record(batch, 1) in batch
    for it in (stream, stream.store, producer, stream.iterator()):
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be copied or pickled"):
                call(it)


def test_a_batch_is_whole_or_refused(stream: Stream) -> None:
    """Records are read where C says that they are: of a pickle that somebody wrote, too, only what the batch has."""
    stream.producer().put_batch([("k", b"12"), ("\u00e9", b"3")])
    batch = stream.iterator().next_batch()
    make, parts = batch.__reduce__()  # The bytes, how many of them are data, how many records, and the numbers.
    for at, wrong in ((0, b"12"), (1, -1), (1, 7), (2, -1), (2, 1), (2, 3), (2, 1 << 62), (3, b""), (3, parts[3][:-1])):
        with pytest.raises(ValueError, match="whose sizes are not its own"):
            make(*parts[:at], wrong, *parts[at + 1:])
    for at, wrong in ((0, 3), (1, -1), (1, 4), (2, 4)):  # Starts of data, and then of keys.
        for name, first in (("data", 0), ("partition_key", 3), ("partition_key_bytes", 3)):
            numbers = array("q", parts[3])
            numbers[first + at] = wrong
            damaged = make(*parts[:3], numbers.tobytes(), *parts[4:])
            with pytest.raises(ValueError, match="not in its batch"):
                [getattr(record, name) for record in damaged]
            with pytest.raises(ValueError, match="not in its batch"):
                damaged.data_list() if name == "data" else damaged.key_list()
    for record in (libstream.Record(batch, -1), libstream.Record(batch, 2),
                   libstream.Record(libstream.Batch.__new__(libstream.Batch), 0)):
        for name in ("data", "partition_key", "partition_key_bytes", "seqno", "arrival_us"):
            with pytest.raises(IndexError):
                getattr(record, name)
    nothing = libstream.Batch.__new__(libstream.Batch)
    assert nothing.data_list() == nothing.key_list() == []
    with pytest.raises(TypeError):
        libstream.Record(stream, 0)  # type: ignore[arg-type]
    with pytest.raises(UnicodeDecodeError):
        make(b"123\xff\xff\xff", *parts[1:])[0].partition_key


def test_lists_and_buffers_put_the_same(stream: Stream) -> None:
    rows = [b"alpha", b"", b"gamma" * 10]
    joined, offsets = b"".join(rows), array("q", [0, 5, 5, 55])
    with stream.producer() as producer:
        results = [
            producer.put_batch([("k", row) for row in rows]),
            producer.put_batch(iter([(b"k", row) for row in rows])),
            producer.put_batch([("k" if i else b"k", row) for i, row in enumerate(rows)]),
            producer.put_batch([["k", row] for row in rows]),  # type: ignore[misc]
            producer.put_batch([("k", bytearray(row)) for row in rows]),
            producer.put_many("k", rows),
            producer.put_many(b"k", iter(rows)),  # type: ignore[arg-type]
            producer.put_many("k", [memoryview(row) for row in rows]),
            producer.put_buffer("k", joined, offsets),
            producer.put_buffer("k", joined, array("i", offsets)),
            producer.put_buffer(["k"] * 3, joined, offsets),
            producer.put_buffer(b"kkk", joined, offsets, key_offsets=array("i", [0, 1, 2, 3])),
        ]
        assert producer.put_batch([]).failed == 0 and producer.put_many("k", []).failed == 0
    assert all(len(result) == 3 and result.failed == 0 and not result.statuses for result in results)
    records = list(stream.iterator())
    assert [r.data for r in records] == rows * len(results)
    assert {r.partition_key for r in records} == {"k"}
    assert [i for result in results for i in result] == [r.id for r in records]


def test_keys_of_a_batch_are_text_of_any_kind(stream: Stream) -> None:
    keys = ["é", "ab", "\U0001f600", "é" * 256]
    with stream.producer() as producer:
        producer.put_batch([(key, b"x") for key in keys])
        for wrong, kind in (([("\ud800", b"x")], libstream.InvalidArgumentError), ([("k", "text")], TypeError),
                            ([(17, b"x")], (TypeError, AttributeError)), ([("k", b"x", b"y")], TypeError),
                            ([("k",)], TypeError), (17, TypeError)):
            with pytest.raises(kind):
                producer.put_batch(wrong)
        with pytest.raises(TypeError, match="not str"):
            producer.put_many("k", ["text"])  # type: ignore[list-item]
    assert stream.iterator().next_batch().key_list() == keys


def test_iterables_are_put_and_no_more_is_taken_than_a_batch_has(stream: Stream) -> None:
    with stream.producer() as producer:
        assert len(producer.put_many("k", (b"%d" % i for i in range(3)))) == 3
        assert len(producer.put_batch(iter([("k", b"3")]))) == 1
        endless = itertools.repeat(b"x")
        with pytest.raises(libstream.TooLargeError):
            producer.put_many("k", endless)
        with pytest.raises(libstream.TooLargeError):
            producer.put_batch(zip(itertools.repeat("k"), endless))
    assert [record.data for record in stream.iterator()] == [b"0", b"1", b"2", b"3"]


def test_a_list_may_be_changed_while_it_is_put(stream: Stream) -> None:
    """Records are put from where they lie: the batch keeps them, whatever another thread does to its list."""
    rows: list[tuple[str, bytes]] = []
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            rows[:] = [("key-%d" % i, b"data-%d" % i * 5) for i in range(200)]
            rows.clear()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        with stream.producer() as producer:
            put = sum(len(producer.put_batch(rows)) for _ in range(300))
    finally:
        stop.set()
        thread.join()
    records = list(stream.iterator())
    assert len(records) == put and all(r.data == r.partition_key.replace("key", "data").encode() * 5 for r in records)


def test_numbered_puts_are_there_once(folder: str) -> None:
    with Store(folder + "/store") as store:
        stream = store.create_stream("orders", shard_count=2)
        with stream.producer(producer_id=(7 << 64) + 1) as producer:
            first = producer.put("a", b"1", number=1)
            batch = list(producer.put_batch([("a", b"2"), ("b", b"3")], numbers=2))
            some = list(producer.put_many("a", [b"7", b"9"], numbers=[7, 9]))
    with Store(folder + "/store") as store:  # Also after a crash, or so.
        stream = store.stream("orders")
        with stream.producer(producer_id=(7 << 64) + 1) as producer:
            assert producer.put("a", b"other", number=1) == first
            assert list(producer.put_batch([("a", b"2"), ("b", b"3")], numbers=2)) == batch
            assert list(producer.put_many("a", [b"7", b"9"], numbers=[7, 9])) == some and producer.repeats == 5
            buffer = producer.put_buffer("a", b"xy", array("q", [0, 1, 2]), numbers=[9, 10])
            assert buffer[0] == some[1] and producer.repeats == 6
            with pytest.raises(libstream.InvalidArgumentError):
                producer.put_many("a", [b"x", b"y"], numbers=[12, 11])
            with pytest.raises(ValueError, match="2 records, but 1 numbers"):
                producer.put_many("a", [b"x", b"y"], numbers=[12])
            with pytest.raises(ValueError, match="below 1"):
                producer.put("a", b"x", number=0)
            with pytest.raises(libstream.InvalidArgumentError, match="number is 18446744073709551616"):
                producer.put("a", b"x", number=1 << 64)
        assert producer.repeats == 0  # Of one that is closed.
        with stream.producer() as producer, pytest.raises(ValueError, match="producer with an id"):
            producer.put("a", b"x", number=1)
        for wrong in (0, -1, 1 << 128):
            with pytest.raises(ValueError, match="is not in 1"):
                stream.producer(producer_id=wrong)
        assert sorted(data(stream.iterator())) == [b"1", b"2", b"3", b"7", b"9", b"y"]


def test_rows_of_an_array_are_records(stream: Stream) -> None:
    numpy = pytest.importorskip("numpy")
    table = numpy.arange(12, dtype="<u2").reshape(3, 4)
    points = numpy.zeros(2, dtype=[("x", "<f8"), ("y", "<i4")])
    for addresses in (numpy.zeros(2, dtype=[("x", "<f8"), ("y", "O")]), numpy.zeros(
            2, dtype=[("x", [("y", "O")], (2,)), ("z", "<i4")])):
        with pytest.raises(TypeError, match="structures that have objects"):
            stream.producer().put_buffer("k", addresses)
    with stream.producer() as producer:
        assert len(producer.put_buffer("k", table)) == 3
        assert len(producer.put_buffer("k", points)) == 2
        assert len(producer.put_buffer("k", numpy.array([b"ab", b"cd"]))) == 2
        with pytest.raises(ValueError, match="not contiguous"):
            producer.put_buffer("k", table[:, ::2])
        with pytest.raises(TypeError, match="where records begin"):
            producer.put_buffer("k", b"abc")
    batch = stream.iterator().next_batch()
    assert batch[1].data == table[1].tobytes() and batch[3].data == points[0].tobytes() and batch[5].data == b"ab"
    seqnos = numpy.asarray(batch.seqnos)
    assert seqnos.dtype == numpy.int64 and not seqnos.flags.owndata
    assert numpy.frombuffer(batch.data, dtype="<u2", count=12).reshape(3, 4).tolist() == table.tolist()


def test_arrays_of_text_and_of_objects_are_no_rows(stream: Stream) -> None:
    """Their elements have lengths of their own, which their memory does not show."""
    numpy = pytest.importorskip("numpy")
    table = numpy.arange(6, dtype="u1").reshape(2, 3)
    with stream.producer() as producer:
        for keys in (numpy.array(["a", "bü"]), numpy.array([b"a", "bü".encode()]), numpy.array(["a", "bü"], object)):
            producer.put_buffer(keys, table)
            assert [r.partition_key for r in stream.iterator()][-2:] == ["a", "bü"]
        producer.put_buffer("k", numpy.array([b"long", b"s"], object))
        producer.put_buffer("k", numpy.array([b"ab", b"c"]))
        producer.put_buffer("k", numpy.array([b"ab", b"cd", b"ef"])[::2])
        producer.put_buffer("k", numpy.array([b"xyz"]), array("i", [0, 1, 3]))
        for wrong in (numpy.array(["a", "b"]), numpy.array(["a", 1], object), numpy.array([[b"a"], [b"b"]], object)):
            with pytest.raises(TypeError):
                producer.put_buffer("k", wrong)
        for keys in (numpy.array([["a"], ["b"]]), numpy.array([1, 2], object)):
            with pytest.raises((TypeError, libstream.InvalidArgumentError)):
                producer.put_buffer(keys, table)
        with pytest.raises(ValueError, match="2 records, but 3 keys"):
            producer.put_buffer(numpy.array(["a", "b", "c"]), table)
    assert [r.data for r in stream.iterator()][6:] == [b"long", b"s", b"ab", b"c\0", b"ab", b"ef", b"x", b"yz"]


def test_masked_elements_are_no_records(stream: Stream) -> None:
    """Arrays of NumPy have in their memory what they say is not there."""
    numpy = pytest.importorskip("numpy")
    masked, whole = numpy.ma.array([b"a", b"b", b"c"], mask=[0, 1, 1]), numpy.array([b"a", b"b", b"c"])
    structured = numpy.ma.zeros(3, dtype=[("x", "<f8"), ("y", "<i4")])
    structured["x"][0] = numpy.ma.masked
    keys = array("i", [0, 1, 2, 3])
    with stream.producer() as producer:
        for count, name, put in (
                (2, "data", lambda: producer.put_buffer("k", masked)),
                (2, "data", lambda: producer.put_buffer("k", numpy.ma.array(
                    [b"a", b"b", None], object, mask=[0, 1, 1]))),
                (1, "data", lambda: producer.put_buffer("k", structured)),
                (2, "partition_keys", lambda: producer.put_buffer(masked, whole)),
                (1, "offsets of data", lambda: producer.put_buffer("k", b"abc", numpy.ma.array(
                    [0, 1, 2, 3], mask=[0, 1, 0, 0]))),
                (2, "offsets of partition_keys", lambda: producer.put_buffer(b"abc", whole, key_offsets=numpy.ma.array(
                    keys, mask=[0, 1, 1, 0]))),
                (1, "data", lambda: producer.put_many("k", masked)),
                (2, "data", lambda: producer.put("k", masked))):
            with pytest.raises((TypeError, ValueError), match="%d elements of %s are masked" % (count, name)):
                put()
        assert list(stream.iterator()) == []
        producer.put_buffer(numpy.ma.array(whole), numpy.ma.array(whole, mask=[0, 0, 0]))
    assert [(r.partition_key, r.data) for r in stream.iterator()] == [("a", b"a"), ("b", b"b"), ("c", b"c")]


def test_texts_of_any_length_are_keys(stream: Stream) -> None:
    """NumPy's StringDType shows nobody its memory."""
    numpy = pytest.importorskip("numpy", "2.0")
    kind, table = numpy.dtypes.StringDType, numpy.arange(6, dtype="u1").reshape(2, 3)
    with stream.producer() as producer:
        producer.put_buffer(numpy.array(["a", "bü" * 20], kind()), table)
        for wrong, said in ((numpy.array(["a", None], kind(na_object=None)), "1 texts of partition_keys are missing"),
                            (numpy.array(["a", numpy.nan], kind(na_object=numpy.nan)), "are missing"),
                            (numpy.array([["a"], ["b"]], kind()), "of one dimension")):
            with pytest.raises((TypeError, ValueError), match=said):
                producer.put_buffer(wrong, table)
        with pytest.raises(TypeError, match="without offsets"):
            producer.put_buffer(numpy.array(["a", "b"], kind()), table, key_offsets=array("i", [0, 1, 2]))
        with pytest.raises(TypeError, match="data is an array of text, not of bytes: encode it"):
            producer.put_buffer("k", numpy.array(["a", "b"], kind()))
    assert [(r.partition_key, r.data) for r in stream.iterator()] == [
        ("a", b"\0\1\2"), ("bü" * 20, b"\3\4\5")]


def test_arrow_arrays_of_many_kinds_are_put(stream: Stream) -> None:
    arrow = pytest.importorskip("pyarrow")
    rows = [b"0", b"twelve bytes", b"thirteen byte", b"", b"x" * 100, b"22"]
    with stream.producer() as producer:
        expected: list[bytes] = []

        def put(data: object, *values: bytes, keys: object = "k", **more: object) -> None:
            assert len(producer.put_buffer(keys, data, **more)) == len(values)  # type: ignore[arg-type]
            expected.extend(values)

        for kind in (arrow.binary(), arrow.large_binary(), getattr(arrow, "binary_view", arrow.binary)()):
            whole = arrow.array(rows, kind)
            put(whole, *rows)
            put(whole[1:5], *rows[1:5])
            put(whole[:0])
            put(arrow.chunked_array([rows[:2], [], rows[2:]], kind)[1:], *rows[1:], atomic=True)
            put(arrow.chunked_array([], kind))
        texts = arrow.array(["a", "thirteen byte", "ü"], getattr(arrow, "string_view", arrow.string)())
        put(texts, b"a", b"thirteen byte", "ü".encode(), keys=texts)
        put(arrow.array([b"ab", b"cd", b"ef"], arrow.binary(2))[1:], b"cd", b"ef",
            keys=arrow.chunked_array([["a"], ["b"]]))
        put(arrow.array([b"", b""], arrow.binary(0)), b"", b"")
        assert [r.partition_key for r in stream.iterator()][-7:-2] == ["a", "thirteen byte", "ü", "a", "b"]
        with pytest.raises(ValueError, match="1 nulls"):
            put(arrow.chunked_array([[b"x"], [None]]))
        for wrong, said in ((arrow.array(["a"]).dictionary_encode(), "dictionary_decode"),
                            (arrow.chunked_array([], arrow.int64()), "of int64")):
            with pytest.raises(TypeError, match=said):
                put(wrong)
    assert [r.data for r in stream.iterator()] == expected


def test_arrow_arrays_go_both_ways(stream: Stream) -> None:
    arrow = pytest.importorskip("pyarrow")
    with stream.producer() as producer:
        producer.put_buffer(arrow.array(["a", "b", "c"])[1:], arrow.array([b"0", b"11", b"222"])[1:])
        producer.put_buffer("k", arrow.array([b"x"], type=arrow.large_binary()))
        with pytest.raises(ValueError, match="1 nulls"):
            producer.put_buffer("k", arrow.array([b"x", None]))
        with pytest.raises(TypeError, match="int64"):
            producer.put_buffer("k", arrow.array([1]))
    table = stream.iterator().next_batch().to_arrow()
    assert table.column("data").to_pylist() == [b"11", b"222", b"x"]
    assert table.column("partition_key").to_pylist() == ["b", "c", "k"]
    assert table.column("seqno").to_pylist() == [r.seqno for r in stream.iterator()]


def test_offsets_that_leave_the_buffer_are_refused(stream: Stream) -> None:
    with stream.producer() as producer:
        for offsets in ([0, 4], [2, 1], [-1, 2], [0, 2, 1], [0, 1 << 40]):
            with pytest.raises(libstream.InvalidArgumentError, match="offsets leave the buffer, or go back"):
                producer.put_buffer("k", b"abc", array("q", offsets))
        with pytest.raises(TypeError, match="int32 or int64"):
            producer.put_buffer("k", b"abc", array("h", [0, 3]))
        with pytest.raises(ValueError, match="one more than the records"):
            producer.put_buffer("k", b"abc", array("q"))
        with pytest.raises(ValueError, match="1 records, but 2 keys"):
            producer.put_buffer(["a", "b"], b"abc", array("q", [0, 3]))
    assert list(stream.iterator()) == []


def test_the_end_of_a_shard_names_its_children(store: Store) -> None:
    stream = store.create_stream("split")
    fill(stream, 3)
    assert stream.split(0) == (1, 2)
    iterator = stream.iterator(0, timeout=None)  # It ends all the same: nothing will ever follow.
    assert len(data(iterator)) == 3
    last = stream.iterator(0).next_batch()
    assert last.is_shard_end and last.children == (1, 2) and len(last) == 3
    fill(stream, 20)
    assert len(data(stream.iterator())) == 23
    assert stream.merge(1, 2) == 3
    stream.update_shard_count(4)
    assert len(stream.describe().open_shards) == 4


def test_a_million_records_leave_no_memory_behind(store: Store) -> None:
    """Resident size is flat: measured over 300,000 records after as many."""
    def resident() -> int:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    stream = store.create_stream("much")
    with stream.producer() as producer:
        for _ in range(10):
            producer.put_many("k", [b"x" * 20] * 10000)
    sizes = []
    for _ in range(2):
        for _ in range(3):
            assert sum(len(record.view) + len(record.partition_key) for record in stream.iterator()) == 21 * 100000
        gc.collect()
        sizes.append(resident())
    assert sizes[1] - sizes[0] < 4 << 20


def test_aggregates_are_shown_as_their_user_records(stream: Stream) -> None:
    aggregate = bytes.fromhex(
        "f3899ac20a04706b2d610a04706b2d62120234321a0708001a036f6e651a09080110001a0374776f1a0408001a00"
        "27491b3d9f4770d21f414f68d178a2a6")
    with stream.producer() as producer:
        producer.put("plain", b"x")
        producer.put("pk-a", aggregate)
    whole = list(stream.iterator())
    assert [(r.data, r.sub_seqno, r.sub_count) for r in whole] == [(b"x", None, 0), (aggregate, None, 0)]
    records = list(stream.iterator(deaggregate=True))
    assert [(r.partition_key, r.data, r.sub_seqno, r.sub_count, r.explicit_hash_key) for r in records] == [
        ("plain", b"x", None, 0, None), ("pk-a", b"one", 0, 3, None), ("pk-b", b"two", 1, 3, 42),
        ("pk-a", b"", 2, 3, None)]
    assert {r.seqno for r in records[1:]} == {whole[1].seqno} and not any(r.is_outside_shard for r in records)


def test_a_record_says_that_it_is_stored_encrypted(folder: str) -> None:
    with Store(folder + "/sealed", key=lambda name: bytes(32)) as store:
        stream = store.create_stream("orders")
        with stream.producer() as producer:
            producer.put("k", b"0")
            stream.start_encryption("key")
            producer.put("k", b"1", 7)
            with stream.async_producer(aggregate=True) as packer:
                packer.put_many("k", [b"2", b"3"])
            stream.stop_encryption()
            producer.put("k", b"4")
        for deaggregate, wanted in ((False, [False, True, True, False]), (True, [False, True, True, True, False])):
            batch = stream.iterator(deaggregate=deaggregate).next_batch()
            assert [record.is_encrypted for record in batch] == wanted
            assert [record.is_encrypted for record in pickle.loads(pickle.dumps(batch))] == wanted
            assert [pickle.loads(pickle.dumps(record)).is_encrypted for record in batch] == wanted
            assert batch[1].explicit_hash_key == 7 and not any(record.is_outside_shard for record in batch)
            assert [record.sub_seqno for record in batch] == [None] * 2 + [0, 1] * deaggregate + [None] * (
                2 - deaggregate)

def test_a_subscription_pushes_until_it_is_closed(stream: Stream) -> None:
    stream.register_consumer("c")
    fill(stream, 5)
    with stream.subscribe("c", records_max=2) as subscription:
        got = [next(subscription) for _ in range(3)]
        assert [batch.data_list() for batch in got] == [[b"0", b"1"], [b"2", b"3"], [b"4"]]
        place = subscription.place
        with pytest.raises(libstream.WrongStateError):
            stream.subscribe("c")  # Within five seconds of the first.
        with pytest.raises(libstream.NotFoundError):
            stream.subscribe("nobody")
        threading.Timer(0.05, subscription.close).start()
        assert list(subscription) == []  # Its wait ends.
    stream.register_consumer("d")
    fill(stream, 1)
    split = threading.Timer(0.05, stream.split, [0])
    with stream.subscribe("d", 0, Position.after(got[2][0].seqno)) as subscription:
        split.start()
        batches = list(subscription)
        assert [r.data for batch in batches for r in batch] == [b"0"] and batches[-1].children == (1, 2)
    split.join()
    stream.register_consumer("e")
    with stream.subscribe("e", place=place) as subscription:  # Of all shards, as it was.
        assert next(subscription).data_list() == [b"0"]
    stream.register_consumer("f")
    with stream.subscribe("f", position="LATEST", heartbeat_ms=20) as subscription:
        assert len(next(subscription)) == 0
        stream.close()  # Which closes the subscription.
        assert subscription.closed and list(subscription) == []


def test_aggregates_are_packed_and_unpacked_by_hand(stream: Stream) -> None:
    rows = [("é", b"1", None), ("b", b"", 42), ("é", b"3", (1 << 128) - 1)]
    with libstream.Aggregate(records_max=3) as aggregate:
        with pytest.raises(libstream.WrongStateError):
            aggregate.record()
        assert [aggregate.add(*row) for row in rows] == [True, True, True]
        assert not aggregate.add("k", b"one too many") and len(aggregate) == 3 and aggregate
        packed = aggregate.record()
        assert aggregate.size == len("é".encode()) + len(packed.data)
        with pytest.raises(libstream.InvalidArgumentError):
            aggregate.add("", b"x")
        aggregate.clear()
        assert len(aggregate) == 0
        aggregate.add(b"alone", bytearray(b"x"))
        assert aggregate.record() == ("alone", b"x", None)
    with pytest.raises(libstream.WrongStateError, match="aggregate is closed"):
        aggregate.add("k", b"x")
    assert [tuple(user) for user in libstream.user_records(packed.partition_key, packed.data)] == rows
    assert libstream.user_records("k", b"plain", 7) == [("k", b"plain", 7)]
    stream.producer().put(packed.partition_key, packed.data)
    assert [(r.partition_key, r.data, r.explicit_hash_key) for r in stream.iterator(deaggregate=True)] == rows


def test_filters_say_which_records_are_wanted(stream: Stream) -> None:
    with stream.producer() as producer:
        producer.put("eu-1", b'{"n": 1}')
        producer.put("us-1", b'{"n": 2}', explicit_hash_key=17)
        producer.put("eu-2", b"no JSON")
    with libstream.Filter([{"partitionKey": [{"prefix": "eu-"}], "data": {"n": [1, 2]}},
                           '{"data": {"n": [{"numeric": [">", 1]}]}}']) as chosen:
        assert [chosen.matches(r) for r in stream.iterator()] == [True, True, False]
        assert chosen.not_json == 1
    with libstream.kinesis.Client(stream.store) as kinesis:
        start = kinesis.get_shard_iterator(StreamName="orders", ShardId="0", ShardIteratorType="TRIM_HORIZON")
        texts = [r["SequenceNumber"] for r in kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]]
    chosen = libstream.Filter([{"sequenceNumber": [texts[1]]}], stream)
    assert [chosen.matches(r) for r in stream.iterator()] == [False, True, False]
    regional = [{"awsRegion": ["here"], "eventSourceARN": ["source"], "invokeIdentityArn": ["me"]}]
    more: dict[str, str] = {"aws_region": "here", "event_source_arn": "source", "invoke_identity_arn": "me"}
    for left_out in (None, *more):
        with libstream.Filter(regional, **{k: v for k, v in more.items() if k != left_out}) as chosen:  # type: ignore
            assert [chosen.matches(r) for r in stream.iterator()] == [left_out is None] * 3
    six = [{"partitionKey": [key]} for key in "abcdef"]
    libstream.Filter(six, patterns_max=6).close()
    with pytest.raises(libstream.InvalidArgumentError):
        libstream.Filter(six)
    chosen = libstream.Filter([{"sequenceNumber": [texts[1]]}], stream)
    with pytest.raises(libstream.InvalidArgumentError, match="Event pattern is not valid"):
        libstream.Filter(['{"data": 7}'])
    with pytest.raises(libstream.InvalidArgumentError):
        libstream.Filter([{"sequenceNumber": [texts[1]]}])
    record = stream.iterator().next_batch()[0]
    stream.close()  # Which closes the filter.
    with pytest.raises(libstream.WrongStateError, match="filter is closed"):
        chosen.matches(record)


@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_a_subscription_that_nobody_refers_to_is_closed(stream: Stream, in_a_cycle: bool) -> None:
    stream.register_consumer("c")
    stream.producer().put_many("k", [b"x"] * 10)
    subscription = stream.subscribe("c", records_max=1)
    assert next(subscription).data_list() == [b"x"]
    kept = [weakref.ref(subscription), [subscription] if in_a_cycle else None]
    if in_a_cycle:
        kept.append(kept)
    found = kept[0]
    del subscription, kept
    gc.collect()
    assert found() is None  # type: ignore[operator,misc]
    assert wait_for_no_push()


def wait_for_no_push() -> bool:
    deadline = time.monotonic() + 10
    while "libstream-push" in [thread.name for thread in threading.enumerate()]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_threads_take_turns_with_an_aggregate() -> None:
    aggregate = libstream.Aggregate(bytes_max=1 << 20)

    def add(value: int) -> None:
        for _ in range(2000):
            assert aggregate.add("key %d" % value, bytes([value]) * 50)

    threads = [threading.Thread(target=add, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = aggregate.record()
    found = sorted(user.data for user in libstream.user_records(record.partition_key, record.data))
    assert found == sorted(bytes([value]) * 50 for value in range(4) for _ in range(2000))
