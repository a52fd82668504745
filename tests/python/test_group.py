"""Workers share shards and remember how far they came; transactions are done as one step or not at all."""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, List

import pytest

import libstream
from libstream import Group, GroupEventKind, Lease, LeaseState, Position, RecordId, Store, Stream


def take(group: Group, count: int = 1) -> List[Lease]:
    found = []
    while len(found) < count:
        event = group.next(20)
        assert event is not None and event.kind == GroupEventKind.TAKEN
        found.append(event.lease)
    return found


def test_a_worker_goes_on_behind_the_last_checkpoint(stream: Stream) -> None:
    stream.producer().put_many("k", [b"%d" % i for i in range(5)])
    with stream.group("g", worker="me") as group:
        lease, = take(group)
        records = list(lease.iterator())
        lease.checkpoint(records[1])
        lease.checkpoint(records[2].id)
        with pytest.raises(libstream.InvalidArgumentError):
            lease.checkpoint(records[0].seqno)
        found = lease.describe()
        assert (found.shard, found.state, found.seqno, found.owner) == (0, LeaseState.BEGUN, records[2].seqno, "me")
        assert group.next(0) is None and stream.leases("g")[0].owner_lives
        with pytest.raises(libstream.WrongStateError):
            lease.end()  # The shard is open.
    with pytest.raises(libstream.WrongStateError, match="group is closed"):
        lease.checkpoint(records[3])
    lease.close()
    with stream.group("g") as group:
        lease, = take(group)
        assert [r.data for r in lease.iterator()] == [b"3", b"4"]
        lease.close()
        with pytest.raises(libstream.WrongStateError, match="lease of shard 0 is closed"):
            lease.describe()
    assert stream.leases("g")[0].owner == ""
    stream.delete_group("g")
    with pytest.raises(libstream.NotFoundError):
        stream.leases("g")


def test_what_is_prepared_is_shown_to_who_comes_next(stream: Stream) -> None:
    stream.producer().put_many("k", [b"%d" % i for i in range(3)])
    with stream.group("g") as group:
        lease, = take(group)
        records = list(lease.iterator())
        assert (lease.describe().pending_seqno, lease.describe().pending_state) == (None, b"")
        lease.prepare(records[1], state=b"upload 17")
        with pytest.raises(libstream.TooLargeError):
            lease.prepare(records[1], state=b"x" * 1025)
        with pytest.raises(libstream.InvalidArgumentError):
            lease.prepare(None, state=b"x")
    shown, = stream.leases("g")
    assert (shown.state, shown.pending_seqno, shown.pending_sub_seqno, shown.pending_state) == (
        LeaseState.NOT_BEGUN, records[1].seqno, None, b"upload 17")
    with stream.group("g") as group:
        lease, = take(group)
        assert lease.describe().pending_state == b"upload 17"
        lease.checkpoint(records[1])
        assert (lease.describe().seqno, lease.describe().pending_seqno) == (records[1].seqno, None)
        lease.prepare(records[2].id, 1)
        assert (lease.describe().pending_seqno, lease.describe().pending_sub_seqno) == (records[2].seqno, 1)
        lease.prepare(None)
        assert lease.describe().pending_seqno is None


def test_two_workers_share_and_one_asks(store: Store) -> None:
    stream = store.create_stream("two", shard_count=2)
    first = stream.group("g", worker="first", failover_ms=1000)
    mine: Dict[int, Lease] = {lease.shard: lease for lease in take(first, 2)}
    second = stream.group("g", worker="second", failover_ms=1000)
    events: List[object] = []
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not events:
        event = first.next(0.02)
        if event is not None:
            assert event.kind == GroupEventKind.WANTED and event.lease is mine[event.lease.shard]
            event.lease.close()
        got = second.next(0.02)
        if got is not None:
            events.append((got.kind, got.lease.shard))
    assert len(events) == 1 and {lease.owner for lease in stream.leases("g")} == {"first", "second"}
    first.renew()
    second.close()
    first.close()


def test_children_follow_their_parents(stream: Stream) -> None:
    stream.producer().put("k", b"x")
    with stream.group("g") as group:
        lease, = take(group)
        stream.split(0)
        assert [info.state for info in stream.leases("g")] == [LeaseState.NOT_BEGUN] + [LeaseState.WAITING] * 2
        batches = [lease.iterator().next_batch()]
        assert batches[-1].is_shard_end
        lease.end()
        assert lease.describe().state == LeaseState.ENDED
        lease.close()
        assert sorted(child.shard for child in take(group, 2)) == [1, 2]


def test_a_wait_is_cancelled_or_ends_with_its_handle(stream: Stream) -> None:
    for end in (Group.cancel, Group.close):
        with stream.group("g") as group:
            take(group)
            caught: List[BaseException] = []

            def wait(group: Group = group, caught: List[BaseException] = caught) -> None:
                try:
                    group.next(None)
                except libstream.Error as error:
                    caught.append(error)

            thread = threading.Thread(target=wait)
            thread.start()
            time.sleep(0.05)
            end(group)
            thread.join(20)
            assert isinstance(caught[0], (libstream.CancelledError, libstream.WrongStateError))


