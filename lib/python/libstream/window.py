"""Windows over event time: records are gathered by a key and by a time of their own, and a result comes when no more of
them are expected. `window.h` has all that holds."""

from __future__ import annotations

import enum
import threading
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Tuple, Union

from libstream._handle import Handle, out_of_range
from libstream._native import ffi, lib
from libstream._waiting import run_interruptibly
from libstream.batch import Batch
from libstream.errors import WrongStateError, check
from libstream.values import Position, PositionLike, c_text, options, position, utf8

if TYPE_CHECKING:
    from libstream.stream import Stream

NEVER_IDLE: int = lib.LS_WINDOW_NEVER_IDLE
_inside = threading.local()  # .window: the one whose function this thread is in


class WindowKind(enum.IntEnum):
    """Which windows there are."""

    TUMBLING = lib.LS_WINDOW_TUMBLING  #: `size_ms` long, one after another
    SLIDING = lib.LS_WINDOW_SLIDING  #: `size_ms` long; one begins every `step_ms`
    CUMULATING = lib.LS_WINDOW_CUMULATING  #: as tumbling, with a result of what there is every `step_ms`
    SESSION = lib.LS_WINDOW_SESSION  #: until nothing has come for `gap_ms`


class WindowPane(enum.IntEnum):
    """Which of a window's results it is."""

    ON_TIME = lib.LS_WINDOW_ON_TIME  #: the first
    UPDATE = lib.LS_WINDOW_UPDATE  #: with what came since; it takes the earlier one's place
    EARLY = lib.LS_WINDOW_EARLY  #: flushed before its time


class LeftOver(enum.IntEnum):
    """Why a record is in no window."""

    LATE = lib.LS_WINDOW_LATE  #: all of its windows are gone
    NO_TIME = lib.LS_WINDOW_NO_TIME  #: it has no time, or its data is not JSON
    LONG_KEY = lib.LS_WINDOW_LONG_KEY


class WindowRecord(NamedTuple):
    """A record, as the functions of a window operator get it."""

    partition_key: str
    data: bytes
    shard: int
    seqno: int
    arrival_us: int


@dataclass(frozen=True)
class WindowResult:
    """What a window has: records from `start_ms` on and before `end_ms`."""

    pane: WindowPane
    key: str
    start_ms: int
    end_ms: int
    count: int  #: records
    value_count: int  #: those that have a number; this and the rest are 0 without `value`
    sum: float
    least: float
    greatest: float
    mean: float
    fold: Tuple[Any, ...] = ()  #: the numbers of the application's aggregate


@dataclass(frozen=True)
class WindowInfo:
    """What an operator has, and has done since it was opened."""

    shard_count: int
    watermark_ms: Optional[int]  #: None: there is none yet
    window_count: int
    state_bytes: int
    added_count: int
    late_count: int
    no_time_count: int
    between_count: int
    repeated_count: int
    result_count: int
    update_count: int
    cut_count: int
    stored_bytes: int


_COUNTS = ("window_count", "state_bytes", "added_count", "late_count", "no_time_count", "between_count",
           "repeated_count", "result_count", "update_count", "cut_count", "stored_bytes")
Time = Union[None, str, Callable[[WindowRecord], Optional[int]]]
Key = Union[None, str, Callable[[WindowRecord], Optional[str]]]
Value = Union[None, str, Callable[[WindowRecord], Optional[float]]]


@dataclass(frozen=True)
class Fold:
    """An aggregate of the application's own: `count` numbers for each window, of a `format` as `array.array` has them,
    which begin as 0. `add` gets (numbers, `WindowRecord`) and changes the numbers in place; of sessions, `merge` gets
    (numbers, other numbers) and adds these to those. `init` gets the numbers of a window that begins. They are stored
    as they are, and come as `WindowResult.fold`.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("clicks")
    >>> stream.producer().put_many("k", [b"three", b"of", b"these"]).failed
    0
    >>> def add(numbers, record):
    ...     numbers[0] += len(record.data)
    ...     numbers[1] = max(numbers[1], len(record.data))
    >>> with stream.windows(lambda result: print(result.fold), size_ms=10**15, fold=Fold(add, count=2)) as windows:
    ...     windows.run(until_caught_up=True)
    ...     windows.finish()
    (12, 5)
    >>> store.close()
    """

    add: Callable[["array[Any]", WindowRecord], Any]
    merge: Optional[Callable[["array[Any]", "array[Any]"], Any]] = None
    init: Optional[Callable[["array[Any]"], Any]] = None
    format: str = "q"
    count: int = 1


