"""Deliveries: what is put to a stream becomes files, or objects of S3, as Amazon Data Firehose makes them; through a
function that changes records, if there is one. `delivery.h` has all that holds."""

from __future__ import annotations

import enum
import json
import logging
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping as MappingOf, Optional, Tuple

from libstream._handle import Handle, Lent, refuse_asked
from libstream._native import ffi, lib
from libstream._waiting import refuse_coroutine, run_interruptibly, wait_for_all
from libstream.batch import Batch, batch_of
from libstream.errors import WrongStateError, check
from libstream.mapping import LambdaContext
from libstream.values import Position, PositionLike, c_text, milliseconds, options, position, put_in, utf8

if TYPE_CHECKING:
    from libstream.stream import Stream

_log = logging.getLogger("libstream")

AT_ONCE: int = lib.LS_DELIVERY_AT_ONCE
_FLAGS = {"to_callback": lib.LS_DELIVERY_TO_CALLBACK, "transform": lib.LS_DELIVERY_TRANSFORM,
          "partition": lib.LS_DELIVERY_PARTITION, "backup": lib.LS_DELIVERY_BACKUP}
_NUMBERS = ("buffer_bytes", "interval_ms", "compression", "transform_retries_max", "transform_bytes_max",
            "transform_records_max", "partitions_max", "backup_buffer_bytes", "backup_interval_ms")
_TEXTS = ("prefix", "error_prefix", "backup_prefix", "extension", "delimiter", "directory", "s3_bucket", "s3_endpoint",
          "s3_region", "split")


class Transform(Lent):
    """What a function is asked about: what becomes of each record of `batch`. Each is kept, replaced, dropped or failed
    once, in any order; one of which nothing is said has failed. It ends with the call. Threads of the function take
    turns with it."""

    __slots__ = ("batch",)

    _noun = "transform"

    batch: Batch  #: the records

    def __init__(self, pointer: Any) -> None:
        super().__init__(pointer)
        self.batch = batch_of(pointer, lib.lsi_py_page_fill_transform)

    @property
    def attempts(self) -> int:
        """How often these records were tried before."""
        return int(self._ask(lib.ls_transform_attempts))

    @property
    def is_late(self) -> bool:
        """Whether its time is over: the call has failed, whatever it answers."""
        return bool(self._ask(lib.ls_transform_is_late))

    def keep(self, index: int) -> None:
        """The record is delivered as it is."""
        check(self._ask(lib.ls_transform_keep, index))

    def replace(self, index: int, data: bytes) -> None:
        """Something else is delivered in its place."""
        check(self._ask(lib.ls_transform_replace, index, (ffi.from_buffer(data), len(data))))

    def drop(self, index: int) -> None:
        """Nothing is delivered for it."""
        check(self._ask(lib.ls_transform_drop, index))

    def fail(self, index: int, reason: str = "") -> None:
        """It goes to the error output, as it was put."""
        check(self._ask(lib.ls_transform_fail, index, c_text(reason, "reason") if reason else ffi.NULL))

    def set_key(self, index: int, key: str, value: str) -> None:
        """Give it a partition key, for `!{partitionKeyFromLambda:KEY}`."""
        text = utf8(value, "key's value")
        check(self._ask(lib.ls_transform_set_key, index, c_text(key, "key"), (ffi.from_buffer(text), len(text))))

    def event(self) -> Dict[str, Any]:
        """The batch as the event that Firehose hands to a function: `{"records": [...]}`, data in base64."""
        out = ffi.new("ls_bytes *")
        with self._turn:
            check(lib.ls_transform_event_json(self._get(), out))
            text = ffi.buffer(out.data, out.size)[:]
        event: Dict[str, Any] = json.loads(text)
        return event

    def answer(self, document: Any) -> None:
        """Take what such a function returned for the answer. One that breaks a rule of the service's fails all records,
        and they are not tried again."""
        text = json.dumps(document).encode()
        check(self._ask(lib.ls_transform_answer_json, (ffi.from_buffer(text), len(text)),
                        ffi.new("ls_transform_answer *")))


