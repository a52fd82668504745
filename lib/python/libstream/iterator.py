"""Reading: iterators over one shard or all shards of a stream."""

from __future__ import annotations

import operator
import os
import threading
import time
import weakref
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable, Iterator as IteratorOf, List, Optional

from libstream._handle import Handle
from libstream._native import ffi, lib
from libstream._waiting import SLICE
from libstream.batch import Batch, Page, Record
from libstream.errors import CancelledError, WrongStateError, check, failure
from libstream.values import PositionLike, c_text, milliseconds, options, position

if TYPE_CHECKING:
    from libstream.stream import Stream


class Iterator(Handle):
    """Reads one shard, or all shards of a stream, from a position: `Stream.iterator` opens it.

    It is an iterator over records, and `batches` is one over batches; both end when nothing came for `timeout` seconds,
    and can be taken up again afterwards, also after an error. What it shows is a prefix that only grows: no gap, no
    repeat, no reorder. With all shards each batch is of one, the order between shards is by readiness, children follow
    their parents.

    Errors while reading: `TrimmedError`, said once, when records that were to come next are past the stream's
    retention; `CorruptError`, `KeyUnavailableError`, `NotFoundError` when the stream was deleted, `ThrottledError` of a
    provisioned stream, `CancelledError`.

    Any thread may use it; threads take turns. The GIL is not held while it waits. In the main thread it waits in pieces
    of 90 ms, so that Ctrl+C ends every wait; each of them is a read of a provisioned stream.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("orders")
    >>> with stream.producer() as producer:
    ...     for name in ("tea", "bread", "honey"):
    ...         _ = producer.put("customer-1", name.encode())
    >>> [record.data for record in stream.iterator()]
    [b'tea', b'bread', b'honey']
    >>> [len(batch) for batch in stream.iterator(records_max=2).batches()]
    [2, 1]
    >>> store.close()
    """

    __slots__ = ("_turn", "_page", "_options", "_records_max", "_bytes_max", "_timeout", "_is_cancelled",
                 "_current", "_last", "_weak", "_told_of_close")

    _noun = "iterator"

    def __init__(self, stream: "Stream", shard: Optional[int], start: PositionLike, place: Optional[str],
                 timeout: Optional[float], records_max: int, bytes_max: int, deaggregate: bool) -> None:
        milliseconds(timeout)  # Refused now rather than at the first record.
        out = ffi.new("ls_iterator **")
        settings = options("ls_iterator_options", flags=lib.LS_ITERATOR_INTERRUPTIBLE | (
            lib.LS_ITERATOR_DEAGGREGATE if deaggregate else 0))
        if place is not None:
            stream._call(lib.ls_iterator_open_place, c_text(place, "place"), settings, out)
        elif shard is None:
            stream._call(lib.ls_iterator_open_all, position(start)._to_c(), settings, out)
        else:
            stream._call(lib.ls_iterator_open, shard, position(start)._to_c(), settings, out)
        super().__init__(out[0], stream)
        self._turn = threading.Lock()
        self._page = Page()
        self._options = options("ls_next_options")
        self._records_max, self._bytes_max = records_max, bytes_max
        self._timeout = timeout
        self._is_cancelled = False
        self._last: Any = None  # A weak reference to the batch that was read last.
        self._weak = weakref.ref(self)
        self._told_of_close: List[Callable[[], None]] = []  # Those who wait without being in a call.
        self._current: IteratorOf[Record] = iter(())  # The records of a batch that nobody took yet.

    def next_batch(self, timeout: Optional[float] = 0.0, *, records_max: Optional[int] = None,
                   bytes_max: Optional[int] = None) -> Batch:
        """The next records, as many as are readable now within the limits: these, else the iterator's. Waits `timeout`
        seconds for the first one, None without end; a batch without records says that the time is over, or that this is
        the shard's end."""
        wait_ms = milliseconds(timeout)
        pointer = self._enter()
        try:
            with self._turn:
                return self._next(pointer, wait_ms, records_max, bytes_max)
        finally:
            self._leave()

    def _next(self, pointer: Any, wait_ms: int, records_max: Optional[int] = None,
              bytes_max: Optional[int] = None) -> Batch:
        deadline = None if wait_ms < 0 else time.monotonic() + wait_ms / 1000
        in_main = threading.current_thread() is threading.main_thread()
        page, settings = self._page.pointer, self._options
        settings.records_max = self._records_max if records_max is None else records_max
        settings.bytes_max = self._bytes_max if bytes_max is None else bytes_max
        self._last = None
        left: Optional[float] = None if wait_ms < 0 else wait_ms / 1000
        while True:
            if self._pointer is None:  # Closing ends one wait; whoever comes to its turn after that begins none.
                raise CancelledError("the iterator was closed by another thread")
            once = left if not in_main else SLICE if left is None else min(left, SLICE)
            settings.timeout_ms = milliseconds(once)
            status = lib.lsi_py_next(pointer, settings, page)
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
            if status == 0:
                if page.count > 0 or page.is_shard_end or left == 0.0:
                    batch = Batch(page, self._weak)
                    self._last = weakref.ref(batch)
                    return batch
            elif status == lib.LS_ERR_CANCELLED:
                if self._is_cancelled or self._pointer is None:
                    self._is_cancelled = False
                    raise CancelledError("the iterator was cancelled" if self._pointer is not None
                                         else "the iterator was closed by another thread")
                # Else a signal came: its handler in Python has run by now, and raised or not.
            elif status == lib.LS_ERR_THROTTLED and left != 0.0:
                pause = failure(status).retry_after
                time.sleep(pause if left is None else min(pause, left))
            else:
                raise failure(status)

    @contextmanager
    def _show(self, batch: Batch) -> IteratorOf[Any]:
        """The library's batch of the one that was read last; nobody reads meanwhile."""
        self._enter()
        try:
            with self._turn:
                if self._last is None or self._last() is not batch:
                    raise WrongStateError("this batch is over: only the one that was read last can be shown")
                yield self._page.pointer.batch
        finally:
            self._leave()

    def batches(self) -> IteratorOf[Batch]:
        """Batches of at least one record, until nothing came for the iterator's `timeout` or the shard has ended."""
        while True:
            batch = self.next_batch(self._timeout)
            if len(batch) > 0:
                yield batch
            if batch.is_shard_end and len(batch) == 0 or len(batch) == 0 and self._timeout is not None:
                return

    def _taken_next(self) -> Optional[IteratorOf[Record]]:
        """What the records that come next are taken from, by all threads: what is left of the batch that was read last,
        or the next one. None: nothing came for the iterator's `timeout`, or the shard has ended."""
        wait_ms = milliseconds(self._timeout)
        pointer = self._enter()
        try:
            with self._turn:
                while operator.length_hint(self._current) == 0:
                    batch = self._next(pointer, wait_ms)
                    if len(batch) > 0:
                        self._current = iter(batch._records())
                    elif batch.is_shard_end or self._timeout is not None:
                        return None
                return self._current
        finally:
            self._leave()

    def __iter__(self) -> IteratorOf[Record]:
        return chain.from_iterable(_Batches(self))

    def __next__(self) -> Record:
        while True:
            for record in self._current:
                return record
            if self._taken_next() is None:
                raise StopIteration

    def seek(self, start: PositionLike) -> None:
        """Move to another position; with all shards, in every shard. Records of a batch that were not yet taken are
        dropped."""
        pointer = self._enter()
        try:
            with self._turn:
                self._last = None
                check(lib.ls_iterator_seek(pointer, position(start)._to_c()))
                for _ in self._current:  # Taken from loops that are under way, too.
                    pass
        finally:
            self._leave()

    @property
    def place(self) -> str:
        """Where it stands, as text to be kept: `Stream.iterator(place=...)` goes on there. It is behind the last batch;
        while records of this batch were not taken yet there is no such text (`WrongStateError`): take them, or read by
        batches."""
        left: int = operator.length_hint(self._current)
        if left > 0:
            raise WrongStateError("%d records of the batch were not taken yet: a place is behind a whole batch" % left)
        needed = ffi.new("size_t *")
        pointer = self._enter()
        try:
            with self._turn:
                lib.ls_iterator_place(pointer, ffi.NULL, 0, needed)
                text = ffi.new("char[]", needed[0])
                check(lib.ls_iterator_place(pointer, text, needed[0], needed))
        finally:
            self._leave()
        return str(ffi.string(text).decode())

    def fileno(self) -> int:
        """A descriptor that is readable while there is something to read, for `select` and event loops; it stays so
        until a call to `next_batch` finds nothing. It belongs to the iterator. The first call starts a thread of the
        library."""
        out = ffi.new("int32_t *")
        pointer = self._enter()
        try:
            with self._turn:
                check(lib.ls_iterator_event_fd(pointer, out))
        finally:
            self._leave()
        return int(out[0])

    def cancel(self) -> None:
        """End the wait of another thread with `CancelledError`; or, when none waits, the next call that would."""
        pointer = self._enter()
        try:
            self._is_cancelled = True
            lib.ls_iterator_cancel(pointer)
        finally:
            self._leave()

    def _interrupt(self, pointer: Any) -> None:
        lib.ls_iterator_cancel(pointer)

    def _release(self, pointer: Any) -> None:
        for tell in list(self._told_of_close) if os.getpid() == self._pid else ():
            tell()
        lib.ls_iterator_close(pointer)


class _Batches:
    """What is there to take records from, one batch after another. Not a generator: while one waits no other thread can
    ask it, and `chain`, which has the GIL only in between, frees under its feet one that refuses."""

    __slots__ = ("_iterator",)

    def __init__(self, iterator: Iterator) -> None:
        self._iterator = iterator

    def __iter__(self) -> "_Batches":
        return self

    def __next__(self) -> IteratorOf[Record]:
        taken = self._iterator._taken_next()
        if taken is None:
            raise StopIteration
        return taken
