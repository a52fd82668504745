"""libstream: durable, sharded, replayable streams in a directory, shared by processes.

>>> with Store("memory:") as store, store.create_stream("orders") as stream:
...     with stream.producer() as producer:
...         _ = producer.put("customer-1", b"tea")
...     for record in stream.iterator():
...         print(record.partition_key, record.data)
customer-1 b'tea'

`Store` opens a directory, `Stream` is one of its streams, `Producer` puts records, `Iterator` reads them; a `Mapping`
hands them to a function in batches. Errors are in
`libstream.errors`, all below `Error`. `libstream.kinesis` speaks boto3.

Times that are waited for are seconds, None has no end; points in time are microseconds since the epoch (`..._us`) or
`datetime` in UTC; sizes are bytes. Everything may be used by any thread. What is given is copied or done with when a
call returns; what is got belongs to the caller for good.
"""

from typing import FrozenSet

from libstream.aggregate import Aggregate, UserRecord, user_records
from libstream.alert import Alert, AlertInfo, Alerts, Comparison
from libstream.async_producer import NO_LIMIT, AsyncProducer, Outcome
from libstream.batch import Batch, Record
from libstream.delivery import AT_ONCE, Delivery, DeliveryCompression, DeliveryInfo, DeliveryObject, Transform
from libstream.errors import (BusyError, CancelledError, CorruptError, DamageError, Error, ExistsError, ExpiredError,
                              FullError, InputOutputError, InvalidArgumentError, KeyUnavailableError, LeaseLostError,
                              NotFoundError, OutOfMemoryError, ReadOnlyError, ResourceError, StateError,
                              ThrottledError, ThrottlingError, TooLargeError, TrimmedError, UnsupportedError,
                              UsageError, VersionError, WaitTimeoutError, WrongStateError)
from libstream._native import ffi as _ffi, lib as _lib
from libstream.filter import Filter
from libstream.group import Group, GroupEvent, GroupEventKind, Lease, LeaseInfo, LeaseState
from libstream.iterator import Iterator
from libstream.mapping import NO_RETRIES, NO_TIMEOUT, Answer, Consumer, Context, Mapping, MappingInfo, Window
from libstream.metrics import Metric, MetricSample, MetricType, Series
from libstream.producer import PartialBatchError, Producer, PutResults
from libstream.store import NO_PREALLOC, Clock, Store
from libstream.stream import Stream
from libstream.subscription import Subscription
from libstream.transaction import Transaction
from libstream.values import (NO_SHARD, AutoScaling, Compression, ConsumerInfo, Cuts, Durability, Limits, LogLevel,
                              Position, RecordId, Shard, ShardFilter, StoreFlag, StreamDescription, StreamMode,
                              StreamStatus)
from libstream.window import (NEVER_IDLE, Fold, LeftOver, WindowInfo, WindowKind, WindowOperator, WindowPane,
                             WindowRecord, WindowResult)

__version__: str = _ffi.string(_lib.ls_version_string()).decode()
#: Optional parts that the library was built with: "json", "crypto".
FEATURES: FrozenSet[str] = frozenset(_ffi.string(_lib.ls_version_features()).decode().split())

__all__ = [
    "Aggregate", "Alert", "AlertInfo", "Alerts", "Answer", "AsyncProducer", "AT_ONCE", "AutoScaling", "Batch",
    "BusyError", "CancelledError", "Clock", "Comparison", "Compression", "Consumer", "ConsumerInfo", "Context",
    "CorruptError", "Cuts", "DamageError", "Delivery", "DeliveryCompression", "DeliveryInfo", "DeliveryObject",
    "Durability", "Error", "ExistsError", "ExpiredError", "FEATURES", "Filter", "Fold", "FullError", "Group",
    "GroupEvent", "GroupEventKind", "InputOutputError", "InvalidArgumentError", "Iterator", "KeyUnavailableError",
    "Lease", "LeaseInfo", "LeaseLostError", "LeaseState", "LeftOver", "Limits", "LogLevel", "Mapping", "MappingInfo",
    "Metric", "MetricSample", "MetricType", "NEVER_IDLE", "NO_LIMIT", "NO_PREALLOC", "NO_RETRIES", "NO_SHARD",
    "NO_TIMEOUT", "NotFoundError", "Outcome", "OutOfMemoryError", "PartialBatchError", "Position", "Producer",
    "PutResults", "ReadOnlyError", "Record", "RecordId", "ResourceError", "Series", "Shard", "ShardFilter",
    "StateError", "Store", "StoreFlag", "Stream", "StreamDescription", "StreamMode", "StreamStatus", "Subscription",
    "ThrottledError", "ThrottlingError", "TooLargeError", "Transaction", "Transform", "TrimmedError",
    "UnsupportedError", "UsageError", "user_records", "UserRecord", "VersionError", "WaitTimeoutError", "Window",
    "WindowInfo", "WindowKind", "WindowOperator", "WindowPane", "WindowRecord", "WindowResult", "WrongStateError",
]