class DeliveryCompression(enum.IntEnum):
    """What objects are compressed with."""

    NONE = lib.LS_DELIVERY_UNCOMPRESSED
    GZIP = lib.LS_DELIVERY_GZIP
    ZSTD = lib.LS_DELIVERY_ZSTD


@dataclass(frozen=True)
class DeliveryObject:
    """An object that is given to a function, of a delivery with `to_callback`."""

    kind: int  #: 1: data, 2: of the error output, 3: of the source's backup
    name: str
    content: bytes
    record_count: int
    shard: int
    first_seqno: int
    last_seqno: int


@dataclass(frozen=True)
class DeliveryInfo:
    """A delivery as it was at one moment. `settings` are those of `Stream.create_delivery`."""

    name: str
    id: int
    version: int  #: from 1; each update adds 1
    created_us: int
    modified_us: int
    settings: Dict[str, Any]
    start: Position  #: where it began


class Delivery:
    """A delivery of a stream: `Stream.create_delivery` and `Stream.delivery` give it. It holds nothing open.

    >>> import os, tempfile
    >>> folder, store = tempfile.TemporaryDirectory(), Store("memory:")
    >>> stream = store.create_stream("clicks")
    >>> delivery = stream.create_delivery("files", directory=folder.name + "/out", delimiter="\\n")
    >>> stream.producer().put_many("k", [b"a", b"b"]).failed
    0
    >>> delivery.run(until_caught_up=True)
    >>> [open(os.path.join(root, name)).read() for root, _, names in os.walk(folder.name) for name in names]
    ['a\\nb\\n']
    >>> store.close()
    """

    __slots__ = ("_stream", "_name", "_runs")

    def __init__(self, stream: "Stream", name: str) -> None:
        self._stream = stream
        self._name = name
        self._runs: List[_Run] = []

    @property
    def name(self) -> str:
        """The delivery's name."""
        return self._name

    def describe(self) -> DeliveryInfo:
        """Version and settings, with the defaults that were chosen."""
        out = ffi.new("ls_delivery_description **")
        self._stream._call(lib.ls_delivery_describe, c_text(self._name, "delivery"), out)
        it = ffi.gc(out[0], lib.ls_delivery_description_free)
        info, given = options("ls_delivery_info"), options("ls_delivery_options")
        check(lib.ls_delivery_description_info(it, info))
        check(lib.ls_delivery_description_options(it, given))
        settings: Dict[str, Any] = {name: getattr(given, name) for name in _NUMBERS}
        settings.update((name, bool(given.flags & flag)) for name, flag in _FLAGS.items())
        settings.update((name, _text(getattr(given, name))) for name in _TEXTS)
        settings["partition_keys"] = {_text(given.partition_keys[i]): _text(given.partition_queries[i])
                                      for i in range(given.partition_key_count)}
        return DeliveryInfo(self._name, info.id, info.version, info.created_us, info.modified_us, settings,
                            Position(info.start, 0, info.start_timestamp_us))

    def update(self, version: int = lib.LS_DELIVERY_ANY_VERSION, **settings: Any) -> None:
        """Change settings; those that are not named stay. `version`: refuse (`WrongStateError`) if it has another."""
        made, _keep = _settings_to_c({**self.describe().settings, **settings})
        self._stream._call(lib.ls_delivery_update, c_text(self._name, "delivery"), version, made)

    def delete(self) -> None:
        """Delete it, and what is known of its progress. What it has delivered stays."""
        self._stream._call(lib.ls_delivery_delete, c_text(self._name, "delivery"))

    def run(self, *, transform: Optional[Callable[[Transform], Any]] = None,
            lambda_transform: Optional[Callable[[Dict[str, Any], LambdaContext], Any]] = None,
            deliver: Optional[Callable[[DeliveryObject], Any]] = None, until_caught_up: bool = False,
            failover_ms: int = 0, shards_max: int = 0, memory_bytes_max: int = 0,
            give_up: Optional[float] = None, transform_timeout: Optional[float] = None) -> None:
        """Deliver until `stop`, Ctrl+C, or with `until_caught_up` until all that is there was delivered.

        `transform` says of each record what becomes of it; `lambda_transform` is one of Firehose's functions: it gets
        `{"records": [{"recordId", "data", ...}]}` and answers with the same ids. What they raise is logged and fails
        the call, which is made again, `transform_retries_max` times; an answer that breaks a rule is not asked for
        again. `deliver` takes objects of a delivery with
        `to_callback`; what it raises is logged, and the object given again. `give_up`: when the destination has failed
        for so many seconds the run ends with its error. `transform_timeout`: a transform that needs more seconds has
        failed (`Transform.is_late`); 300. Ctrl+C is as in `Mapping.run`."""
        for given, what in ((transform, "transform"), (lambda_transform, "lambda_transform"), (deliver, "deliver")):
            refuse_coroutine(given, what)
        function = _firehose(lambda_transform, self._stream, self._name) if lambda_transform is not None else transform
        run = _Run(self._stream, self._name, function, deliver)
        made = options(
            "ls_delivery_run_options", failover_ms=failover_ms, shards_max=shards_max,
            memory_bytes_max=memory_bytes_max,
            give_up_ms=None if give_up in (None, math.inf) else milliseconds(give_up),
            transform_timeout_ms=None if transform_timeout is None else milliseconds(transform_timeout),
            flags=lib.LS_DELIVERY_UNTIL_CAUGHT_UP if until_caught_up else 0,
            transform=None if function is None else lib.lsi_py_on_transform,
            deliver=None if deliver is None else lib.lsi_py_on_object)
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
        """Let all runs of this object end, also from a function; what was not delivered comes in the next."""
        for run in list(self._runs):
            run.stop()

    def wait(self, timeout: Optional[float] = None) -> None:
        """Wait until no run of this object is under way, whatever ends them: `stop`, or Ctrl+C, which waits for no
        function. `WaitTimeoutError` when that is not so within `timeout` seconds (None: no end)."""
        refuse_asked(self._stream, "a run of a delivery cannot be waited for")
        runs = list(self._runs)
        if getattr(_inside, "run", None) in runs:
            raise WrongStateError("a function waits for the run that it is in: stop lets it end")
        wait_for_all([run.ended for run in runs], timeout, "a run of %s %r" % ("delivery", self._name))

    def __repr__(self) -> str:
        return "<Delivery %r of stream %r>" % (self._name, self._stream.name)


