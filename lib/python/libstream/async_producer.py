"""Putting without waiting: a thread of the library gathers records, sends them in batches, tries again what could not
be stored yet, and tells what became of each. `async_producer.h` has all that holds."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
import weakref
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

from libstream._handle import SOON, Handle, out_of_range, refuse_asked
from libstream._native import ffi, lib
from libstream._waiting import run_or_leave, slices
from libstream.errors import Error, WaitTimeoutError, WrongStateError, check, failure
from libstream.producer import Bytes, Key, _flat, entries_of, producer_id_to_c
from libstream.values import Durability, RecordId, hash_key_to_c, milliseconds, options, utf8

if TYPE_CHECKING:
    from libstream.stream import Stream

_log = logging.getLogger("libstream")
_inside = threading.local()  # .producer: the one whose function this thread is in
_OUTCOMES = 65536
_PART, _PART_BYTES = 1000, 1 << 20
_DROPPED = 1.0  # seconds: so long one that nobody closed goes on storing
NO_LIMIT: int = lib.LS_ASYNC_NONE


@dataclass(frozen=True)
class Outcome:
    """What became of one record."""

    ticket: int
    tag: Any  #: as it was given to `put`
    id: Optional[RecordId]  #: where it is; None when it was not stored
    error: Optional[Error]  #: why it was not stored; of `InputOutputError` it is not known whether it was
    attempts: int  #: so often it was tried
    sub_seqno: int  #: in an aggregate: its place there
    sub_count: int  #: ... which has so many; 0: it went alone
    partition_key: str
    data: bytes


class AsyncProducer(Handle):
    """Puts records without waiting for them: `Stream.async_producer` opens it. Any number of threads may use it.

    A put copies its record and answers a ticket. What became of it is told to `on_outcome`, or by `wait`; without
    `on_outcome`, `flush` and `close` raise what the first of the records that were not stored met, and say how many
    they are. Records of one key are stored in the order of their puts. What has no outcome yet is in memory only.

    The end of a `with` waits as `close` does, but when Ctrl+C, or another exception that is no `Exception`, ended the
    block: then what is not stored within 50 ms is given up, each record with its outcome (`CancelledError`). `sys.exit`
    and a generator's end are orderly ones. Whatever ended the block goes on; what `close` would raise is the last of
    its `__context__`s. What is open at the end of a program is closed likewise. A producer that is dropped without
    `close` gives up what is not stored within a second, and logs how much that was.

    `on_outcome` runs on the producer's thread and holds up all else there; it may call everything, but of its producer
    `put` only. What it raises is logged (`logging.getLogger("libstream")`).

    >>> store = Store("memory:")
    >>> stream = store.create_stream("orders")
    >>> with stream.async_producer() as producer:
    ...     ticket = producer.put("customer-1", b"tea")
    ...     tickets = producer.put_many("customer-1", [b"bread", b"honey"])
    >>> [record.data for record in stream.iterator()]
    [b'tea', b'bread', b'honey']

    With `aggregate` small records go many in one, as Kinesis's producer library packs them; `deaggregate` shows them.

    >>> with stream.async_producer(aggregate=True) as producer:
    ...     _ = producer.put_many("customer-2", [b"tea", b"bread"])
    >>> [record.data for record in stream.iterator(deaggregate=True)][3:]
    [b'tea', b'bread']
    >>> store.close()
    """

    __slots__ = ("_on_outcome", "_outcomes", "_self", "_tags", "_next_tag", "_loop", "_until")

    _noun = "asynchronous producer"
    _has_thread = True
    _close_call = lib.ls_async_producer_close
    _close_arguments = (0,)

    def __init__(self, stream: "Stream", on_outcome: Optional[Callable[[Outcome], Any]], settings: Any) -> None:
        self._on_outcome = on_outcome
        self._tags: Dict[int, Any] = {}
        self._next_tag = itertools.count(1)
        self._self = self._outcomes = None
        self._loop: Any = None  # Of asyncio, where its outcomes are waited for.
        self._until: Optional[float] = None  # So long the next closing stores what is left; None: to its end.
        out = ffi.new("ls_async_producer **")
        if on_outcome is not None:
            self._self = ffi.new_handle(_Told(self))
            self._own(stream, out, lib.ls_async_producer_open, settings, out, lib.lsi_py_on_outcome, self._self)
        else:
            made = lib.lsi_py_outcomes_new()
            if made == ffi.NULL:
                raise MemoryError
            self._outcomes = ffi.gc(made, lib.lsi_py_outcomes_free)
            if settings.outcomes_kept == 0:
                settings.outcomes_kept = _OUTCOMES
            self._own(stream, out, lib.ls_async_producer_open, settings, out,
                      ffi.addressof(lib, "lsi_py_outcomes_note"), self._outcomes)

    def put(self, partition_key: Key, data: Bytes, explicit_hash_key: Optional[int] = None, *, tag: Any = None,
            timeout: Optional[float] = None) -> int:
        """Give a record to the producer. Answers its ticket. `tag` comes back in its outcome.

        Waits `timeout` seconds while the memory for records is full, None without end; then `BusyError`. Raises
        `InvalidArgumentError` or `TooLargeError` for a record that cannot be put, `WrongStateError` when it is
        closed."""
        key = utf8(partition_key, "partition key") if isinstance(partition_key, str) else partition_key
        flat = data if type(data) is bytes else _flat(data)
        hash_key = ffi.NULL if explicit_hash_key is None else hash_key_to_c(explicit_hash_key)
        number = ticket = 0
        if tag is not None and self._on_outcome is not None:
            number = next(self._next_tag)
            self._tags[number] = tag

        def call(pointer: Any, wait_ms: int) -> int:
            nonlocal ticket
            ticket = int(lib.lsi_py_async_put(pointer, key, len(key), flat, len(flat), hash_key, number,
                                              wait_ms))
            return -ticket if ticket < 0 else 0

        try:
            self._wait(timeout, call, lib.LS_ERR_BUSY)
        except BaseException:
            self._tags.pop(number, None)
            raise
        return ticket

    def put_batch(self, records: Iterable[Tuple[Key, Bytes]], *,
                  timeout: Optional[float] = None) -> "array[int]":
        """Give records, pairs of partition key and data, one after another. Answers their tickets. When one is refused
        those before it were taken: the exception's `tickets` has theirs. Of an iterable that is no list, up to 1,000,
        or a MiB, are taken and given at a time. `timeout` is for all of them."""
        return self._put_all(records, None, timeout)

    def put_many(self, partition_key: Key, data: Iterable[Bytes], *, timeout: Optional[float] = None) -> "array[int]":
        """As `put_batch`, of records that have one key."""
        return self._put_all(data, partition_key, timeout)

    def _put_all(self, items: Iterable[Any], key: Optional[Key], timeout: Optional[float]) -> "array[int]":
        if isinstance(items, (list, tuple)):
            return self._put(tuple(items), key, timeout)
        tickets, given = array("Q"), iter(items)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                part = _part(given, key is not None)
                if not part:
                    return tickets
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                tickets += self._put(part, key, left)
        except Exception as error:  # Also of the iterable itself.
            setattr(error, "tickets", tickets + getattr(error, "tickets", array("Q")))
            raise

    def _put(self, items: Tuple[Any, ...], key: Optional[Key], timeout: Optional[float]) -> "array[int]":
        entries, kept = entries_of(items, key)
        tickets, done = ffi.new("uint64_t[]", len(items)), ffi.new("size_t *")
        count = 0

        def call(pointer: Any, wait_ms: int) -> int:
            nonlocal count
            status = int(lib.lsi_py_async_put_entries(pointer, entries + count, len(items) - count, wait_ms,
                                                      tickets + count, done))
            count += done[0]
            return status

        def taken() -> "array[int]":
            return array("Q", ffi.buffer(tickets, 8 * count)[:])

        try:
            self._wait(timeout, call, lib.LS_ERR_BUSY)
        except Error as error:
            error.tickets = taken()  # type: ignore[attr-defined]
            raise
        del kept
        return taken()

    def _wait(self, timeout: Optional[float], call: Callable[[Any, int], int], again: int) -> None:
        """Call what waits for so many milliseconds and answers `again` when they are over, so that Ctrl+C ends it."""
        def wait(pointer: Any) -> None:
            for wait_ms in slices(timeout):
                status = call(pointer, wait_ms)
                if status != again:
                    check(status)
                    return
            check(status)

        try:
            self._gate.run(None, wait)
        except OverflowError as error:
            raise out_of_range(error) from None

    def flush(self, timeout: Optional[float] = None) -> None:
        """Send at once what was put before, and wait until all of it has its outcome: `WaitTimeoutError` when the time
        is over; what is left goes on. Without `on_outcome` it raises as the class says."""
        self._flush(timeout)
        self._raise_lost()

    def _flush(self, timeout: Optional[float]) -> None:
        refuse_asked(self, "outcomes cannot be waited for")
        # Not in pieces: each would be about what others put meanwhile, too, and might never come to its end.
        run_or_leave(lambda: self._call(lib.ls_async_producer_flush, milliseconds(timeout), ffi.NULL))

    def _raise_lost(self) -> None:
        if self._outcomes is None or os.getpid() != self._pid:
            return
        status, message = ffi.new("ls_status *"), ffi.new("char[512]")
        lost = lib.lsi_py_outcomes_take(self._outcomes, status, message, 512)
        if lost > 0:
            raise failure(status[0], "%d records were not stored, the first of them: %s" % (
                lost, ffi.string(message).decode("utf-8", "replace")))

    def wait(self, ticket: int, timeout: Optional[float] = None) -> RecordId:
        """Wait for the outcome of one record: its id, or what kept it from being stored is raised. `WaitTimeoutError`
        when it has none yet; `ExpiredError` when `outcomes_kept` later ones were put since."""
        refuse_asked(self, "outcomes cannot be waited for")
        out = ffi.new("ls_async_outcome *")
        self._wait(timeout, lambda pointer, wait_ms: int(lib.ls_async_producer_wait(pointer, ticket, wait_ms, out)),
                   lib.LS_ERR_TIMEOUT)
        if out.status != 0:
            raise failure(out.status, "record %d was not stored: %s after %d attempts" % (
                ticket, ffi.string(lib.ls_status_name(out.status)).decode(), out.attempts))
        return RecordId(out.shard, out.seqno)

    def cancel(self) -> None:
        """Give up what was put before this call and is not being written: it ends with `CancelledError`, soon."""
        self._call(lib.ls_async_producer_cancel)

    def close(self, timeout: Optional[float] = None) -> None:
        """As `flush`, and close it. What is left when the time is over, or when Ctrl+C comes, is given up, with
        `WaitTimeoutError`: every record has had its outcome."""
        if self.closed:
            return
        if os.getpid() == self._pid:
            self._refuse_close()
        if timeout is None and self._loop is not None and self._loop.is_closed():
            timeout = SOON  # Nobody waits for an outcome any more.
        until, self._until = self._until, None
        if timeout is None and until is not None:
            timeout = max(0.0, until - time.monotonic())
        late: Optional[BaseException] = None
        try:
            self._flush(timeout)
        except WrongStateError:
            pass  # Of a fork child, or closed meanwhile.
        except BaseException as error:
            if until is None or not isinstance(error, WaitTimeoutError):  # Else all is told by what was lost.
                late = error
        super().close()
        if late is not None:
            raise late
        self._raise_lost()

    def __del__(self) -> None:
        if getattr(self, "_loop", None) is not None and not self.closed:  # It may be found by the loop's own thread.
            threading.Thread(target=super().__del__, name="libstream-close", daemon=True).start()
            return
        if getattr(self, "_gate", None) is not None and not self.closed:
            self._hurry(time.monotonic() + _DROPPED)
            try:
                self.close()
            except Error as told:
                _log.error("an asynchronous producer that nobody had closed: %s", told)
            except Exception:  # As of other handles.
                pass

    def _hurry(self, until: float) -> None:
        self._until = until

    def _interrupt(self, pointer: Any) -> None:
        lib.ls_async_producer_cancel(pointer)

    def _refuse_close(self) -> None:
        if getattr(_inside, "producer", None) is self:
            raise WrongStateError("an asynchronous producer cannot be closed by its own function")
        super()._refuse_close()

    def _release(self) -> None:
        status = self._gate.give_back(lib.ls_async_producer_close, 0)
        if status != lib.LS_ERR_TIMEOUT:  # Which was raised before, for what was left then.
            check(status)


def _part(items: Iterator[Any], is_data: bool) -> Tuple[Any, ...]:
    """The next records of an iterable: 1,000, or fewer that are a MiB together."""
    taken: List[Any] = []
    size = 0
    for item in itertools.islice(items, _PART):
        taken.append(item)
        data = item if is_data else item[-1] if isinstance(item, (tuple, list)) and item else b""
        size += len(data) if hasattr(data, "__len__") else 0
        if size >= _PART_BYTES:
            break
    return tuple(taken)


class _Told:
    """What the callback finds; it does not keep the producer, which is closed when nobody refers to it."""

    __slots__ = ("producer", "function", "tags")

    def __init__(self, producer: AsyncProducer) -> None:
        self.producer = weakref.ref(producer)
        self.function = producer._on_outcome
        self.tags = producer._tags


@ffi.def_extern()
def lsi_py_on_outcome(it: Any, user: Any) -> None:
    told: _Told = ffi.from_handle(user)
    assert told.function is not None
    _inside.producer = told.producer()
    try:
        told.function(Outcome(
            it.ticket, told.tags.pop(int(ffi.cast("uintptr_t", it.tag)), None),
            RecordId(it.shard, it.seqno) if it.status == 0 else None, None if it.status == 0 else failure(it.status),
            it.attempts, it.sub_seqno, it.sub_count,
            ffi.buffer(it.partition_key.data, it.partition_key.size)[:].decode(),
            ffi.buffer(it.data.data, it.data.size)[:] if it.data.size else b""))
    except BaseException:  # Of whatever kind: it must not leave the callback.
        _log.exception("the function that is told of outcomes failed")
    finally:
        _inside.producer = None


def settings_to_c(*, aggregate: bool, idempotent: bool, producer_id: Optional[int], durability: Optional[Durability],
                  **numbers: int) -> Any:
    """An `ls_async_options *`."""
    flags = (lib.LS_ASYNC_AGGREGATE if aggregate else 0) | (
        lib.LS_ASYNC_IDEMPOTENT if idempotent or producer_id is not None else 0)
    made = options("ls_async_options", flags=flags, durability=durability, **numbers)
    if producer_id is not None:
        made.producer = producer_id_to_c(producer_id)
    return made
