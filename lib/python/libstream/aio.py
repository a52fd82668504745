"""asyncio: the same producers and iterators, for coroutines. The loop is never blocked, and nobody polls: a descriptor
of the library says when there is something to read, and what touches the disk runs on another thread.

Cancelling a coroutine, as Ctrl+C does under `asyncio.run`, also ends that thread's wait for a lock of another process:
such a put has put nothing. A producer whose block ends so gives up what waits on.

>>> import asyncio
>>> from libstream import Store
>>> async def main():
...     with Store("memory:") as store, store.create_stream("orders") as stream:
...         async with Producer(stream) as producer:
...             await producer.put("customer-1", b"tea")
...         async for record in Iterator(stream.iterator()):
...             print(record.data)
>>> asyncio.run(main())
b'tea'
"""

from __future__ import annotations

import asyncio
import functools
import operator
import os
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, AsyncIterator, Callable, ClassVar, Iterable, Optional, Set, Tuple, Type, TypeVar

from libstream import iterator as plain_iterator
from libstream._handle import Handle, of_this_process
from libstream._native import ffi
from libstream._waiting import SLICE
from libstream._walk import heed, stop
from libstream.async_producer import Outcome
from libstream.batch import Batch, Record
from libstream.errors import BusyError, CancelledError, ThrottledError, WrongStateError
from libstream.producer import Bytes, Key, PutResults
from libstream.stream import Stream
from libstream.values import Durability, RecordId

__all__ = ["AsyncProducer", "Iterator", "Producer"]

Answer = TypeVar("Answer")


class _Worker:
    """A thread of its own, so that calls keep their order."""

    _noun: ClassVar[str]

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)
        self._is_over = False  # Its thread is, for it was closed.
        self._pid = os.getpid()
        self._flags: Set[Any] = set()  # Of the calls that somebody waits for.

    async def _call(self, function: Callable[..., Answer], *arguments: Any, **named: Any) -> Answer:
        of_this_process(self._pid, type(self).__name__)  # The thread is not there in a fork child.
        if self._is_over:
            raise WrongStateError("%s is closed" % self._noun)
        loop, flag = asyncio.get_running_loop(), ffi.new("int *")
        self._flags.add(flag)
        try:
            return await loop.run_in_executor(self._executor, _heeding, flag,
                                              functools.partial(function, *arguments, **named))
        except BaseException:
            _stop(flag)  # If it goes on, nobody waits for it.
            raise
        finally:
            self._flags.discard(flag)

    async def _close(self, plain: Handle) -> None:
        """Close what the calls are of, behind them, and then the thread. Closing twice is fine."""
        if self._is_over:
            return
        try:
            await self._call(plain.close)
        finally:
            if plain.closed and not self._is_over:
                self._is_over = True
                self._executor.shutdown(wait=False)

    def _stop_all(self) -> None:
        """Let no call wait for locks of other processes any more."""
        for flag in self._flags:
            _stop(flag)


def _heeding(flag: Any, call: Callable[[], Answer]) -> Answer:
    """Make a call whose waits for locks end when the flag is set."""
    heed(int(ffi.cast("uintptr_t", flag)))
    try:
        return call()
    finally:
        heed(0)


def _stop(flag: Any) -> None:
    stop(int(ffi.cast("uintptr_t", flag)))


def _is_cancelling(kind: Optional[Type[BaseException]]) -> bool:
    """Whether a block ends since nobody wants its outcome: Ctrl+C, or its task was cancelled."""
    return kind is not None and not issubclass(kind, Exception)


class Producer(_Worker):
    """A `libstream.Producer` for coroutines: records are put in the order of the calls, whoever awaits them. A call
    that is cancelled may have put its record, but for one that waits for another process; with a `producer_id` and a
    number it can be made again. The stream stays the caller's."""

    _noun = "producer"

    def __init__(self, stream: Stream, producer_id: Optional[int] = None) -> None:
        super().__init__("libstream-put")
        self._producer = stream.producer(producer_id)

    async def put(self, partition_key: Key, data: Bytes, explicit_hash_key: Optional[int] = None,
                  durability: Optional[Durability] = None, number: Optional[int] = None) -> RecordId:
        """As `libstream.Producer.put`."""
        return await self._call(self._producer.put, partition_key, data, explicit_hash_key, durability, number)

    async def put_batch(self, records: Iterable[Tuple[Key, Bytes]], **named: Any) -> PutResults:
        """As `libstream.Producer.put_batch`."""
        return await self._call(self._producer.put_batch, records, **named)

    async def put_many(self, partition_key: Key, data: Iterable[Bytes], **named: Any) -> PutResults:
        """As `libstream.Producer.put_many`."""
        return await self._call(self._producer.put_many, partition_key, data, **named)

    async def put_buffer(self, partition_keys: Any, data: Any, offsets: Any = None, **named: Any) -> PutResults:
        """As `libstream.Producer.put_buffer`: the buffers are used until it returns."""
        return await self._call(self._producer.put_buffer, partition_keys, data, offsets, **named)

    async def flush(self) -> None:
        """As `libstream.Producer.flush`."""
        await self._call(self._producer.flush)

    async def close(self) -> None:
        """Close it, after the calls that were made before. Closing twice is fine."""
        await self._close(self._producer)

    async def __aenter__(self) -> "Producer":
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        if _is_cancelling(kind):
            self._stop_all()
        await self.close()