class WindowOperator(Handle):
    """Gathers a stream's records in windows: `Stream.windows` opens it. `run` reads all shards; or `add` is given
    batches, of iterators or in a mapping's function. Results go to its function, on the thread that calls. Under a name
    it keeps what it has gathered (`store`, and `run` by itself), and goes on there: at least once, and key, start and
    end name a result.

    What one of its functions raises is raised by the call; the operator can only be closed then, and under a name
    another one goes on from what was stored.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("clicks")
    >>> rows = [b'{"at": 1000, "user": "a", "n": 2}', b'{"at": 2500, "user": "a", "n": 3}', b'{"at": 61000, "n": 1}']
    >>> stream.producer().put_many("k", rows).failed
    0
    >>> with stream.windows(lambda result: print(result.key, result.start_ms, result.count, result.sum),
    ...                     size_ms=60_000, time="at", key="user", value="n") as windows:
    ...     windows.run(until_caught_up=True)
    ...     windows.finish()
    a 0 2 5.0
     60000 1 1.0
    >>> store.close()
    """

    __slots__ = ("_told", "_self", "_turn", "_runner")

    _noun = "window operator"
    _close_call = lib.ls_window_close

    def __init__(self, stream: "Stream", name: Optional[str], functions: "_Functions", settings: Any) -> None:
        self._told = functions
        self._self = ffi.new_handle(functions)
        self._runner: Optional[int] = None  # The main thread while it waits in `run`.
        self._turn = threading.RLock()
        settings.user = self._self
        if functions.fold_to_c is not None:
            functions.fold_to_c.user = self._self
        out = ffi.new("ls_window **")
        self._own(stream, out, lib.ls_window_open, ffi.NULL if name is None else c_text(name, "window operator"),
                  settings, out)
        self._told.pointer = out[0]

    def _do(self, function: Callable[..., int], *arguments: Any) -> None:
        if getattr(_inside, "window", None) is self._told:
            raise WrongStateError("functions of a window operator call nothing of it but stop")
        if self._runner == threading.get_ident():
            raise WrongStateError("this thread waits in `run` of the window operator: a signal's handler calls nothing "
                                  "of it but stop")

        def do(pointer: Any) -> int:
            if self._told.error is not None:
                raise WrongStateError("a function of the window operator has failed: it can only be closed")
            return function(pointer, *arguments)

        try:
            status = self._gate.run(self._turn, do)
        except OverflowError as error:
            raise out_of_range(error) from None
        if self._told.error is not None:
            raise self._told.error
        check(status)

    def run(self, position: PositionLike = "TRIM_HORIZON", *, until_caught_up: bool = False) -> None:
        """Read all shards, from `position` where it has not begun, until `stop` or Ctrl+C; or with `until_caught_up`
        until all shards were read up to their tips. Under a name all is stored then."""
        start = _start(position)
        settings = options("ls_window_run_options", flags=lib.LS_WINDOW_UNTIL_CAUGHT_UP if until_caught_up else 0,
                           position=start)
        if threading.current_thread() is not threading.main_thread():
            self._do(lib.ls_window_run, settings)
            return
        before, self._runner = self._runner, threading.get_ident()
        try:
            run_interruptibly(lambda: self._do(lib.ls_window_run, settings), self.stop)
        finally:
            self._runner = before

    def stop(self) -> None:
        """Let `run` end, the one that is under way or the next; also from a function."""
        self._gate.run(None, lib.ls_window_stop)

    def add_shard(self, shard: int) -> None:
        """Tell of a shard whose batches will come: it holds results back from now on."""
        self._do(lib.ls_window_add_shard, shard)

    def add(self, batch: Batch) -> None:
        """Add the records of a batch: the one that an iterator read last, or that a mapping's function was given. What
        was counted before is passed over, so a batch may come again."""
        with batch._live() as pointer:
            self._do(lib.ls_window_add, pointer)

    def tip(self, shard: int) -> None:
        """Say that a shard's reader has found nothing more: when that is so for `idle_timeout_ms`, it is idle."""
        self._do(lib.ls_window_tip, shard)

    def position(self, shard: int) -> Position:
        """Where to read a shard on: behind what was counted of it."""
        out = ffi.new("ls_position *")
        self._do(lib.ls_window_position, shard, out)
        return Position(out.kind, out.seqno, out.timestamp_us, out.sub_seqno)

    def store(self) -> None:
        """Store what it has gathered, under its name: in one step, durable when it returns. Raises `LeaseLostError`
        when another one has taken the name."""
        self._do(lib.ls_window_store)

    def finish(self) -> None:
        """Nothing comes any more: all windows fire, and whatever is added later is late."""
        self._do(lib.ls_window_finish)

    def flush(self) -> None:
        """Fire all windows that have not fired, `WindowPane.EARLY`, and forget them."""
        self._do(lib.ls_window_flush)

    def describe(self) -> WindowInfo:
        """What it has, and has done."""
        info = options("ls_window_info")
        self._do(lib.ls_window_describe, info)
        none = info.watermark_ms == -(1 << 63)
        return WindowInfo(info.shard_count, None if none else info.watermark_ms,
                          *(getattr(info, name) for name in _COUNTS))

    def close(self) -> None:
        """Close it. Nothing is stored; what is stored stays."""
        super().close()

    def _refuse_close(self) -> None:
        if getattr(_inside, "window", None) is self._told:
            raise WrongStateError("a window operator cannot be closed by a function of its own: use stop")
        super()._refuse_close()

    def _interrupt(self, pointer: Any) -> None:
        lib.ls_window_stop(pointer)


