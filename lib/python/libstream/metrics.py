"""Metrics: what a store counts and measures, and an application's own beside it. `metrics.h` has all that holds.

>>> store = Store("memory:")
>>> served = store.define_metric("served_total", MetricType.COUNTER, "Customers that were served.", labels=["shop"])
>>> served.series("north").add(2)
>>> [(sample.labels, sample.value) for sample in store.metrics() if sample.name == "served_total"]
[({'shop': 'north'}, 2.0)]
>>> 'served_total{shop="north"} 2' in store.metrics_text().splitlines()
True
>>> store.close()
"""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple, Union

from libstream._handle import out_of_range
from libstream._native import ffi, lib
from libstream.errors import check
from libstream.values import c_path, c_text, options

if TYPE_CHECKING:
    from libstream.store import Store


class MetricType(enum.IntEnum):
    """What a metric is."""

    COUNTER = lib.LS_METRIC_COUNTER  #: a whole number that only grows
    GAUGE = lib.LS_METRIC_GAUGE  #: a number
    HISTOGRAM = lib.LS_METRIC_HISTOGRAM  #: how many observations were at most each of some bounds, and their sum


@dataclass(frozen=True)
class MetricSample:
    """One series, as it was."""

    name: str  #: Prometheus's
    type: MetricType
    help: str
    labels: Dict[str, str]
    value: float  #: of a counter or gauge
    count: int  #: of a counter, exactly; of a histogram, how many observations
    sum: float  #: of a histogram
    bounds: Tuple[float, ...]  #: of a histogram: upper bounds; the last bucket has none
    buckets: Tuple[int, ...]  #: of a histogram: observations up to each bound, and in the end all
    cloudwatch_name: Optional[str]  #: what Amazon CloudWatch calls it
    cloudwatch_unit: Optional[str]
    cloudwatch_scale: float  #: `value`, or `sum`, times this is in that unit


class Metric:
    """A metric of the application: `Store.define_metric` makes it. It lives as long as its store is open."""

    __slots__ = ("_store", "_pointer", "_labels")

    def __init__(self, store: "Store", pointer: Any, labels: int) -> None:
        self._store = store
        self._pointer = pointer
        self._labels = labels

    def series(self, *values: str) -> "Series":
        """The series with these values of the labels, in their order: made when it is not there. What comes beyond the
        metric's cap is one series whose labels are all "other"."""
        if len(values) != self._labels:
            raise ValueError("%d values for %d labels" % (len(values), self._labels))
        texts = [ffi.new("char[]", c_text(value, "label's value")) for value in values]
        out = ffi.new("ls_series **")
        with self._store._gate:
            check(lib.ls_metric_series(self._pointer, ffi.new("const char *[]", texts), out))
        return Series(self._store, out[0])


class Series:
    """One series of a metric. Any thread may use it, at any time until its store is closed."""

    __slots__ = ("_store", "_pointer")

    def __init__(self, store: "Store", pointer: Any) -> None:
        self._store = store
        self._pointer = pointer

    def _call(self, function: Any, value: Any) -> None:
        with self._store._gate:
            try:
                status = function(self._pointer, value)
            except OverflowError as error:
                raise out_of_range(error) from None
        check(status)

    def add(self, count: int = 1) -> None:
        """Add to a counter."""
        self._call(lib.ls_series_add, count)

    def set(self, value: float) -> None:
        """Set a gauge."""
        self._call(lib.ls_series_set, value)

    def observe(self, value: float) -> None:
        """Note an observation in a histogram."""
        self._call(lib.ls_series_observe, value)


def define(store: "Store", name: str, kind: MetricType, help: str, labels: Sequence[str],
           bounds: Optional[Sequence[float]], series_max: int) -> Metric:
    texts = [ffi.new("char[]", c_text(label, "label")) for label in labels]
    names, limits = ffi.new("const char *[]", texts), ffi.new("double[]", list(bounds or ()))
    settings = options("ls_metric_options", series_max=series_max, labels=names if texts else None,
                       label_count=len(texts), bounds=limits if bounds else None, bound_count=len(bounds or ()))
    out = ffi.new("ls_metric **")
    store._call(lib.ls_metric_define, c_text(name, "metric"), kind, c_text(help, "help"), settings, out)
    return Metric(store, out[0], len(texts))


def _text(pointer: Any) -> Optional[str]:
    return None if pointer == ffi.NULL else str(ffi.string(pointer).decode("utf-8", "replace"))


def snapshot(store: "Store") -> List[MetricSample]:
    """All samples, those of one name together."""
    out = ffi.new("ls_metrics_snapshot **")
    store._call(lib.ls_metrics_snapshot_take, out)
    taken = ffi.gc(out[0], lib.ls_metrics_snapshot_free)
    found = []
    for index in range(lib.ls_metrics_snapshot_count(taken)):
        it = options("ls_metric_sample")
        check(lib.ls_metrics_snapshot_at(taken, index, it))
        labels = {str(_text(it.labels[i].name)): str(_text(it.labels[i].value)) for i in range(it.label_count)}
        found.append(MetricSample(
            str(_text(it.name)), MetricType(it.type), str(_text(it.help)), labels, it.value, it.count, it.sum,
            tuple(it.bounds[i] for i in range(max(0, it.bucket_count - 1))),
            tuple(it.buckets[i] for i in range(it.bucket_count)), _text(it.cloudwatch_name),
            _text(it.cloudwatch_unit), it.cloudwatch_scale))
    return found


def text(store: "Store") -> str:
    """A snapshot in Prometheus's format."""
    pieces: List[bytes] = []
    handle = ffi.new_handle(pieces)
    store._call(lib.ls_metrics_write_text, lib.lsi_py_on_text, handle)
    return b"".join(pieces).decode()


def write(store: "Store", path: Union[str, "os.PathLike[str]"]) -> None:
    store._call(lib.ls_metrics_write_file, c_path(path, "path"))


@ffi.def_extern(error=lib.LS_ERR_NO_MEMORY)
def lsi_py_on_text(bytes: Any, size: int, user: Any) -> int:
    ffi.from_handle(user).append(ffi.buffer(bytes, size)[:])
    return 0
