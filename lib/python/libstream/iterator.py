"""Reading: iterators over one shard or all shards of a stream."""

from __future__ import annotations

import operator
import os
import threading
import time
import weakref
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable, Generic, Iterator as IteratorOf, List, Optional, TypeVar

from libstream._handle import Handle, refuse_asked, turn
from libstream._native import ffi, lib
from libstream._waiting import SLICE
from libstream.batch import Batch, Page, Record
from libstream.errors import CancelledError, Error, WrongStateError, check, failure
from libstream.values import PositionLike, c_text, milliseconds, options, position, put_in

if TYPE_CHECKING:
    from libstream.stream import Stream

Taken = TypeVar("Taken")
_open_iterators: "weakref.WeakSet[Iterator]" = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Records that were read and not taken yet are the parent's: a fork child that took them, too, would have them a
    second time. Loops that are under way find none of them either, and are refused."""
    for iterator in list(_open_iterators):
        for _ in iterator._current:
            pass


os.register_at_fork(after_in_child=_leave_to_parent)


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

    __slots__ = ("_turn", "_page", "_held", "_failed", "_options", "_records_max", "_bytes_max", "_timeout",
                 "_is_cancelled", "_current", "_last", "_weak", "_told_of_close")

    _noun = "iterator"
    _close_call = lib.ls_iterator_close

    def __init__(self, stream: "Stream", shard: Optional[int], start: PositionLike, place: Optional[str],
                 timeout: Optional[float], records_max: int, bytes_max: int, deaggregate: bool) -> None:
        milliseconds(timeout)  # Refused now rather than at the first record.
        self._turn = threading.RLock()
        self._page = Page()
        self._told_of_close: List[Callable[[], None]] = []  # Those who wait without being in a call.
        out = ffi.new("ls_iterator **")
        settings = options("ls_iterator_options", flags=lib.LS_ITERATOR_INTERRUPTIBLE | (
            lib.LS_ITERATOR_DEAGGREGATE if deaggregate else 0))
        if place is not None:
            self._own(stream, out, lib.ls_iterator_open_place, c_text(place, "place"), settings, out)
        elif shard is None:
            self._own(stream, out, lib.ls_iterator_open_all, position(start)._to_c(), settings, out)
        else:
            self._own(stream, out, lib.ls_iterator_open, shard, position(start)._to_c(), settings, out)
        self._options = options("ls_next_options")
        self._records_max, self._bytes_max = records_max, bytes_max
        self._timeout = timeout
        self._is_cancelled = False
        self._held: Optional[Batch] = None  # What was read, and who had asked for it has not got.
        self._failed: Optional[Error] = None  # The same of an error.
        self._last: Any = None  # A weak reference to the batch that was read last.
        self._weak = weakref.ref(self)
        self._current: IteratorOf[Record] = iter(())  # The records of a batch that nobody took yet.
        _open_iterators.add(self)

    def next_batch(self, timeout: Optional[float] = 0.0, *, records_max: Optional[int] = None,
                   bytes_max: Optional[int] = None) -> Batch:
        """The next records, as many as are readable now within the limits: these, else the iterator's. Waits `timeout`
        seconds for the first one, None without end; a batch without records says that the time is over, or that this is
        the shard's end."""
        wait_ms = milliseconds(timeout)
        batch: Optional[Batch] = None

        def take(pointer: Any) -> None:
            nonlocal batch
            batch = self._next(pointer, wait_ms, records_max, bytes_max)
            self._took()

        try:
            self._gate.run(self._turn, take)
            assert batch is not None
        except BaseException:
            self._hold(batch)
            raise
        return batch

    def _look_ahead(self) -> Batch:
        """What there is to read now. It has not been taken, nor has an error been told, before `_took` says so."""
        def look(pointer: Any) -> Batch:
            try:
                batch = self._next(pointer, 0)
            except Error as error:
                self._failed = error
                raise
            self._took()
            self._hold(batch)
            return batch

        found: Batch = self._gate.run(self._turn, look)
        return found

    def _took(self) -> None:
        """What `_next` gave is its caller's."""
        self._held = self._failed = None
        self._page.pointer.count = 0

    def _hold(self, batch: Optional[Batch]) -> None:
        """What a signal's handler, which raised, kept from who had asked for it, or what a coroutine that was cancelled
        had asked for, is what comes next."""
        if batch is not None and len(batch) > 0:
            self._held = batch

    def _next(self, pointer: Any, wait_ms: int, records_max: Optional[int] = None,
              bytes_max: Optional[int] = None) -> Batch:
        if self._held is not None:
            return self._held
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        deadline = None if wait_ms < 0 else time.monotonic() + wait_ms / 1000
        in_main = threading.current_thread() is threading.main_thread()
        page, settings = self._page.pointer, self._options
        put_in(settings, "records_max", self._records_max if records_max is None else records_max)
        put_in(settings, "bytes_max", self._bytes_max if bytes_max is None else bytes_max)
        self._last = None
        left: Optional[float] = None if wait_ms < 0 else wait_ms / 1000
        while True:
            if self._pointer is None:  # Closing ends one wait; whoever comes to its turn after that begins none.
                raise CancelledError("the iterator was closed by another thread")
            once = left if not in_main else SLICE if left is None else min(left, SLICE)
            settings.timeout_ms = milliseconds(once)
            status = 0 if page.count > 0 else lib.lsi_py_next(pointer, settings, page)
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
            if status == 0:
                if page.count > 0 or page.is_shard_end or left == 0.0:
                    batch = Batch(self._page, self._weak)
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
        with self._gate, turn(self._turn, self._noun):
            if self._last is None or self._last() is not batch:
                raise WrongStateError("this batch is over: only the one that was read last can be shown")
            yield self._page.pointer.batch

    def batches(self) -> IteratorOf[Batch]:
        """Batches of at least one record, until nothing came for the iterator's `timeout` or the shard has ended."""
        return _Batches(self._batch_of_records)

    def _batch_of_records(self) -> Optional[Batch]:
        """The next of these; None: that was all."""
        wait_ms = milliseconds(self._timeout)
        batch: Optional[Batch] = None

        def take(pointer: Any) -> None:
            nonlocal batch
            while batch is None:
                found = self._next(pointer, wait_ms)
                if len(found) > 0:
                    batch = found
                    self._took()
                elif found.is_shard_end or self._timeout is not None:
                    return

        try:
            self._gate.run(self._turn, take)
        except BaseException:
            self._hold(batch)
            raise
        return batch

    def _taken_next(self) -> Optional[IteratorOf[Record]]:
        """What the records that come next are taken from, by all threads: what is left of the batch that was read last,
        or the next one. None: nothing came for the iterator's `timeout`, or the shard has ended."""
        wait_ms = milliseconds(self._timeout)

        def take(pointer: Any) -> Optional[IteratorOf[Record]]:
            while operator.length_hint(self._current) == 0:
                batch = self._next(pointer, wait_ms)
                if len(batch) > 0:
                    records = batch._records()
                    try:
                        self._current = iter(records)
                        self._took()
                    except BaseException:  # Of a signal's handler: all of it is done, or nothing.
                        self._current = iter(records)
                        self._took()
                        raise
                elif batch.is_shard_end or self._timeout is not None:
                    return None
            return self._current

        taken: Optional[IteratorOf[Record]] = self._gate.run(self._turn, take)
        return taken

    def __iter__(self) -> IteratorOf[Record]:
        return chain.from_iterable(_Batches(self._taken_next))

    def __next__(self) -> Record:
        while True:
            for record in self._current:
                return record
            if self._taken_next() is None:
                raise StopIteration

    def seek(self, start: PositionLike) -> None:
        """Move to another position; with all shards, in every shard. Records of a batch that were not yet taken are
        dropped."""
        def move(pointer: Any) -> None:
            self._last = None
            self._took()
            check(lib.ls_iterator_seek(pointer, position(start)._to_c()))
            for _ in self._current:  # Taken from loops that are under way, too.
                pass

        self._gate.run(self._turn, move)

    @property
    def place(self) -> str:
        """Where it stands, as text to be kept: `Stream.iterator(place=...)` goes on there. It is behind the last batch;
        while records of this batch were not taken yet there is no such text (`WrongStateError`): take them, or read by
        batches."""
        needed = ffi.new("size_t *")

        def look(pointer: Any) -> Any:
            left: int = operator.length_hint(self._current) + self._page.pointer.count + len(self._held or ())
            if left > 0:
                raise WrongStateError("%d records of the batch were not taken yet: a place is behind a whole batch"
                                      % left)
            lib.ls_iterator_place(pointer, ffi.NULL, 0, needed)
            text = ffi.new("char[]", needed[0])
            check(lib.ls_iterator_place(pointer, text, needed[0], needed))
            return ffi.string(text)

        return str(self._looking(look).decode())

    def fileno(self) -> int:
        """A descriptor that is readable while there is something to read, for `select` and event loops; it stays so
        until a call to `next_batch` finds nothing. It belongs to the iterator. The first call starts a thread of the
        library."""
        out = ffi.new("int32_t *")
        check(self._looking(lambda pointer: lib.ls_iterator_event_fd(pointer, out)))
        return int(out[0])

    def _looking(self, look: Callable[[Any], Any]) -> Any:
        """Do what only looks: a signal's handler may, while its thread waits for records here. C calls nobody out of
        that but who gives keys."""
        refuse_asked(self, "an iterator cannot be looked at")
        if self._turn._is_owned():  # type: ignore[attr-defined]
            return self._gate.run(None, look)
        return self._gate.run(self._turn, look)

    def cancel(self) -> None:
        """End the wait of another thread with `CancelledError`; or, when none waits, the next call that would."""
        def do(pointer: Any) -> None:
            self._is_cancelled = True
            lib.ls_iterator_cancel(pointer)

        self._gate.run(None, do)

    def _interrupt(self, pointer: Any) -> None:
        lib.ls_iterator_cancel(pointer)

    def _release(self) -> None:
        for tell in list(self._told_of_close) if os.getpid() == self._pid else ():
            tell()
        super()._release()


class _Batches(Generic[Taken]):
    """What is taken one after another, until there is none. Not a generator: while one waits no other thread can ask
    it, `chain`, which has the GIL only in between, frees under its feet one that refuses, and an exception ends it."""

    __slots__ = ("_take",)

    def __init__(self, take: Callable[[], Optional[Taken]]) -> None:
        self._take = take

    def __iter__(self) -> "_Batches[Taken]":
        return self

    def __next__(self) -> Taken:
        taken = self._take()
        if taken is None:
            raise StopIteration
        return taken
