"""A store: a directory of named streams that any number of processes on one machine share."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import weakref
from typing import Any, Callable, Iterator as IteratorOf, List, Mapping as MappingOf, Optional, Sequence, Union

from libstream import metrics
from libstream._handle import SOON, Handle, asked_by
from libstream._native import ffi, lib
from libstream._walk import waiting
from libstream._waiting import slices
from libstream.errors import check, note_cause
from libstream.metrics import Metric, MetricSample, MetricType
from libstream.stream import Stream, tags_to_c
from libstream.transaction import Transaction
from libstream.values import (Compression, Durability, LogLevel, StoreFlag, StreamMode, c_path, c_text, milliseconds,
                              options, put_in)

NO_PREALLOC: int = lib.LS_PREALLOC_NONE
_log = logging.getLogger("libstream")
_open_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()


class Clock:
    """A clock that a test sets: `Store(..., clock=...)`. Records are stamped, grow old and are trimmed by it; all who
    have the store open at once go by the same. It knows microseconds since the epoch.

    >>> clock = Clock(1_700_000_000_000_000)
    >>> clock.advance(3600)
    >>> clock.now_us
    1700003600000000
    """

    __slots__ = ("_pointer",)

    def __init__(self, now_us: int) -> None:
        pointer = lib.lsi_py_clock_new(now_us)
        if pointer == ffi.NULL:
            raise MemoryError
        self._pointer = ffi.gc(pointer, lib.lsi_py_clock_free)

    @property
    def now_us(self) -> int:
        """What time it is."""
        return int(lib.lsi_py_clock_now(self._pointer))

    @now_us.setter
    def now_us(self, now_us: int) -> None:
        lib.lsi_py_clock_set(self._pointer, now_us)

    def advance(self, seconds: float) -> None:
        """Let time go on."""
        self.now_us += round(seconds * 1_000_000)


class Store(Handle):
    """Open the store at `location`, making it if it is not there.

    `location` is a path, or ``"memory:"`` for one of its own in memory, gone with it. Any number of processes may have
    a store open. It works in the process that opened it: in a fork child, also one of `multiprocessing`, every call
    raises `WrongStateError`; open it anew there.

    Parameters
    ----------
    durability
        When a put is acknowledged. None keeps the store's: SYNC for a new one.
    read_only, create
        Open for reading; do not make it.
    flags
        `StoreFlag` bits.
    sync_interval_ms, segment_bytes, prealloc_bytes, streams_max, shards_max
        As `ls_store_options` of `store.h`; `NO_PREALLOC` for `prealloc_bytes`: no space is made ahead.
    busy_timeout
        How many seconds a call waits for other processes in all; 5 unless given.
    key
        Gives encryption keys: the path of a file or directory (`ls_key_from_file`), or a function that gets a key's
        name and returns its 32 bytes, called on the thread that needs it. What it raises is the `__cause__` of the
        `KeyUnavailableError` that the call ends with. It cannot close what asks it.
    log
        Called with (`LogLevel`, line) for rare events. It runs under locks of the store: it must be quick and call
        nothing of libstream.
    clock
        For tests: the time of day.
    faults
        For tests of programs that put: `fault_seed`, `fault_throttled_per_1000`, `fault_failed_per_1000`,
        `fault_partial_per_1000`, `fault_latency_ms` of `store.h`, without ``fault_``.
    transition_ms, stream_transition_ms
        For tests: how long consumers and streams are CREATING and DELETING.

    >>> with Store("memory:", durability=Durability.KERNEL) as store:
    ...     _ = store.create_stream("orders")
    ...     list(store.streams())
    ['orders']
    """

    __slots__ = ("_keep", "_location")

    _noun = "store"
    _close_call = lib.ls_store_close

    def __init__(self, location: Union[str, "os.PathLike[str]"], *, durability: Optional[Durability] = None,
                 read_only: bool = False, create: bool = True, flags: int = StoreFlag(0), sync_interval_ms: int = 0,
                 segment_bytes: int = 0, prealloc_bytes: int = 0, streams_max: int = 0, shards_max: int = 0,
                 busy_timeout: Optional[float] = None, key: Union[None, str, "os.PathLike[str]",
                                                                  Callable[[str], bytes]] = None,
                 log: Optional[Callable[[LogLevel, str], None]] = None, clock: Optional[Clock] = None,
                 faults: Optional[MappingOf[str, int]] = None, transition_ms: int = 0,
                 stream_transition_ms: int = 0) -> None:
        if read_only:
            flags |= lib.LS_STORE_READ_ONLY
        if not create:
            flags |= lib.LS_STORE_NO_CREATE
        settings = options(
            "ls_store_options", flags=flags, durability=durability, sync_interval_ms=sync_interval_ms,
            segment_bytes=segment_bytes, prealloc_bytes=prealloc_bytes, streams_max=streams_max, shards_max=shards_max,
            transition_ms=transition_ms, stream_transition_ms=stream_transition_ms)
        if busy_timeout is not None:
            put_in(settings, "busy_timeout_ms", milliseconds(busy_timeout))
        for name, value in (faults or {}).items():
            put_in(settings, "fault_" + name, value)
        self._keep: Any = [clock]
        if clock is not None:
            settings.clock, settings.clock_user = ffi.addressof(lib, "lsi_py_clock_now"), clock._pointer
        if log is not None:
            handle = ffi.new_handle(_Asked(self, log))
            self._keep.append(handle)
            settings.log, settings.log_user = lib.lsi_py_on_log, handle
        if callable(key):
            handle = ffi.new_handle(_Asked(self, key))
            self._keep.append(handle)
            settings.key_callback, settings.key_user = lib.lsi_py_on_key, handle
        elif key is not None:
            path = ffi.new("char[]", c_path(key, "key's path"))
            self._keep.append(path)
            settings.key_callback, settings.key_user = ffi.addressof(lib, "ls_key_from_file"), path
        self._location = os.fspath(location)
        settings.wait = ffi.cast("ls_wait_callback", waiting())  # Ctrl+C
        out = ffi.new("ls_store **")
        self._own(None, out, lib.ls_store_open, c_path(self._location, "location"), settings, out)
        _open_stores.add(self)

    @property
    def location(self) -> str:
        """What it was opened with."""
        return self._location

    @property
    def durability(self) -> Durability:
        """The durability that the store has."""
        return Durability(self._gate.run(None, lib.ls_store_durability))

    def create_stream(self, name: str, *, shard_count: int = 1, retention_hours: int = 24,
                      mode: StreamMode = StreamMode.ON_DEMAND, record_bytes_max: int = 0,
                      compression: Compression = Compression.NONE, retention_bytes: int = 0,
                      tags: Optional[MappingOf[str, str]] = None, **limits: int) -> Stream:
        """Create a stream, and open it. Durable when it returns, in every mode. `limits` are those of `Limits`.

        Raises `ExistsError` when the name is taken, `InvalidArgumentError`, and what every change raises."""
        keep, made = tags_to_c(tags or {})
        self._call(lib.ls_stream_create, c_text(name, "stream name"), options(
            "ls_stream_options", shard_count=shard_count, retention_hours=retention_hours, mode=mode,
            record_bytes_max=record_bytes_max, compression=compression, retention_bytes=retention_bytes,
            tags=made if tags else None, tag_count=len(tags or {}), **limits))
        del keep
        return Stream(self, name)

    def stream(self, name: str) -> Stream:
        """Open a stream. Raises `NotFoundError` when there is none of that name."""
        return Stream(self, name)

    def delete_stream(self, name: str, *, consumers: bool = False) -> None:
        """Delete a stream with its records; `consumers`: also one that has registered consumers, and these with it."""
        self._call(lib.ls_stream_delete_with_consumers if consumers else lib.ls_stream_delete,
                   c_text(name, "stream name"))

    def streams(self, after: str = "") -> IteratorOf[str]:
        """The names of the store's streams, in byte order, from the first one behind `after`."""
        while True:
            out = ffi.new("ls_stream_list **")
            self._call(lib.ls_store_list_streams, c_text(after, "stream name"), 0, out)
            page = ffi.gc(out[0], lib.ls_stream_list_free)
            for index in range(lib.ls_stream_list_count(page)):
                after = ffi.string(lib.ls_stream_list_at(page, index)).decode()
                yield after
            if not lib.ls_stream_list_has_more(page):
                return

    def transaction(self) -> Transaction:
        """Open a transaction: puts and checkpoints that are done as one step or not at all."""
        return Transaction(self)

    def sync(self) -> None:
        """Make everything that was acknowledged before this call durable, in every mode and whoever put it."""
        self._call(lib.ls_store_sync)

    def maintain(self, timeout: Optional[float] = None) -> None:
        """Do the upkeep that is due: trimming, removing what killed processes left, keeping space in reserve."""
        def work(pointer: Any) -> None:
            for wait_ms in slices(timeout):
                status = lib.ls_store_maintain(pointer, wait_ms)
                if status != lib.LS_ERR_TIMEOUT:
                    break
            check(status)

        self._gate.run(None, work)

    def backup(self, directory: Union[str, "os.PathLike[str]"],
               progress: Optional[Callable[[int, int], bool]] = None) -> None:
        """Copy the store into a directory while it is in use. `progress` is called with (bytes done, bytes in all) as
        they are copied; when it answers False the copy ends with `CancelledError`, and what it raises ends it, too."""
        settings, told = options("ls_backup_options"), _Told(progress)
        handle = ffi.new_handle(told)
        settings.progress, settings.user = lib.lsi_py_on_progress, handle  # Also without one: Ctrl+C comes there.
        try:
            self._call(lib.ls_store_backup, c_path(directory, "directory"), settings)
        finally:
            if told.error is not None:
                raise told.error

    # ---- metrics ----

    def define_metric(self, name: str, type: MetricType, help: str, labels: Sequence[str] = (), *,
                      bounds: Optional[Sequence[float]] = None, series_max: int = 0) -> Metric:
        """Define a metric of the application, or find the one that was defined so. The name of a counter ends in
        `_total`, those of others do not; `help` is one sentence. `bounds`: of a histogram, rising; else 10 microseconds
        to 10 seconds. `series_max`: it has no more series, 1,000 unless given.

        Raises `InvalidArgumentError`, `ExistsError` when the name is another metric's."""
        return metrics.define(self, name, type, help, labels, bounds, series_max)

    def metrics(self) -> List[MetricSample]:
        """What everything is now: the store's metrics, which begin with `libstream_`, and the application's."""
        return metrics.snapshot(self)

    def metrics_text(self) -> str:
        """The same in Prometheus's text format 0.0.4."""
        return metrics.text(self)

    def write_metrics(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """The same text into a file, by a rename: whoever reads it sees the old text or the new one, whole."""
        metrics.write(self, path)

    def __repr__(self) -> str:
        return "<Store %r%s>" % (self._location, ", closed" if self.closed else "")


class _Told:
    """A function that C calls, and what it raised."""

    __slots__ = ("function", "error")

    def __init__(self, function: Any) -> None:
        self.function = function
        self.error: Optional[BaseException] = None


@ffi.def_extern()
def lsi_py_on_progress(user: Any, done: int, total: int) -> int:
    told = ffi.from_handle(user)
    try:
        is_over = told.function is not None and told.function(done, total) is False
        return int(lib.LS_ERR_CANCELLED if is_over else 0)
    except BaseException as error:  # Raised again where the copy was asked for.
        told.error = error
        return int(lib.LS_ERR_CANCELLED)


class _Asked:
    """A function that C calls for a store, out of any call of its or a thread of its own."""

    __slots__ = ("store", "function")

    def __init__(self, store: Store, function: Callable[..., Any]) -> None:
        self.store = weakref.ref(store)
        self.function = function

    def ask(self, *arguments: Any) -> Any:
        with asked_by(self.store()):
            return self.function(*arguments)


@ffi.def_extern(error=lib.LS_ERR_KEY)
def lsi_py_on_key(user: Any, key_id: Any, key: Any) -> int:
    try:
        given = ffi.from_handle(user).ask(ffi.string(key_id).decode())
        if not isinstance(given, (bytes, bytearray)) or len(given) != lib.LS_KEY_BYTES:
            raise TypeError("a key is bytes, %d of them: the function that gives keys answered %s" % (
                lib.LS_KEY_BYTES, "%d" % len(given) if isinstance(given, (bytes, bytearray)) else type(given).__name__))
        ffi.memmove(key, given, lib.LS_KEY_BYTES)
        return 0
    except BaseException as error:  # Why the call that needs the key fails.
        note_cause(lib.LS_ERR_KEY, error)
        return int(lib.LS_ERR_KEY)


@ffi.def_extern()
def lsi_py_on_log(user: Any, level: int, line: Any) -> None:
    try:
        ffi.from_handle(user).ask(LogLevel(level), ffi.string(line).decode("utf-8", "replace"))
    except BaseException:  # Of whatever kind: it must not leave the callback.
        _log.exception("the function that takes a store's log failed")


@atexit.register
def _close_all() -> None:
    """What is still open when the interpreter ends is closed while it can still wait for other threads."""
    ended_by, until = getattr(sys, "last_type", None), time.monotonic() + SOON
    for store in list(_open_stores):
        if ended_by is not None and issubclass(ended_by, KeyboardInterrupt):  # As a block that Ctrl+C ends.
            store._hurry(until)
        try:
            store.close()
        except Exception:  # Nobody is there to be told.
            pass