# ---- Firehose's functions ----

def _firehose(function: Callable[[Dict[str, Any], LambdaContext], Any], stream: "Stream",
              name: str) -> Callable[[Transform], None]:
    def transform(asked: Transform) -> None:
        event = asked.event()
        event.update(deliveryStreamArn=name, sourceKinesisStreamArn=stream.name, region="")
        asked.answer(function(event, LambdaContext(name)))

    return transform


# ---- running ----

_inside = threading.local()  # .run: the run whose function this thread is in


class _Run(Handle):
    """One call of ls_delivery_run, and what its callbacks need."""

    __slots__ = ("_name", "_transform", "_deliver", "ended")

    _noun = "delivery"
    _has_thread = True
    _close_call = lib.ls_delivery_close

    def __init__(self, stream: "Stream", name: str, transform: Optional[Callable[[Transform], Any]],
                 deliver: Optional[Callable[[DeliveryObject], Any]]) -> None:
        out = ffi.new("ls_delivery **")
        self._own(stream, out, lib.ls_delivery_open, c_text(name, "delivery"), out)
        self._name, self._transform, self._deliver = name, transform, deliver
        self.ended = threading.Event()  # And it is closed.

    def work(self, settings: Any) -> None:
        handle = ffi.new_handle(self)
        settings.transform_user = settings.deliver_user = handle
        self._call(lib.ls_delivery_run, settings)

    def stop(self) -> None:
        try:
            self._gate.run(None, lib.ls_delivery_stop)
        except WrongStateError:  # It is over.
            pass

    def _refuse_close(self) -> None:
        if getattr(_inside, "run", None) is self:
            raise WrongStateError("a store cannot be closed by a function that its delivery calls: use stop")
        super()._refuse_close()

    def _interrupt(self, pointer: Any) -> None:
        lib.ls_delivery_stop(pointer)


