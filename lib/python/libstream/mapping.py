"""Consumers: functions that get the batches of a mapping, as functions of AWS Lambda get those of an event source.

A mapping is kept with its stream under a name: where to begin, how records become batches, which of them are wanted,
what becomes of those that a function cannot work on. Any number of processes may run it; they share the stream's
shards.
Every record that is wanted is handled at least once; `mapping.h` has all that holds.
"""

from __future__ import annotations

import enum
import inspect
import json
import logging
import threading
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import (TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping as MappingOf, Optional, Sequence,
                    Tuple, Union)

from libstream._handle import Handle, Lent, refuse_asked
from libstream._native import ffi, lib
from libstream._waiting import refuse_coroutine, run_interruptibly, wait_for_all
from libstream.batch import Batch, batch_of
from libstream.errors import WrongStateError, check
from libstream.producer import Bytes, Key, put_options
from libstream.values import Position, PositionLike, c_text, options, position, put_in, utf8

if TYPE_CHECKING:
    from libstream.stream import Stream

_log = logging.getLogger("libstream")

_FLAGS = {
    "bisect": lib.LS_MAPPING_BISECT, "report_failures": lib.LS_MAPPING_REPORT_FAILURES,
    "discard_failed_only": lib.LS_MAPPING_DISCARD_FAILED_ONLY, "document_bytes": lib.LS_MAPPING_DOCUMENT_BYTES,
    "exactly_once": lib.LS_MAPPING_EXACTLY_ONCE, "deaggregate": lib.LS_MAPPING_DEAGGREGATE,
}
_NUMBERS = ("bytes_max", "records_max", "batching_window_ms", "lane_count", "retries_max", "record_age_s_max",
            "tumbling_window_s", "window_state_bytes_max", "handler_timeout_ms", "sync_interval_ms")
NO_RETRIES: int = lib.LS_MAPPING_NO_RETRIES
NO_TIMEOUT: int = lib.LS_MAPPING_NO_TIMEOUT


class Answer(enum.IntEnum):
    """What a function answers to a batch. None is the same as DONE; an exception the same as RETRY, and is logged. A
    number is taken for the answer that it is, so that True is RETRY: that is logged once in a run."""

    DONE = lib.LS_HANDLER_DONE  #: all records are finished, or with `Context.fail_at` those before it
    RETRY = lib.LS_HANDLER_RETRY  #: the batch has failed
    STOP = lib.LS_HANDLER_STOP  #: end the run; the batch comes again
    LATER = lib.LS_HANDLER_LATER  #: it could not begin; the batch comes again, and no retry is used up


@dataclass(frozen=True)
class Window:
    """The tumbling window of an invocation."""

    start_us: int
    end_us: int  #: the first microsecond behind it
    is_final: bool  #: the window is over
    is_terminated_early: bool  #: since its state has become too large
    state: bytes  #: what the last invocation set


class Context(Lent):
    """What a function knows besides its batch. It ends with the call: used later it raises `WrongStateError`. Threads
    of the function take turns with it."""

    __slots__ = ("_batch", "__weakref__")

    def __init__(self, pointer: Any, batch: Any) -> None:
        super().__init__(pointer)
        self._batch = batch

    @contextmanager
    def _show(self, batch: Batch) -> Iterator[Any]:
        with self._turn:
            self._get()
            yield self._batch

    @property
    def attempts(self) -> int:
        """How often this batch has failed before, also in a process that died of it."""
        return int(self._ask(lib.ls_handler_attempts))

    @property
    def is_late(self) -> bool:
        """Whether the function's time is over."""
        return bool(self._ask(lib.ls_handler_is_late))

    def fail_at(self, index: int) -> None:
        """Say that the records from this one on are not finished: of a mapping with `report_failures`."""
        self._ask(lib.ls_handler_fail_at, index)

    def put(self, index: int, stream: "Stream", partition_key: Key, data: Bytes,
            explicit_hash_key: Optional[int] = None) -> None:
        """Put a record that comes of record `index`, with the batch, of a mapping with `exactly_once`."""
        key = utf8(partition_key, "partition key") if isinstance(partition_key, str) else bytes(partition_key)
        memory = ffi.from_buffer(data)
        settings, _keep = put_options(None, 0, explicit_hash_key)
        check(stream._gate.run(None, lambda target: self._ask(
            lib.ls_handler_put, index, target, (ffi.from_buffer(key), len(key)), (memory, len(memory)), settings)))

    @property
    def window(self) -> Window:
        """The window that the batch belongs to; `WrongStateError` when the mapping has none."""
        window = options("ls_handler_window")
        with self._turn:
            check(lib.ls_handler_get_window(self._get(), window))
            state = ffi.buffer(window.state.data, window.state.size)[:] if window.state.size else b""
        return Window(window.start_us, window.end_us, bool(window.is_final), bool(window.is_terminated_early), state)

    def set_state(self, state: bytes) -> None:
        """Set what the next invocation of the window gets."""
        check(self._ask(lib.ls_handler_set_state, (ffi.from_buffer(state), len(state))))

    def event(self) -> Dict[str, Any]:
        """The batch as the event that Lambda hands to a function: `{"Records": [...]}`, data in base64."""
        out = ffi.new("ls_bytes *")
        with self._turn:
            check(lib.ls_handler_event_json(self._get(), out))
            text = ffi.buffer(out.data, out.size)[:]
        event: Dict[str, Any] = json.loads(text)
        return event

    def answer(self, document: Any) -> Answer:
        """Take what such a function returned for the answer: `batchItemFailures`, and `state` of a window."""
        text = b"" if document is None else json.dumps(document, allow_nan=False).encode()
        out = ffi.new("ls_handler_answer *")
        check(self._ask(lib.ls_handler_answer_json, (ffi.from_buffer(text), len(text)), out))
        return Answer(out[0])