def test_transactions_are_one_step(store: Store) -> None:
    one, two = store.create_stream("one"), store.create_stream("two", shard_count=2)
    with store.transaction() as txn:
        txn.put(one, "k", b"1")
        txn.put(two, "é", bytearray(b"2"), explicit_hash_key=(1 << 128) - 1)
        txn.put(two, b"k", b"3", explicit_hash_key=0)
        assert list(one.iterator()) == [] and list(two.iterator()) == []
        ids = txn.commit()
        assert [i.shard for i in ids] == [0, 1, 0]
        assert {r.id: r.data for r in two.iterator()} == {ids[1]: b"2", ids[2]: b"3"}
        txn.put(one, "k", b"forgotten")
        txn.abort()
        assert txn.commit() == []
        with pytest.raises(libstream.InvalidArgumentError):
            txn.put(one, "", b"x")
        with pytest.raises(libstream.TooLargeError):
            txn.put(one, "k", b"x" * (1 << 20))
        txn.put(one, "k", b"at the end")
    assert [r.data for r in one.iterator()] == [b"1", b"at the end"]
    with pytest.raises(KeyError), store.transaction() as txn:
        txn.put(one, "k", b"never")
        raise KeyError("mine")
    txn = store.transaction()
    txn.put(one, "k", b"never")
    one.close()  # Which closes the transaction.
    assert txn.closed
    with pytest.raises(libstream.WrongStateError, match="transaction is closed"):
        txn.commit()
    assert len(list(store.stream("one").iterator())) == 2


def test_what_a_transaction_loses_is_told(store: Store) -> None:
    store.create_stream("one").close()
    txn = store.transaction()
    with pytest.raises(libstream.WrongStateError, match="1 records and 0 checkpoints of a transaction were lost"):
        with txn:
            with store.stream("one") as one:
                txn.put(one, "k", b"tea")
    assert txn.closed
    with store.stream("one") as one:
        one.producer().put("k", b"honey")
        assert [record.data for record in one.iterator()] == [b"honey"]
        with pytest.raises(libstream.WrongStateError, match="0 records and 1 checkpoints"):
            with store.transaction() as txn, one.group("g") as group:
                event = group.next(10)
                assert event is not None
                txn.checkpoint(event.lease, next(event.lease.iterator()))
                group.close()
        with pytest.raises(KeyError):  # What came first is not covered.
            with store.transaction() as txn, store.stream("one") as another:
                txn.put(another, "k", b"tea")
                raise KeyError
        with store.transaction() as txn:  # Closed by its user, who wants it so.
            txn.put(one, "k", b"tea")
            txn.close()
        with store.transaction() as txn:
            with store.stream("one") as another:
                txn.put(another, "k", b"bread")
                txn.commit()


def test_what_is_read_is_done_exactly_once(store: Store) -> None:
    source, target = store.create_stream("source"), store.create_stream("target")
    source.producer().put_many("k", [b"%d" % i for i in range(6)])
    with source.group("g", failover_ms=200) as group, store.transaction() as txn:
        lease, = take(group)
        for batch in lease.iterator(records_max=2).batches():
            for record in batch:
                txn.put(target, record.partition_key, record.data * 2)
            txn.checkpoint(lease, batch[-1])
            txn.checkpoint(lease, batch[-1])
            with pytest.raises(libstream.WrongStateError, match="transaction has a checkpoint"):
                lease.close()
            assert all(isinstance(at, RecordId) for at in txn.commit())
            if batch[-1].data == b"3":
                break
        txn.put(target, "k", b"of one that lost its lease")
        txn.checkpoint(lease, list(source.iterator())[-1])
        with store.stream("source").group("g", failover_ms=200) as other:
            taken, = take(other)  # After failover_ms, in which the first did nothing.
            with pytest.raises(libstream.LeaseLostError):
                txn.commit()
            txn.abort()
            assert [r.data for r in taken.iterator()] == [b"4", b"5"]
    assert [r.data for r in target.iterator()] == [b"00", b"11", b"22", b"33"]


def test_numbers_of_other_kinds_are_numbers(stream: Stream) -> None:
    """Those of NumPy's arrays, as of `Batch.seqnos`, are no `int`, and say what they are by `__index__`."""
    class Number:
        def __init__(self, value: int) -> None:
            self.value = value

        def __index__(self) -> int:
            return self.value

    numbers: Any = [Number(i) for i in range(5)]
    producer = stream.producer(producer_id=7)
    first = producer.put("k", b"a", number=numbers[1])
    assert producer.put_many("k", [b"a", b"b"], numbers=numbers[1])[0] == first and producer.repeats == 1
    with stream.group("numbered") as group:
        event = group.next(20)
        assert event is not None
        event.lease.checkpoint(numbers[1])
        event.lease.prepare(numbers[2])
        assert (event.lease.describe().seqno, event.lease.describe().pending_seqno) == (1, 2)
    assert Position.at_time(numbers[3]) == Position.at_time(3)
    for wrong in ("1", 1.0):
        with pytest.raises(TypeError):
            Position.at_time(wrong)  # type: ignore[arg-type]
