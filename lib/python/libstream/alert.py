"""Alerts: rules on a field of records, or on a metric, that call back when something is amiss. A rule is kept with its
stream under a name; `alert.h` has all that holds."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping as MappingOf, Optional, Tuple

from libstream._handle import Handle
from libstream._native import ffi, lib
from libstream.batch import Batch
from libstream.errors import check
from libstream.values import RecordId, c_text, options, put_in

if TYPE_CHECKING:
    from libstream.stream import Stream

_TEXTS = ("field", "metric", "text")
_NUMBERS = ("threshold", "count_min", "window_ms", "cooldown_ms", "observed_min")


class Comparison(enum.IntEnum):
    """How what is looked at compares with the threshold when it passes."""

    GREATER = lib.LS_ALERT_GREATER
    GREATER_OR_EQUAL = lib.LS_ALERT_GREATER_OR_EQUAL
    LESS = lib.LS_ALERT_LESS
    LESS_OR_EQUAL = lib.LS_ALERT_LESS_OR_EQUAL
    EQUAL = lib.LS_ALERT_EQUAL  #: the number, or `text`
    NOT_EQUAL = lib.LS_ALERT_NOT_EQUAL  #: the field is there, and is something else


@dataclass(frozen=True)
class AlertInfo:
    """A rule as it was at one moment. `settings` are those of `Stream.create_alert`."""

    name: str
    cannot_fire: bool  #: `observed_min` were looked at, and none has passed
    created_us: int
    modified_us: int  #: all that follows is since then
    observed_count: int  #: records, as often as they were shown, or looks
    value_count: int  #: those that had the field, or the metric
    passed_count: int
    fired_count: int
    least: float
    greatest: float
    last_fired_us: int  #: 0: it has not fired
    settings: Dict[str, Any]


@dataclass(frozen=True)
class Alert:
    """What a function is told."""

    name: str  #: the rule's
    stream: str
    cannot_fire: bool  #: it cannot fire on what was observed; what is of a window or record is 0 then
    value: float  #: of the record or look that made it fire; 0 when it is no number
    count: int  #: how many have passed in the window so far
    window_start_us: int
    window_end_us: int
    at_us: int  #: when the record arrived, or the look was taken
    first: Optional[RecordId]  #: the first record that passed in the window; None of a metric
    record: Optional[RecordId]  #: the one that made it fire
    observed_count: int
    value_count: int
    least: float
    greatest: float


class Alerts(Handle):
    """Evaluates the rules of a stream: `Stream.watch` opens it. Its function is called on the thread that calls
    `observe` or `check`. When it raises, that is raised there, and the same is told again when the batch is shown
    again, or in the next look.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("cars")
    >>> stream.create_alert("fast", Comparison.GREATER, 130, field="speed")
    >>> stream.producer().put_many("k", [b'{"speed": 120}', b'{"speed": 150}']).failed
    0
    >>> with stream.watch(lambda alert: print(alert.name, alert.value)) as alerts:
    ...     for batch in stream.iterator().batches():
    ...         alerts.observe(batch)
    fast 150.0
    >>> store.close()
    """

    __slots__ = ("_told", "_self")

    _noun = "alerts"
    _close_call = lib.ls_alerts_close

    def __init__(self, stream: "Stream", function: Callable[[Alert], Any]) -> None:
        self._told = _Told(function)
        self._self = ffi.new_handle(self._told)
        out = ffi.new("ls_alerts **")
        self._own(stream, out, lib.ls_alerts_open, lib.lsi_py_on_alert, self._self, out)

    def observe(self, batch: Batch) -> None:
        """Evaluate the rules on records with a batch: the one that an iterator read last, or that a mapping's function
        was given. Batches of a shard are shown in order; what has passed is durable when it returns."""
        with batch._live() as pointer:
            self._evaluate(lib.ls_alerts_observe, pointer)

    def check(self) -> None:
        """Take a look: evaluate the rules on metrics, and store what was noted of records."""
        self._evaluate(lib.ls_alerts_check)

    def _evaluate(self, function: Callable[..., int], *arguments: Any) -> None:
        status = self._gate.run(None, function, *arguments)
        if status == lib.LS_ERR_CANCELLED and self._told.errors:
            raise self._told.errors.pop()
        check(status)


class _Told:
    """A function that C calls, and what it raised."""

    __slots__ = ("function", "errors")

    def __init__(self, function: Callable[[Alert], Any]) -> None:
        self.function = function
        self.errors: List[BaseException] = []


@ffi.def_extern(error=1)
def lsi_py_on_alert(it: Any, user: Any) -> int:
    told: _Told = ffi.from_handle(user)

    def place(found: Any) -> Optional[RecordId]:
        return RecordId(found.shard, found.seqno) if found.seqno != lib.LS_SEQNO_NONE else None

    try:
        told.function(Alert(
            ffi.string(it.name).decode(), ffi.string(it.stream).decode(), it.kind == lib.LS_ALERT_CANNOT_FIRE,
            it.value, it.count, it.window_start_us, it.window_end_us, it.at_us, place(it.first), place(it.record),
            it.observed_count, it.value_count, it.least, it.greatest))
        return 0
    except BaseException as error:  # Raised again where the batch was shown.
        told.errors.append(error)
        return 1


# ---- rules ----

def _settings_to_c(settings: MappingOf[str, Any]) -> Tuple[Any, Any]:
    """An `ls_alert_options *`, and what it points to."""
    made, keep = options("ls_alert_options", comparison=settings["comparison"]), []
    for name, value in settings.items():
        if name in _NUMBERS:
            put_in(made, name, value)
        elif name in _TEXTS:
            if value is not None:
                keep.append(ffi.new("char[]", c_text(value, name)))
                setattr(made, name, keep[-1])
        elif name == "labels":
            texts = [(ffi.new("char[]", c_text(label, "label")), ffi.new("char[]", c_text(text, "label's value")))
                     for label, text in (value or {}).items()]
            keep += [texts, ffi.new("ls_label[]", texts)]
            made.labels, made.label_count = keep[-1] if texts else ffi.NULL, len(texts)
        elif name == "rate":
            made.flags = lib.LS_ALERT_RATE if value else 0
        elif name != "comparison":
            raise TypeError("%r is no setting of an alert" % name)
    return made, keep


def create(stream: "Stream", name: str, settings: MappingOf[str, Any]) -> None:
    made, _keep = _settings_to_c(settings)
    stream._call(lib.ls_alert_create, c_text(name, "alert"), made)


def update(stream: "Stream", name: str, settings: MappingOf[str, Any]) -> None:
    made, _keep = _settings_to_c({**describe(stream, name).settings, **settings})
    stream._call(lib.ls_alert_update, c_text(name, "alert"), made)


def describe(stream: "Stream", name: str) -> AlertInfo:
    out = ffi.new("ls_alert_description **")
    stream._call(lib.ls_alert_describe, c_text(name, "alert"), out)
    it = ffi.gc(out[0], lib.ls_alert_description_free)
    info, given = options("ls_alert_info"), options("ls_alert_options")
    check(lib.ls_alert_description_info(it, info))
    check(lib.ls_alert_description_options(it, given))
    settings: Dict[str, Any] = {field: getattr(given, field) for field in _NUMBERS}
    settings.update((field, None if getattr(given, field) == ffi.NULL else ffi.string(getattr(given, field)).decode())
                    for field in _TEXTS)
    settings["labels"] = {ffi.string(given.labels[i].name).decode(): ffi.string(given.labels[i].value).decode()
                          for i in range(given.label_count)}
    settings.update(comparison=Comparison(given.comparison), rate=bool(given.flags & lib.LS_ALERT_RATE))
    return AlertInfo(name, bool(info.cannot_fire), info.created_us, info.modified_us, info.observed_count,
                     info.value_count, info.passed_count, info.fired_count, info.least, info.greatest,
                     info.last_fired_us, settings)


def names(stream: "Stream") -> List[str]:
    """The names of a stream's rules, in order."""
    out = ffi.new("ls_alert_list **")
    stream._call(lib.ls_stream_list_alerts, out)
    listed = ffi.gc(out[0], lib.ls_alert_list_free)
    found = []
    for index in range(lib.ls_alert_list_count(listed)):
        info = options("ls_alert_info")
        check(lib.ls_alert_list_at(listed, index, info))
        found.append(ffi.string(info.name).decode())
    return found