class LambdaContext:
    """What a function of Lambda gets as its second argument, as far as there is such a thing here."""

    def __init__(self, name: str, context: Optional[Context] = None) -> None:
        self.function_name = name
        self.function_version = "$LATEST"
        self.invoked_function_arn = name
        self.memory_limit_in_mb = "0"
        self.aws_request_id = ""
        self.log_group_name = self.log_stream_name = ""
        self._context = context

    def get_remaining_time_in_millis(self) -> int:
        """0 when the function's time is over, else a large number: nobody is stopped in the middle."""
        return 0 if self._context is not None and self._context.is_late else 900_000


@dataclass(frozen=True)
class MappingInfo:
    """A mapping as it was at one moment. `settings` are those of `Stream.create_mapping`."""

    name: str
    id: int
    enabled: bool
    created_us: int
    modified_us: int
    settings: Dict[str, Any]
    last_result: int  #: 0: nothing was handled yet, 1: OK, 2: the function failed
    start: Position  #: where it began, or was moved to


Handler = Callable[..., Any]


class Mapping:
    """A mapping of a stream: `Stream.create_mapping` and `Stream.mapping` give it. It holds nothing open.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("orders")
    >>> with stream.producer() as producer:
    ...     _ = producer.put_many("customer-1", [b"tea", b"bread", b"honey"])
    >>> mapping = stream.create_mapping("printer", records_max=2)
    >>> @mapping.handler
    ... def print_them(batch, context):
    ...     print(context.attempts, [record.data for record in batch])
    >>> print_them.run(until_caught_up=True)
    0 [b'tea', b'bread']
    0 [b'honey']
    >>> store.close()
    """

    __slots__ = ("_stream", "_name", "_runs")

    def __init__(self, stream: "Stream", name: str) -> None:
        self._stream = stream
        self._name = name
        self._runs: List[_Run] = []

    @property
    def name(self) -> str:
        """The mapping's name."""
        return self._name

    @property
    def stream(self) -> "Stream":
        """The stream that it is of."""
        return self._stream

    def describe(self) -> MappingInfo:
        """Status and settings, with every default spelled out but for those whose default is none."""
        out = ffi.new("ls_mapping_description **")
        self._stream._call(lib.ls_mapping_describe, c_text(self._name, "mapping"), out)
        it = ffi.gc(out[0], lib.ls_mapping_description_free)
        info, given = options("ls_mapping_info"), options("ls_mapping_options")
        check(lib.ls_mapping_description_info(it, info))
        check(lib.ls_mapping_description_options(it, given))
        settings: Dict[str, Any] = {name: getattr(given, name) for name in _NUMBERS}
        settings.update((name, bool(given.flags & flag)) for name, flag in _FLAGS.items())
        settings["filters"] = [ffi.string(given.filters[i]).decode() for i in range(given.filter_count)]
        for name in ("failure_stream", "consumer"):
            text = getattr(given, name)
            settings[name] = None if text == ffi.NULL else ffi.string(text).decode()
        return MappingInfo(self._name, info.id, info.status == lib.LS_MAPPING_ENABLED, info.created_us,
                           info.modified_us, settings, lib.ls_mapping_description_last_result(it),
                           Position(info.start, 0, info.start_timestamp_us))

    def update(self, **settings: Any) -> None:
        """Change settings; those that are not named stay."""
        made, _keep = _settings_to_c({**self.describe().settings, **settings})
        self._stream._call(lib.ls_mapping_update, c_text(self._name, "mapping"), made)

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        self._stream._call(lib.ls_mapping_pause, c_text(self._name, "mapping"))

    def resume(self) -> None:
        """Go on where it was."""
        self._stream._call(lib.ls_mapping_resume, c_text(self._name, "mapping"))

    def seek(self, start: PositionLike) -> None:
        """Move it: "TRIM_HORIZON", "LATEST", or `Position.at_time`."""
        self._stream._call(lib.ls_mapping_seek, c_text(self._name, "mapping"), position(start)._to_c())

    def delete(self) -> None:
        """Delete it, and what is known of its progress."""
        self._stream._call(lib.ls_mapping_delete, c_text(self._name, "mapping"))

    def handler(self, function: Handler) -> "Consumer":
        """A decorator: the function gets (batch, context), or the batch alone when it takes one argument."""
        return Consumer(self, function, False)

    def lambda_handler(self, function: Handler) -> "Consumer":
        """A decorator: the function is one of AWS Lambda's, which gets (event, context); what it returns is taken as
        there."""
        return Consumer(self, function, True)

    def run(self, function: Handler, *, lambda_event: bool = False, until_caught_up: bool = False,
            failover_ms: int = 0, shards_max: int = 0,
            on_discard: Optional[Callable[[Batch, int, int], Optional[bool]]] = None) -> None:
        """Hand the mapping's batches to a function until `stop`, a function's `Answer.STOP`, Ctrl+C; or, with
        `until_caught_up`, until all that is there was handled.

        The function is called on threads of the library, for each lane of each shard one at a time, for different ones
        at once as far as the GIL lets them. With `lambda_event` a batch has no more bytes than Lambda's limit of 6 MiB
        for the event allows. What it raises is logged (`logging.getLogger("libstream")`) and fails the batch.
        `on_discard` is told (batch, reason, invocations) of records that are given up: reason 1 when retries are over,
        2 for age; when it answers False or raises it is asked again later. Ctrl+C is raised within 100 ms, also while a
        function runs: that goes on to its end on its thread, and closing the store waits for it.

        Raises `NotFoundError` when mapping or stream were deleted, and what reading raises.
        """
        refuse_coroutine(function, "the function of a mapping")
        run = _Run(self, _lambda(function, self._name) if lambda_event else _plain(function), on_discard)
        made = options("ls_mapping_run_options", failover_ms=failover_ms, shards_max=shards_max,
                       flags=(lib.LS_RUN_UNTIL_CAUGHT_UP if until_caught_up else 0) |
                       (lib.LS_RUN_DOCUMENT_BYTES if lambda_event else 0),
                       discard=None if on_discard is None else lib.lsi_py_on_discard)
        self._runs.append(run)

        def work() -> None:
            try:
                run.work(made)
            finally:
                try:
                    run.close()
                finally:
                    self._runs.remove(run)
                    run.ended.set()

        run_interruptibly(work, run.stop)

    def stop(self) -> None:
        """Let all runs of this object end, also from a function."""
        for run in list(self._runs):
            run.stop()

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until no run of this object is under way, whatever ends them: `stop`, or Ctrl+C, which waits for no
        function. `WaitTimeoutError` when that is not so within `timeout` seconds (None: no end)."""
        refuse_asked(self._stream, "a run of a mapping cannot be waited for")
        runs = list(self._runs)
        if getattr(_inside, "run", None) in runs:
            raise WrongStateError("a function waits for the run that it is in: stop lets it end")
        wait_for_all([run.ended for run in runs], timeout, "a run of %s %r" % ("mapping", self._name))

    def __repr__(self) -> str:
        return "<Mapping %r of stream %r>" % (self._name, self._stream.name)


class Consumer:
    """A function with its mapping, made by `Mapping.handler`, `Mapping.lambda_handler` or `Stream.on_batch`. Called, it
    is the function itself, so that tests can call it."""

    def __init__(self, mapping: Mapping, function: Handler, lambda_event: bool) -> None:
        self.mapping = mapping
        self.function = function
        self._lambda_event = lambda_event
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", "consumer")

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def run(self, **settings: Any) -> None:
        """As `Mapping.run`."""
        self.mapping.run(self.function, lambda_event=self._lambda_event, **settings)

    def stop(self) -> None:
        """As `Mapping.stop`."""
        self.mapping.stop()

    def wait(self, timeout: Optional[float] = None) -> None:
        """As `Mapping.wait`."""
        self.mapping.wait(timeout)


# ---- running ----

def _plain(function: Handler) -> Callable[[Batch, Context], Any]:
    try:
        takes = [p for p in inspect.signature(function).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    except ValueError:  # Of C, without a signature.
        return function
    if len(takes) == 1 and takes[0].kind != takes[0].VAR_POSITIONAL:
        return lambda batch, context: function(batch)
    return function


def _lambda(function: Handler, name: str) -> Callable[[Batch, Context], Any]:
    return lambda batch, context: context.answer(function(context.event(), LambdaContext(name, context)))


_inside = threading.local()  # .run: the run whose function this thread is in


class _Run(Handle):
    """One call of ls_mapping_run, and what its callbacks need."""

    __slots__ = ("_function", "_on_discard", "_name", "_is_told", "ended")

    _noun = "mapping"
    _has_thread = True
    _close_call = lib.ls_mapping_close

    def __init__(self, mapping: Mapping, function: Callable[[Batch, Context], Any],
                 on_discard: Optional[Callable[[Batch, int, int], Optional[bool]]]) -> None:
        out = ffi.new("ls_mapping **")
        self._own(mapping.stream, out, lib.ls_mapping_open, c_text(mapping.name, "mapping"), out)
        self._name = mapping.name
        self._is_told = False  # That its function answers something else than Answer.
        self.ended = threading.Event()  # And it is closed.
        self._function = function
        self._on_discard = on_discard

    def work(self, settings: Any) -> None:
        handle = ffi.new_handle(self)
        self._call(lib.ls_mapping_run, settings, lib.lsi_py_on_batch, handle)

    def stop(self) -> None:
        try:
            self._gate.run(None, lib.ls_mapping_stop)
        except WrongStateError:  # It is over.
            pass

    def _refuse_close(self) -> None:
        if getattr(_inside, "run", None) is self:
            raise WrongStateError("a store cannot be closed by a function that handles its records: answer Answer.STOP")
        super()._refuse_close()

    def _interrupt(self, pointer: Any) -> None:
        lib.ls_mapping_stop(pointer)


@ffi.def_extern(error=lib.LS_HANDLER_RETRY)
def lsi_py_on_batch(pointer: Any, context: Any, user: Any) -> int:
    run: _Run = ffi.from_handle(user)
    known = Context(context, pointer)
    _inside.run = run
    try:
        answer = run._function(batch_of(pointer, of=weakref.ref(known)), known)
        if answer is None:
            return int(Answer.DONE)
        if not isinstance(answer, Answer) and Answer(answer) != Answer.DONE and not run._is_told:
            run._is_told = True
            _log.warning("the function of mapping %r answers %r, which is taken for %s: DONE is None", run._name,
                         answer, Answer(answer))
        return int(Answer(answer))
    except BaseException:  # Of whatever kind: it must not leave the callback.
        _log.exception("the function of mapping %r failed", run._name)
        return int(Answer.RETRY)
    finally:
        _inside.run = None
        known._end()


@ffi.def_extern(error=1)
def lsi_py_on_discard(pointer: Any, reason: int, invoke_count: int, user: Any) -> int:
    run: _Run = ffi.from_handle(user)
    assert run._on_discard is not None
    _inside.run = run
    try:
        return int(run._on_discard(batch_of(pointer), reason, invoke_count) is False)
    except BaseException:
        _log.exception("the discard callback failed")
        return 1
    finally:
        _inside.run = None


# ---- settings ----

def _settings_to_c(settings: MappingOf[str, Any]) -> Tuple[Any, Any]:
    """An `ls_mapping_options *`, and what its texts live in."""
    made, keep, flags = options("ls_mapping_options"), [], 0
    for name, value in settings.items():
        if name in _FLAGS:
            flags |= _FLAGS[name] if value else 0
        elif name in _NUMBERS:
            put_in(made, name, value)
        elif name == "filters":
            texts = [ffi.new("char[]", c_text(f if isinstance(f, str) else json.dumps(f), "filter")) for f in value]
            patterns = ffi.new("const char *[]", texts)
            keep += [texts, patterns]
            made.filters, made.filter_count = patterns, len(texts)
        elif name in ("failure_stream", "consumer"):
            if value is not None:
                keep.append(ffi.new("char[]", c_text(value, name)))
                setattr(made, name, keep[-1])
        else:
            raise TypeError("%r is no setting of a mapping" % name)
    made.flags = flags
    return made, keep


def create(stream: "Stream", name: str, start: PositionLike, settings: MappingOf[str, Any]) -> Mapping:
    made, _keep = _settings_to_c(settings)
    stream._call(lib.ls_mapping_create, c_text(name, "mapping"), position(start)._to_c(), made)
    return Mapping(stream, name)


def names(stream: "Stream") -> List[str]:
    """The names of a stream's mappings, in order."""
    found: List[str] = []
    while True:
        out = ffi.new("ls_mapping_list **")
        stream._call(lib.ls_stream_list_mappings, found[-1].encode() if found else ffi.NULL, 0, out)
        page = ffi.gc(out[0], lib.ls_mapping_list_free)
        for index in range(lib.ls_mapping_list_count(page)):
            info = options("ls_mapping_info")
            check(lib.ls_mapping_list_at(page, index, info))
            found.append(ffi.string(info.name).decode())
        if not lib.ls_mapping_list_has_more(page):
            return found