@ffi.def_extern(error=lib.LS_TRANSFORM_RETRY)
def lsi_py_on_transform(pointer: Any, user: Any) -> int:
    run: _Run = ffi.from_handle(user)
    assert run._transform is not None
    _inside.run = run
    asked = None
    try:
        asked = Transform(pointer)
        run._transform(asked)
        return int(lib.LS_TRANSFORM_DONE)
    except BaseException:  # Of whatever kind: it must not leave the callback.
        _log.exception("the transform of delivery %r failed", run._name)
        return int(lib.LS_TRANSFORM_RETRY)
    finally:
        _inside.run = None
        if asked is not None:
            asked._end()


@ffi.def_extern(error=lib.LS_ERR_IO)
def lsi_py_on_object(given: Any, user: Any) -> int:
    run: _Run = ffi.from_handle(user)
    assert run._deliver is not None
    _inside.run = run
    try:
        content = ffi.buffer(given.content.data, given.content.size)[:] if given.content.size else b""
        run._deliver(DeliveryObject(given.kind, ffi.string(given.name).decode(), content, given.record_count,
                                    given.shard, given.first_seqno, given.last_seqno))
        return 0
    except BaseException:
        _log.exception("the function that takes objects of delivery %r failed", run._name)
        return int(lib.LS_ERR_IO)
    finally:
        _inside.run = None


# ---- settings ----

def _text(pointer: Any) -> Optional[str]:
    return None if pointer == ffi.NULL else str(ffi.string(pointer).decode())


def _settings_to_c(settings: MappingOf[str, Any]) -> Tuple[Any, Any]:
    """An `ls_delivery_options *`, and what its texts live in."""
    made, keep, flags = options("ls_delivery_options"), [], 0
    for name, value in settings.items():
        if name in _FLAGS:
            flags |= _FLAGS[name] if value else 0
        elif name in _NUMBERS:
            put_in(made, name, value)
        elif name in _TEXTS:
            if value is not None:
                keep.append(ffi.new("char[]", c_text(str(value), name)))
                setattr(made, name, keep[-1])
        elif name == "partition_keys":
            for field, texts in (("partition_keys", value.keys()), ("partition_queries", value.values())):
                pointers = [ffi.new("char[]", c_text(text, name)) for text in texts]
                keep += pointers + [ffi.new("const char *[]", pointers)]
                setattr(made, field, keep[-1])
            made.partition_key_count = len(value)
        else:
            raise TypeError("%r is no setting of a delivery" % name)
    made.flags = flags
    return made, keep


def create(stream: "Stream", name: str, start: PositionLike, settings: MappingOf[str, Any]) -> Delivery:
    made, _keep = _settings_to_c(settings)
    stream._call(lib.ls_delivery_create, c_text(name, "delivery"), position(start)._to_c(), made)
    return Delivery(stream, name)


def names(stream: "Stream") -> List[str]:
    """The names of a stream's deliveries, in order."""
    found: List[str] = []
    while True:
        out = ffi.new("ls_delivery_list **")
        stream._call(lib.ls_stream_list_deliveries, found[-1].encode() if found else ffi.NULL, 0, out)
        page = ffi.gc(out[0], lib.ls_delivery_list_free)
        for index in range(lib.ls_delivery_list_count(page)):
            info = options("ls_delivery_info")
            check(lib.ls_delivery_list_at(page, index, info))
            found.append(ffi.string(info.name).decode())
        if not lib.ls_delivery_list_has_more(page):
            return found