def _start(given: PositionLike) -> Any:
    return position(given)._to_c()


# ---- functions ----

class _Functions:
    """What C calls, and what was raised by it."""

    def __init__(self, result: Callable[[WindowResult], Any],
                 left_over: Optional[Callable[[WindowRecord, LeftOver, int], Any]]) -> None:
        self.result, self.left_over = result, left_over
        self.time: Any = None
        self.key: Any = None
        self.value: Any = None
        self.key_memory: Any = None  # What the last key lies in, until the next call.
        self.fold: Any = None
        self.fold_to_c: Any = None
        self.pointer: Any = ffi.NULL  # The operator's, that a run of it ends when something was raised.
        self.error: Optional[BaseException] = None

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function answers; None when it raises, or has raised before."""
        if self.error is not None:
            return None
        before = getattr(_inside, "window", None)
        _inside.window = self
        try:
            return function(*arguments)
        except BaseException as error:  # Raised again by the call that this is in.
            self.error = error
            lib.ls_window_stop(self.pointer)
            return None
        finally:
            _inside.window = before


def _record(it: Any) -> WindowRecord:
    return WindowRecord(ffi.buffer(it.partition_key.data, it.partition_key.size)[:].decode(),
                        ffi.buffer(it.data.data, it.data.size)[:] if it.data.size else b"", it.shard, it.seqno,
                        it.arrival_us)


@ffi.def_extern()
def lsi_py_window_time(record: Any, out: Any, user: Any) -> int:
    functions: _Functions = ffi.from_handle(user)

    def time() -> Any:
        found = functions.time(_record(record))
        out[0] = 0 if found is None else int(found)  # Within, so that what is no time is raised.
        return found

    return int(functions.call(time) is not None)


@ffi.def_extern()
def lsi_py_window_key(record: Any, out: Any, user: Any) -> int:
    functions: _Functions = ffi.from_handle(user)

    def key() -> Any:
        found = functions.key(_record(record))
        if found is not None and not isinstance(found, str):
            raise TypeError("a window's key is str, not %s" % type(found).__name__)
        return None if found is None else utf8(found, "key")

    found = functions.call(key)
    if found is None:
        return 0
    functions.key_memory = ffi.from_buffer(found)
    out.data, out.size = functions.key_memory, len(found)
    return 1


@ffi.def_extern()
def lsi_py_window_value(record: Any, out: Any, user: Any) -> int:
    functions: _Functions = ffi.from_handle(user)

    def value() -> Any:
        found = functions.value(_record(record))
        out[0] = 0.0 if found is None else float(found)
        return found

    return int(functions.call(value) is not None)


def _numbers(fold: Fold, at: Any) -> "array[Any]":
    """A copy: what a function keeps of it must not lie in the library's memory."""
    numbers: "array[Any]" = array(fold.format)
    numbers.frombytes(ffi.buffer(at, fold.count * numbers.itemsize)[:])
    return numbers