class AsyncProducer(_Worker):
    """A `libstream.AsyncProducer` for coroutines: what many of them put at once goes in batches together. Records of
    one key are stored in the order of the calls. It belongs to the loop that runs when it is made; settings are those
    of `Stream.async_producer`. A call that is cancelled may have put its record. What has no outcome 45 ms after a
    block of `async with` was left by Ctrl+C, or by cancelling its task, is given up; without a block, and without
    `close`, what has none 45 ms after the loop was closed and the store is.

    >>> async def main():
    ...     with Store("memory:") as store, store.create_stream("orders") as stream:
    ...         async with AsyncProducer(stream) as producer:
    ...             ids = await asyncio.gather(*(producer.put("customer-1", b"%d" % i) for i in range(100)))
    ...         return ids == sorted(ids), [record.data for record in stream.iterator()][99]
    >>> import asyncio
    >>> from libstream import Store
    >>> asyncio.run(main())
    (True, b'99')
    """

    _noun = "asynchronous producer"

    def __init__(self, stream: Stream, **settings: Any) -> None:
        super().__init__("libstream-put")
        self._loop = asyncio.get_running_loop()
        self._behind = 0  # Calls that wait for memory, or behind one that does.
        self._is_ending = False
        self._producer = stream.async_producer(self._told, **settings)
        self._producer._loop = self._loop

    def _told(self, outcome: Outcome) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, outcome.tag, outcome)
        except RuntimeError:  # The loop is closed: nobody waits there any more.
            pass

    async def put(self, partition_key: Key, data: Bytes, explicit_hash_key: Optional[int] = None) -> RecordId:
        """Put one record: its id, once it is as durable as the store says. Raises what kept it from being stored."""
        if asyncio.get_running_loop() is not self._loop:
            raise WrongStateError("the asynchronous producer belongs to the event loop that it was made in")
        came: "asyncio.Future[RecordId]" = self._loop.create_future()
        if self._behind > 0 or not self._put_now(came, partition_key, data, explicit_hash_key):
            self._behind += 1
            try:  # The memory for records is full: a thread waits, not the loop, for one call after another.
                await self._call(self._put_later, came, partition_key, data, explicit_hash_key)
            except BaseException:
                came.cancel()
                raise
            finally:
                self._behind -= 1
        return await came

    def _put_later(self, came: "asyncio.Future[RecordId]", *arguments: Any) -> None:
        while True:
            try:
                self._producer.put(*arguments, tag=came, timeout=SLICE)
                if self._is_ending:  # It got the memory of what was given up.
                    self._producer.cancel()
                return
            except BusyError:
                if came.done() or self._is_ending:
                    raise

    def _put_now(self, came: "asyncio.Future[RecordId]", *arguments: Any) -> bool:
        try:
            self._producer.put(*arguments, tag=came, timeout=0)
            return True
        except BusyError:
            return False

    async def flush(self) -> None:
        """Send at once what was put before, and wait until all of it has its outcome."""
        await self._call(self._producer.flush)

    async def close(self) -> None:
        """Close it, when all that was put has its outcome; what has none when this is cancelled is given up. Closing
        twice is fine."""
        try:
            await self._close(self._producer)
        except asyncio.CancelledError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        self._is_ending = True
        try:
            self._producer.cancel()
        except WrongStateError:  # It is closed.
            pass

    async def __aenter__(self) -> "AsyncProducer":
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        if not _is_cancelling(kind):
            await self.close()
            return
        self._is_ending = True
        giving_up = self._loop.call_later(SLICE / 2, self._give_up)  # What the disk takes at once is stored.
        try:
            await self.close()
        finally:
            giving_up.cancel()


