"""asyncio: nothing blocks the loop, nothing polls, cancelling leaves the place as it was."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from typing import Any, Coroutine, List

import pytest

import libstream
from libstream import Store, Stream, aio


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


def test_coroutines_put_and_read_in_order(stream: Stream) -> None:
    async def main() -> None:
        async with aio.Producer(stream) as producer:
            await asyncio.gather(*(producer.put("k", b"%d" % i) for i in range(50)))
            await producer.put_batch([("k", b"50"), ("k", b"51")])
            await producer.put_many("k", [b"52"])
            await producer.flush()
            with pytest.raises(libstream.InvalidArgumentError):
                await producer.put("", b"")
        async with aio.Iterator(stream.iterator()) as iterator:
            assert [record.data async for record in iterator] == [b"%d" % i for i in range(53)]

    run(main())


def test_a_wait_does_not_block_the_loop_and_does_not_poll(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: List[float] = []
    plain = libstream.Iterator._next

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(time.monotonic())
        return plain(self, *arguments, **named)

    monkeypatch.setattr(libstream.Iterator, "_next", counted)

    async def main() -> None:
        ticks = 0
        iterator = aio.Iterator(stream.iterator())
        task = asyncio.ensure_future(iterator.next_batch(None))
        for _ in range(30):
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks == 30 and not task.done() and len(calls) <= 2
        async with aio.Producer(stream) as producer:
            await producer.put("k", b"x")
        assert (await asyncio.wait_for(task, 20)).data_list() == [b"x"]
        assert len(calls) <= 4
        await iterator.close()

    run(main())


def test_time_outs_and_cancelling_lose_nothing(stream: Stream) -> None:
    async def main() -> None:
        iterator = aio.Iterator(stream.iterator())
        assert len(await iterator.next_batch(0.05)) == 0
        task = asyncio.ensure_future(iterator.next_batch(None))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stream.producer().put("k", b"x")
        assert (await iterator.next_batch(20)).data_list() == [b"x"]
        await iterator.close()

    run(main())


def cancelled_while_it_reads(iterator: aio.Iterator, monkeypatch: pytest.MonkeyPatch) -> "Coroutine[Any, Any, None]":
    """A call of `next_batch` that is cancelled while its thread reads, until that has read."""
    plain, reading, done = libstream.Iterator._next, threading.Event(), threading.Event()

    def slow(self: Any, *arguments: Any, **named: Any) -> Any:
        reading.set()
        time.sleep(0.2)
        try:
            return plain(self, *arguments, **named)
        finally:
            done.set()

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(libstream.Iterator, "_next", slow)
            task = asyncio.ensure_future(iterator.next_batch(None))
            while not reading.is_set():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not done.is_set():
                await asyncio.sleep(0.01)

    return main()


def test_a_read_that_nobody_waits_for_any_more_loses_nothing(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it finds is the next call's, and nobody who notes the place skips it."""
    async def main() -> None:
        plain = stream.iterator(records_max=2)
        iterator = aio.Iterator(plain)
        await cancelled_while_it_reads(iterator, monkeypatch)
        with pytest.raises(libstream.WrongStateError, match="2 records of the batch were not taken"):
            plain.place
        assert (await iterator.next_batch(20)).data_list() == [b"0", b"1"]
        assert stream.iterator(place=plain.place).next_batch().data_list() == [b"2", b"3"]
        await cancelled_while_it_reads(iterator, monkeypatch)
        plain.seek("TRIM_HORIZON")
        assert [record.data async for record in iterator] == [b"%d" % i for i in range(4)]
        assert len(await iterator.next_batch(0)) == 0
        await iterator.close()

    stream.producer().put_many("k", [b"%d" % i for i in range(4)])
    run(main())