def _change(functions: _Functions, function: Any, at: Any, *arguments: Any) -> None:
    """Let a function change the numbers that are there."""
    if function is None:
        return
    fold: Fold = functions.fold
    numbers = _numbers(fold, at)

    def change() -> None:
        function(numbers, *arguments)
        if len(numbers) != fold.count:
            raise ValueError("an aggregate of %d numbers has %d now" % (fold.count, len(numbers)))

    functions.call(change)
    if functions.error is None:
        ffi.memmove(at, numbers, fold.count * numbers.itemsize)


@ffi.def_extern()
def lsi_py_fold_init(at: Any, user: Any) -> None:
    functions: _Functions = ffi.from_handle(user)
    ffi.memmove(at, bytes(functions.fold_to_c.sum_bytes), functions.fold_to_c.sum_bytes)
    _change(functions, functions.fold.init, at)


@ffi.def_extern()
def lsi_py_fold_add(at: Any, record: Any, user: Any) -> None:
    functions: _Functions = ffi.from_handle(user)
    _change(functions, functions.fold.add, at, _record(record))


@ffi.def_extern()
def lsi_py_fold_merge(at: Any, other: Any, user: Any) -> None:
    functions: _Functions = ffi.from_handle(user)
    _change(functions, functions.fold.merge, at, _numbers(functions.fold, other))


@ffi.def_extern(error=lib.LS_WINDOW_STOP)
def lsi_py_on_window(it: Any, user: Any) -> int:
    functions: _Functions = ffi.from_handle(user)
    key = ffi.buffer(it.key.data, it.key.size)[:].decode("utf-8", "replace") if it.key.size else ""
    functions.call(functions.result, WindowResult(
        WindowPane(it.pane), key, it.start_ms, it.end_ms, it.count, it.value_count, it.sum, it.least, it.greatest,
        it.mean, () if functions.fold is None else tuple(_numbers(functions.fold, it.fold))))
    return int(lib.LS_WINDOW_GO_ON if functions.error is None else lib.LS_WINDOW_STOP)


@ffi.def_extern()
def lsi_py_on_left_over(record: Any, reason: int, time_ms: int, user: Any) -> None:
    functions: _Functions = ffi.from_handle(user)
    assert functions.left_over is not None
    functions.call(functions.left_over, _record(record), LeftOver(reason), time_ms)


def open_operator(stream: "Stream", on_result: Callable[[WindowResult], Any], name: Optional[str], kind: WindowKind,
                  time: Time, key: Key, value: Value,
                  on_left_over: Optional[Callable[[WindowRecord, LeftOver, int], Any]], fold: Optional[Fold],
                  flags: int, **numbers: int) -> WindowOperator:
    """An operator, of fields or functions."""
    functions, keep = _Functions(on_result, on_left_over), []
    made = options("ls_window_options", flags=flags, result=lib.lsi_py_on_window, **numbers)
    made.kind = kind
    for what, given, called in (("time", time, lib.lsi_py_window_time), ("key", key, lib.lsi_py_window_key),
                                ("value", value, lib.lsi_py_window_value)):
        if isinstance(given, str):
            keep.append(ffi.new("char[]", c_text(given, what)))
            setattr(made, what + "_field", keep[-1])
        elif given is not None:
            setattr(functions, what, given)
            setattr(made, what + "_of", called)
    if fold is not None:
        if kind == WindowKind.SESSION and fold.merge is None:
            raise ValueError("an aggregate of sessions has a merge")
        functions.fold, functions.fold_to_c = fold, options(
            "ls_window_fold", sum_bytes=fold.count * array(fold.format).itemsize, init=lib.lsi_py_fold_init,
            add=lib.lsi_py_fold_add, merge=lib.lsi_py_fold_merge)
        made.fold = functions.fold_to_c
    if on_left_over is not None:
        made.left_over = lib.lsi_py_on_left_over
    return WindowOperator(stream, name, functions, made)