def _settle(came: "asyncio.Future[RecordId]", outcome: Outcome) -> None:
    if came.done():  # Cancelled.
        return
    if outcome.id is not None:
        came.set_result(outcome.id)
    else:
        came.set_exception(outcome.error or RuntimeError("no outcome"))


class Iterator(_Worker):
    """A `libstream.Iterator` for coroutines; it is read by this one from now on, and where it stands is still its
    `place`. `async for` gives its records, `batches` its batches; both end when nothing came for the iterator's
    `timeout`, None never, and can be taken up again afterwards. One task at a time waits. Another event loop may take
    it up once no task of the loop before waits, or that loop is closed; earlier it is refused by `WrongStateError`."""

    _noun = "iterator"

    def __init__(self, iterator: plain_iterator.Iterator) -> None:
        super().__init__("libstream-read")
        self._iterator = iterator
        self._turn: Optional[asyncio.Lock] = None  # Of the loop that it is used in.
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    async def next_batch(self, timeout: Optional[float] = 0.0) -> Batch:
        """As `libstream.Iterator.next_batch`. When the wait is cancelled the place is unchanged."""
        async with self._in_turn():
            return await self._next(timeout)

    def _in_turn(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._loop is not loop:
            if self._turn is not None and self._turn.locked() and self._loop is not None and \
                    not self._loop.is_closed():
                raise WrongStateError("a task of another event loop has the iterator")
            self._loop, self._turn = loop, asyncio.Lock()
        return self._turn

    async def _next(self, timeout: Optional[float]) -> Batch:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                batch = await self._read()
            except ThrottledError as error:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise
                await asyncio.sleep(error.retry_after if left is None else min(error.retry_after, left))
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if len(batch) > 0 or batch.is_shard_end or left is not None and left <= 0:
                return batch
            try:
                await asyncio.wait_for(self._readable(), left)
            except asyncio.TimeoutError:
                return batch

    async def _read(self) -> Batch:
        """What is there now. When this is cancelled while the thread reads, what that finds was not taken: it is what
        comes next, and the place is before it."""
        of_this_process(self._pid, type(self).__name__)
        if self._iterator.closed:
            raise WrongStateError("iterator is closed")
        try:
            batch = await asyncio.get_running_loop().run_in_executor(self._executor, self._iterator._look_ahead)
        except Exception:
            self._iterator._took()
            raise
        self._iterator._took()
        return batch

    async def _readable(self) -> None:
        """Wait until there is something to read; the descriptor stays readable until a call has found nothing."""
        loop, plain = asyncio.get_running_loop(), self._iterator
        came: "asyncio.Future[None]" = loop.create_future()

        def note() -> None:
            if not came.done():
                came.set_result(None)

        def end() -> None:
            if not came.done():
                came.set_exception(CancelledError("the iterator was closed by another task or thread"))

        def tell() -> None:
            try:
                loop.call_soon_threadsafe(end)
            except RuntimeError:  # The loop is closed: nobody waits there any more.
                pass

        plain._told_of_close.append(tell)
        try:
            with plain._gate:
                fd = os.dup(plain.fileno())  # Closing the iterator leaves it: the loop forgets it before it is gone.
            try:
                loop.add_reader(fd, note)
                try:
                    await came
                finally:
                    loop.remove_reader(fd)
            finally:
                os.close(fd)
        finally:
            plain._told_of_close.remove(tell)

    async def batches(self) -> AsyncIterator[Batch]:
        """Batches of at least one record."""
        timeout = self._iterator._timeout
        while True:
            batch = await self.next_batch(timeout)
            if len(batch) > 0:
                yield batch
            elif batch.is_shard_end or timeout is not None:
                return

    async def __aiter__(self) -> AsyncIterator[Record]:
        plain = self._iterator  # It keeps what was not taken yet, for who takes it up again.
        while True:
            for record in plain._current:
                yield record
            async with self._in_turn():
                if operator.length_hint(plain._current) > 0:  # Another task has read.
                    continue
                batch = await self._next(plain._timeout)
                if len(batch) > 0:
                    plain._current = iter(batch)
                elif batch.is_shard_end or plain._timeout is not None:
                    return

    async def close(self) -> None:
        """Close the iterator. A task that waits for records gets `CancelledError`, also when another closes the store
        or the stream. Closing twice is fine."""
        await self._close(self._iterator)

    async def __aenter__(self) -> "Iterator":
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.close()
