"""Puts that do not wait: each record has one outcome, told or asked for; nothing is lost without a word."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Iterator, List, Type

import pytest

import libstream
from libstream import NO_LIMIT, Outcome, RecordId, Store, Stream, StreamMode

SLOW = {"mode": StreamMode.PROVISIONED, "write_records_per_second": 5}  # What more is put waits, and is tried again.


def data(stream: Stream, **more: Any) -> List[bytes]:
    return [record.data for record in stream.iterator(**more)]


def test_an_iterable_is_given_as_it_comes(stream: Stream) -> None:
    """Also one that does not fit into memory."""
    taken: List[int] = []

    def endless() -> Iterator[bytes]:
        for i in itertools.count():
            taken.append(i)
            yield b"%d" % i if i < 2500 else b"x" * (11 << 20)

    with stream.async_producer(linger_ms=NO_LIMIT) as producer:
        with pytest.raises(libstream.TooLargeError) as told:
            producer.put_many("k", endless())
        assert getattr(told.value, "tickets").tolist() == list(range(1, 2501)) and len(taken) == 2501
        assert len(producer.put_batch((key, b"") for key in ("a", "b"))) == 2
    assert data(stream)[:2500] == [b"%d" % i for i in range(2500)]


def test_tickets_tell_what_became_of_records(stream: Stream) -> None:
    with stream.async_producer(linger_ms=NO_LIMIT) as producer:
        first = producer.put("a", b"1")
        rest = producer.put_many("a", [b"2", bytearray(b"3")])
        pairs = producer.put_batch([("b", b"4"), (b"b", b"5"), ("é", memoryview(b"6"))])
        high = producer.put("k", b"7", explicit_hash_key=(1 << 128) - 1)
        tickets = [first, *rest, *pairs, high]
        assert tickets == [1, 2, 3, 4, 5, 6, 7]
        ids = [producer.wait(ticket, 20) for ticket in tickets]
        assert producer.put_many("a", []).tolist() == []
        with pytest.raises(libstream.InvalidArgumentError):
            producer.wait(99)
    records = list(stream.iterator())
    assert [r.data for r in records] == [b"1", b"2", b"3", b"4", b"5", b"6", b"7"]
    assert [r.id for r in records] == ids and records[-1].explicit_hash_key == (1 << 128) - 1


def test_a_function_is_told_of_each_record(stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    told: List[Outcome] = []

    def tell(outcome: Outcome) -> None:
        told.append(outcome)
        if outcome.data == b"0":
            raise KeyError("mine")

    with caplog.at_level(logging.ERROR, "libstream"), stream.async_producer(tell) as producer:
        thing = object()
        tickets = [producer.put("k", b"%d" % i, tag=thing if i == 3 else None) for i in range(20)]
        with pytest.raises(libstream.WrongStateError):
            producer.wait(1)  # No outcomes are kept for those who are told.
    assert "KeyError: 'mine'" in caplog.text
    assert [o.ticket for o in told] == tickets and [o.data for o in told] == [b"%d" % i for i in range(20)]
    assert [o.id for o in told] == [r.id for r in stream.iterator()]
    assert told[3].tag is thing and told[4].tag is None and {o.partition_key for o in told} == {"k"}
    assert all(o.error is None and o.attempts == 1 and o.sub_count == 0 for o in told)


def test_a_function_puts_more_and_cannot_close(stream: Stream) -> None:
    caught: List[BaseException] = []

    def tell(outcome: Outcome) -> None:
        if outcome.data != b"1":
            return
        producer.put("k", b"2")
        for call in (producer.close, stream.close, producer.flush):
            try:
                call()
            except libstream.WrongStateError as error:
                caught.append(error)

    producer = stream.async_producer(tell)
    producer.put("k", b"1")
    producer.flush()
    producer.flush()
    assert len(caught) == 3 and not producer.closed and not stream.closed
    producer.close()
    assert data(stream) == [b"1", b"2"]


def test_what_is_lost_is_raised(store: Store) -> None:
    stream = store.create_stream("slow", **SLOW)
    producer = stream.async_producer(retries_max=1, retry_backoff_ms=1, retry_backoff_max_ms=1, linger_ms=NO_LIMIT,
                                     record_ttl_ms=100)
    producer.put_many("k", [b"x"] * 20)
    with pytest.raises(libstream.ThrottledError, match=r"^\d+ records were not stored, the first of them: .*slow"):
        producer.flush()
    producer.flush()  # It was told.
    last = producer.put_many("k", [b"x"] * 20)[-1]
    with pytest.raises((libstream.ThrottledError, libstream.WaitTimeoutError), match="record 40 was not stored: LS_"):
        producer.wait(last)
    with pytest.raises(libstream.Error, match="were not stored"):
        stream.close()  # Which closes the producer, and itself nevertheless.
    assert producer.closed and stream.closed
    told: List[Outcome] = []
    stream = store.stream("slow")
    with stream.async_producer(told.append, record_ttl_ms=50, linger_ms=1) as producer:
        producer.put_many("k", [b"x"] * 20)
    lost = [o for o in told if o.id is None]
    assert len(told) == 20 and lost and all(isinstance(o.error, libstream.Error) for o in lost)


def test_a_full_memory_is_waited_for_or_told(store: Store) -> None:
    stream = store.create_stream("slow", **SLOW)
    producer = stream.async_producer(lambda outcome: None, buffered_bytes_max=1 << 20, record_ttl_ms=NO_LIMIT)
    rows = [b"x" * 10000] * 200
    before = time.monotonic()
    with pytest.raises(libstream.BusyError) as caught:
        producer.put_many("k", rows, timeout=0.2)
    assert 0.2 <= time.monotonic() - before < 10 and 50 < len(caught.value.tickets) < 200  # type: ignore[attr-defined]
    with pytest.raises(libstream.BusyError):
        producer.put("k", rows[0], timeout=0, tag="not kept")
    assert producer._tags == {}
    with pytest.raises(libstream.WaitTimeoutError):
        producer.flush(0.01)
    producer.cancel()
    producer.flush()
    producer.put("k", b"", timeout=0)
    with pytest.raises(libstream.WaitTimeoutError):
        producer.close(0)
    assert producer.closed
    producer.close()


def test_wrong_records_are_refused_at_once(stream: Stream) -> None:
    with stream.async_producer() as producer:
        with pytest.raises(libstream.InvalidArgumentError):
            producer.put("", b"x")
        with pytest.raises(libstream.TooLargeError):
            producer.put("k", b"x" * (1 << 20))
        with pytest.raises(TypeError, match="not str"):
            producer.put("k", "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="list of"):
            producer.put_batch([b"x"])  # type: ignore[list-item]
        with pytest.raises(libstream.InvalidArgumentError) as caught:
            producer.put_batch([("k", b"1"), ("", b"2"), ("k", b"3")])
        assert caught.value.tickets.tolist() == [1]  # type: ignore[attr-defined]
    with pytest.raises(libstream.WrongStateError, match="asynchronous producer is closed"):
        producer.put("k", b"x")
    with pytest.raises(libstream.InvalidArgumentError, match="linger_ms"):
        stream.async_producer(linger_ms=3_600_001)
    assert data(stream) == [b"1"]


def test_aggregates_are_packed(stream: Stream) -> None:
    told: List[Outcome] = []
    with stream.async_producer(told.append, aggregate=True, linger_ms=1000) as producer:
        producer.put_many("k", [b"%d" % i for i in range(10)])
    assert len(data(stream)) == 1 and data(stream, deaggregate=True) == [b"%d" % i for i in range(10)]
    assert [(o.sub_seqno, o.sub_count) for o in told] == [(i, 10) for i in range(10)]
    assert len({o.id for o in told}) == 1


def test_what_was_put_before_a_crash_is_there_once(folder: str) -> None:
    rows = [b"%d" % i for i in range(50)]
    for first in (1, 21):  # The second time as if the first 20 had been told of, and no more.
        with Store(folder + "/store") as store:
            stream = store.stream("orders") if "orders" in store.streams() else store.create_stream("orders")
            with stream.async_producer(producer_id=77, first_ticket=first) as producer:
                assert producer.put_many("k", rows[first - 1:])[0] == first
            assert data(stream) == rows


def test_many_threads_put_in_their_order(stream: Stream) -> None:
    def put(who: int) -> None:
        for i in range(100):
            producer.put("key-%d" % who, b"%d" % i)

    with stream.async_producer() as producer:
        threads = [threading.Thread(target=put, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    records = list(stream.iterator())
    for who in range(4):
        assert [r.data for r in records if r.partition_key == "key-%d" % who] == [b"%d" % i for i in range(100)]


def test_a_fork_child_puts_nothing_of_its_parent_s(folder: str) -> None:
    with Store(folder + "/store") as store:
        stream = store.create_stream("orders")
        producer = stream.async_producer(linger_ms=200)
        producer.put("k", b"x")
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with pytest.raises(libstream.WrongStateError):
                    producer.put("k", b"y")
                producer.close()
                store.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert isinstance(producer.wait(1), RecordId)
        producer.close()
        assert data(stream) == [b"x"]


PROGRAM = """
import sys, time
from libstream import *
store = Store("memory:")
stream = store.create_stream("slow", mode=StreamMode.PROVISIONED, write_records_per_second=1)
producer = stream.async_producer(record_ttl_ms=NO_LIMIT, buffered_bytes_max=1 << 20)
producer.put_many("k", [b"x" * 1000] * 500)
print("ready", flush=True)
try:
    %s
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
producer.cancel()
"""


@pytest.mark.parametrize("wait", ["producer.flush()", "producer.wait(400)", "producer.close()",
                                  "producer.put_many('k', [b'x' * 1000] * 1000)"])
def test_control_c_ends_a_wait(wait: str) -> None:
    program = PROGRAM % wait if "close" not in wait else PROGRAM.replace("producer.cancel()", "") % wait
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as child:
        assert child.stdout and child.stdout.readline() == "ready\n"
        time.sleep(0.15)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        took = float(child.stdout.readline()) - sent
        child.communicate(timeout=20)
    assert took < 1  # 0.1 is promised; the machine may be busy.


def interrupted(seconds: float) -> None:
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)


@pytest.mark.parametrize("outer", ["producer", "stream", "store"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError, ValueError])
def test_what_ends_a_block_goes_on(outer: str, kind: Type[BaseException]) -> None:
    """What is lost is told besides, and after Ctrl+C nobody waits for what the limits hold up."""
    store = Store("memory:")
    stream = store.create_stream("slow", **SLOW)
    ttl_ms = 200 if kind is ValueError else NO_LIMIT
    producer = stream.async_producer(record_ttl_ms=ttl_ms)
    with pytest.raises(kind, match="mine") as caught:
        with {"producer": producer, "stream": stream, "store": store}[outer]:
            producer.put_many("k", [b"x"] * 500)
            before = time.monotonic()
            try:
                raise KeyError("first")
            except KeyError:
                raise kind("mine")
    assert time.monotonic() - before < 5 and producer.closed  # 0.1 is promised; the machine may be busy.
    first = caught.value.__context__
    assert isinstance(first, KeyError) and isinstance(first.__context__, libstream.Error)
    assert re.match(r"\d+ records were not stored, the first of them: ", str(first.__context__))
    store.close()


def test_those_who_are_told_are_told_of_what_control_c_gives_up(store: Store) -> None:
    told: List[Outcome] = []
    stream = store.create_stream("slow", **SLOW)
    with pytest.raises(KeyboardInterrupt) as caught:
        with stream.async_producer(told.append, record_ttl_ms=NO_LIMIT) as producer:
            producer.put_many("k", [b"x"] * 500)
            raise KeyboardInterrupt
    assert caught.value.__context__ is None and len(told) == 500
    assert {type(o.error) for o in told if o.id is None} == {libstream.CancelledError}


def test_control_c_ends_a_program_that_closes_nothing() -> None:
    program = PROGRAM[:PROGRAM.index("try:")].replace("500)", "50)") + "time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as child:
        assert child.stdout and child.stdout.readline() == "ready\n"
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        child.wait(40)
    assert time.monotonic() - sent < 10  # What waits for the limits would take 50.


def test_control_c_ends_the_end_of_a_block(store: Store) -> None:
    stream = store.create_stream("slow", **SLOW)
    with pytest.raises(KeyboardInterrupt):
        with stream.async_producer(record_ttl_ms=NO_LIMIT) as producer:
            producer.put_many("k", [b"x"] * 500)
            before = time.monotonic()
            interrupted(0.2)
    assert time.monotonic() - before < 5 and producer.closed


@pytest.mark.parametrize("end", [SystemExit, GeneratorExit])
def test_an_orderly_end_of_a_block_stores_all(store: Store, end: Type[BaseException]) -> None:
    stream = store.create_stream("slow", **SLOW)
    with pytest.raises(end):
        with stream.async_producer(record_ttl_ms=NO_LIMIT) as producer:
            producer.put_many("k", [b"x"] * 10)
            raise end
    assert stream.describe().shards[0].latest_seqno == 10


def test_one_that_nobody_closed_says_what_it_gives_up(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    stream = store.create_stream("slow", **SLOW)
    producer = stream.async_producer(record_ttl_ms=NO_LIMIT)
    producer.put_many("k", [b"x"] * 500)
    before = time.monotonic()
    with caplog.at_level(logging.ERROR, "libstream"):
        del producer
    assert time.monotonic() - before < 10  # 1 is promised.
    assert re.search(r"nobody had closed: .*\d+ records were not stored", caplog.text)


def test_an_outcome_is_kept_for_as_many_tickets_as_were_asked_for(stream: Stream) -> None:
    with stream.async_producer(outcomes_kept=4) as producer:
        tickets = producer.put_many("k", [b"x"] * 20)
        producer.flush()
        assert producer.wait(tickets[-1]).seqno > 0
        with pytest.raises(libstream.ExpiredError):
            producer.wait(tickets[0])


def test_another_producer_may_repeat_what_an_idempotent_one_put(stream: Stream) -> None:
    """By the same id and the same numbers, as after a crash: what is there is found, and the rest is put."""
    for count in (3, 5):
        with stream.async_producer(idempotent=True, producer_id=7, first_ticket=1) as producer:
            tickets = producer.put_many("k", [b"%d" % i for i in range(count)])
            producer.flush()
            assert len({producer.wait(ticket) for ticket in tickets}) == count
    assert data(stream) == [b"0", b"1", b"2", b"3", b"4"]