def test_an_error_that_nobody_waits_for_any_more_is_told(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That records were trimmed is said once: to the next call, where the one that met it was cancelled."""
    clock = libstream.Clock(1_700_000_000_000_000)

    async def main(stream: Stream) -> None:
        iterator = aio.Iterator(stream.iterator(records_max=1))
        assert len(await iterator.next_batch()) == 1
        clock.advance(25 * 3600)
        await cancelled_while_it_reads(iterator, monkeypatch)
        with pytest.raises(libstream.TrimmedError):
            await iterator.next_batch(20)
        assert len(await iterator.next_batch(0)) == 0
        await iterator.close()

    with Store(folder + "/store", clock=clock) as store, store.create_stream("orders") as stream:
        stream.producer().put_many("k", [b"x", b"y"])
        run(main(stream))


def test_a_loop_that_was_left_is_taken_up_again(stream: Stream) -> None:
    stream.producer().put_many("k", [b"%d" % i for i in range(6)])

    async def main() -> None:
        plain = stream.iterator()
        iterator, got = aio.Iterator(plain), []
        async for record in iterator:
            got.append(record.data)
            if len(got) == 2:
                break
        with pytest.raises(libstream.WrongStateError, match="4 records of the batch were not taken"):
            plain.place
        got += [record.data async for record in iterator]
        assert got == [b"%d" % i for i in range(6)]
        stream.producer().put("k", b"6")
        assert [record.data async for record in iterator] == [b"6"]
        await iterator.close()

    run(main())


def test_a_coroutine_waits_where_reads_are_limited(store: Store) -> None:
    stream = store.create_stream("reads", mode=libstream.StreamMode.PROVISIONED)
    for i in range(8):
        stream.producer().put("k", b"%d" % i)

    async def main() -> None:
        iterator = aio.Iterator(stream.iterator(records_max=1, timeout=5))
        got: List[bytes] = []
        async for record in iterator:
            got.append(record.data)
            if len(got) == 8:
                break
        assert got == [b"%d" % i for i in range(8)]
        with pytest.raises(libstream.ThrottledError):
            for _ in range(10):
                await iterator.next_batch(0)
        await iterator.close()

    run(main())


@pytest.mark.parametrize("closed", ["iterator", "store", "by a thread"])
def test_closing_ends_the_wait_of_a_coroutine(store: Store, closed: str) -> None:
    stream = store.create_stream("orders")

    async def main() -> None:
        iterator = aio.Iterator(stream.iterator(timeout=None))

        async def take() -> None:
            async for _ in iterator:
                pass

        first, second = asyncio.ensure_future(take()), asyncio.ensure_future(iterator.next_batch(None))
        await asyncio.sleep(0.1)
        if closed == "iterator":
            await iterator.close()
        elif closed == "store":
            store.close()
        else:
            thread = threading.Thread(target=stream.close)
            thread.start()
        with pytest.raises(libstream.CancelledError, match="was closed"):
            await asyncio.wait_for(first, 10)
        with pytest.raises(libstream.WrongStateError, match="is closed"):
            await asyncio.wait_for(second, 10)
        with pytest.raises(libstream.WrongStateError, match="is closed"):
            await iterator.next_batch(0)

    run(main())


@pytest.mark.parametrize("kind", ["Producer", "AsyncProducer", "Iterator"])
def test_closing_twice_is_fine(stream: Stream, kind: str) -> None:
    async def main() -> None:
        def make() -> Any:
            return aio.Iterator(stream.iterator()) if kind == "Iterator" else getattr(aio, kind)(stream)

        async with make() as within:
            await within.close()
        await within.close()
        both = make()
        await asyncio.gather(both.close(), both.close())
        uses = [both.next_batch] if kind == "Iterator" else [lambda: both.put("k", b"x"), both.flush]
        for use in uses:
            with pytest.raises(libstream.WrongStateError, match="is closed"):
                await use()

    run(main())


def test_an_iterator_goes_on_in_another_loop(stream: Stream) -> None:
    stream.producer().put_many("k", [b"0", b"1"])
    iterator, got = aio.Iterator(stream.iterator(timeout=0.1)), []

    async def read_all() -> None:
        async for record in iterator:
            got.append(record.data)

    async def twice() -> None:
        await asyncio.gather(read_all(), read_all())  # So that one waits for its turn, which ties a lock to a loop.

    for number in range(3):
        run(twice())
        assert len(got) == number + 2
        stream.producer().put("k", b"more")

    async def wait_elsewhere(iterator: aio.Iterator) -> None:
        waiting = asyncio.ensure_future(iterator.next_batch(None))
        await asyncio.sleep(0.1)

        def other() -> None:
            with pytest.raises(libstream.WrongStateError, match="another event loop has the iterator"):
                asyncio.run(iterator.next_batch())  # type: ignore[arg-type]

        thread = threading.Thread(target=lambda: refused.append(other()))
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.01)
        waiting.cancel()

    refused: List[None] = []
    run(wait_elsewhere(aio.Iterator(stream.iterator(position="LATEST"))))
    assert refused == [None]


def test_an_asynchronous_producer_belongs_to_its_loop(stream: Stream) -> None:
    async def make() -> aio.AsyncProducer:
        return aio.AsyncProducer(stream)

    producer = asyncio.run(make())

    async def use() -> None:
        with pytest.raises(libstream.WrongStateError, match="the event loop that it was made in"):
            await producer.put("k", b"x")

    run(use())


def test_a_coroutine_puts_with_numbers_and_from_buffers(stream: Stream) -> None:
    async def main() -> None:
        async with aio.Producer(stream, producer_id=7) as producer:
            first = await producer.put("k", b"x", number=1, durability=libstream.Durability.SYNC)
            assert await producer.put("k", b"x", number=1) == first
            assert (await producer.put_buffer("k", b"ab", array("q", [0, 1, 2]), numbers=2)).failed == 0
        assert [record.data for record in stream.iterator()] == [b"x", b"a", b"b"]

    run(main())


def test_batches_end_with_the_shard(stream: Stream) -> None:
    stream.producer().put_many("k", [b"a", b"b"])
    stream.split(0)

    async def main() -> None:
        iterator = aio.Iterator(stream.iterator(0, timeout=None))
        assert [len(batch) async for batch in iterator.batches()] == [2]
        await iterator.close()

    run(main())


def test_many_coroutines_put_in_batches(store: Store) -> None:
    async def main() -> None:
        with store.create_stream("orders") as stream:
            async with aio.AsyncProducer(stream, buffered_bytes_max=1 << 20) as producer:
                puts = [producer.put("key-%d" % (i % 3), b"%05d" % i * 1000) for i in range(600)]  # 3 MB: some wait.
                ids = await asyncio.gather(*puts)
                await producer.flush()
                with pytest.raises(libstream.TooLargeError):
                    await producer.put("k" * 257, b"x")
            records = list(stream.iterator())
            assert sorted(r.id for r in records) == sorted(ids) and len(set(ids)) == 600
            for key in range(3):
                mine = [int(r.data[:5]) for r in records if r.partition_key == "key-%d" % key]
                assert mine == list(range(key, 600, 3))
            with pytest.raises(libstream.WrongStateError):
                await producer.put("k", b"x")

    asyncio.run(main())


def test_a_coroutine_is_told_what_was_not_stored(store: Store) -> None:
    async def main() -> None:
        stream = store.create_stream("slow", mode=libstream.StreamMode.PROVISIONED, write_records_per_second=5)
        async with aio.AsyncProducer(stream, record_ttl_ms=50, linger_ms=1) as producer:
            cancelled = asyncio.ensure_future(producer.put("k", b"x"))
            await asyncio.sleep(0)
            cancelled.cancel()
            told = await asyncio.gather(*(producer.put("k", b"x") for _ in range(20)), return_exceptions=True)
        assert any(isinstance(found, libstream.Error) for found in told)
        assert all(isinstance(found, (libstream.Error, libstream.RecordId)) for found in told)

    asyncio.run(main())
