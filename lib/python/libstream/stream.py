"""A stream: describe, set and reshard it; open producers and iterators of it."""

from __future__ import annotations

from typing import (TYPE_CHECKING, Any, Callable, Dict, Iterator as IteratorOf, List, Mapping as MappingOf, Optional,
                    Sequence, Tuple)

from libstream import delivery, mapping
from libstream._handle import Handle
from libstream._native import ffi, lib
from libstream.delivery import Delivery
from libstream.errors import ExistsError, check
from libstream.iterator import Iterator
from libstream.mapping import Consumer, Mapping
from libstream.producer import Producer
from libstream.values import (Compression, ConsumerInfo, Limits, PositionLike, Shard, StreamDescription, StreamMode,
                             StreamStatus, hash_key_to_c, milliseconds, options)

if TYPE_CHECKING:
    from libstream.store import Store

_LIMITS = ("write_bytes_per_second", "write_records_per_second", "read_bytes_per_second", "read_calls_per_second")


class Stream(Handle):
    """An open stream: `Store.stream` and `Store.create_stream` open it.

    Any thread may use it. Changes are durable when a call returns, and raise `NotFoundError` when the stream was
    deleted, `WrongStateError` when it is not ACTIVE, `ReadOnlyError`, `BusyError`, `InvalidArgumentError`; then nothing
    was changed. After `InputOutputError` the outcome is unknown.

    >>> with Store("memory:") as store:
    ...     stream = store.create_stream("orders", shard_count=2)
    ...     stream.split(0)
    ...     [shard.shard for shard in stream.describe().open_shards]
    (2, 3)
    [1, 2, 3]
    """

    __slots__ = ("_name",)

    _noun = "stream"
    _close_call = lib.ls_stream_close

    def __init__(self, store: "Store", name: str) -> None:
        out = ffi.new("ls_stream **")
        store._call(lib.ls_stream_open, name.encode(), out)
        super().__init__(out[0], store)
        self._name = name

    @property
    def name(self) -> str:
        """The stream's name."""
        return self._name

    @property
    def store(self) -> "Store":
        """The store that it is of."""
        from libstream.store import Store

        assert isinstance(self._parent, Store)
        return self._parent

    # ---- putting and reading ----

    def producer(self) -> Producer:
        """Open a producer; one for each thread is fastest."""
        return Producer(self)

    def iterator(self, shard: Optional[int] = None, position: PositionLike = "TRIM_HORIZON", *,
                 place: Optional[str] = None, timeout: Optional[float] = 0.0, records_max: int = 0,
                 bytes_max: int = 0, deaggregate: bool = False) -> Iterator:
        """Open an iterator over one shard, or over all when `shard` is None; or where another one stood (`place`).

        `timeout`: iterating ends when nothing came for so many seconds: 0 at the tip, None never. `records_max` and
        `bytes_max` bound a batch; 0 is the library's default. `deaggregate`: show the user records of aggregated ones.
        """
        return Iterator(self, shard, position, place, timeout, records_max, bytes_max, deaggregate)

    # ---- looking ----

    def describe(self) -> StreamDescription:
        """Settings, and every shard that is listed, closed ones included."""
        out = ffi.new("ls_stream_description **")
        self._call(lib.ls_stream_describe, out)
        it = ffi.gc(out[0], lib.ls_stream_description_free)
        limits = options("ls_stream_limits")
        check(lib.ls_stream_description_limits(it, limits))
        shards = []
        for index in range(lib.ls_stream_description_shard_count(it)):
            info = options("ls_shard_info")
            check(lib.ls_stream_description_shard(it, index, info))
            shards.append(Shard._from_c(info))
        return StreamDescription(
            name=ffi.string(lib.ls_stream_description_name(it)).decode(), id=lib.ls_stream_description_id(it),
            status=StreamStatus(lib.ls_stream_description_status(it)),
            mode=StreamMode(lib.ls_stream_description_mode(it)),
            limits=Limits(*(getattr(limits, name) for name in _LIMITS)),
            created_us=lib.ls_stream_description_created_us(it),
            retention_hours=lib.ls_stream_description_retention_hours(it),
            retention_bytes=lib.ls_stream_description_retention_bytes(it),
            record_bytes_max=lib.ls_stream_description_record_bytes_max(it),
            key_id=ffi.string(lib.ls_stream_description_key_id(it)).decode() or None,
            compression=Compression(lib.ls_stream_description_compression(it)), shards=tuple(shards))

    def shards(self, filter: int = lib.LS_SHARDS_FROM_TRIM_HORIZON, *, timestamp_us: int = 0, after_shard: int = 0,
               limit: int = 0) -> IteratorOf[Shard]:
        """The shards that a filter of Kinesis's ListShards shows (`LS_SHARDS_...` of `stream.h`), in order of index. No
        file is looked at: numbers and times of records are None. All show the stream as it was at the first."""
        settings = options("ls_shard_list_options", filter=filter, timestamp_us=timestamp_us, after_shard=after_shard,
                           limit=limit)
        while True:
            out = ffi.new("ls_shard_list **")
            self._call(lib.ls_stream_list_shards, settings, out)
            page = ffi.gc(out[0], lib.ls_shard_list_free)
            for index in range(lib.ls_shard_list_count(page)):
                info = options("ls_shard_info")
                check(lib.ls_shard_list_shard(page, index, info))
                yield Shard._from_c(info)
            if not lib.ls_shard_list_next_page(page, settings):
                return

    # ---- changing ----

    def split(self, shard: int, new_starting_hash_key: Optional[int] = None) -> Tuple[int, int]:
        """Split an open shard in two, at a hash key or in the middle. Answers the children: the lower, the upper."""
        children = ffi.new("uint32_t[2]")
        key = ffi.NULL if new_starting_hash_key is None else hash_key_to_c(new_starting_hash_key)
        self._call(lib.ls_stream_split, shard, key, children, children + 1)
        return children[0], children[1]

    def merge(self, shard: int, adjacent_shard: int) -> int:
        """Merge two open shards, of which the second has the keys that follow. Answers their child."""
        child = ffi.new("uint32_t *")
        self._call(lib.ls_stream_merge, shard, adjacent_shard, child)
        return int(child[0])

    def update_shard_count(self, shard_count: int, *, kinesis_limits: bool = False) -> None:
        """Split and merge until there are so many open shards of equal width. `kinesis_limits`: refuse more than double
        and less than half."""
        self._call(lib.ls_stream_update_shard_count, shard_count,
                   options("ls_scale_options", flags=lib.LS_SCALE_KINESIS_LIMITS if kinesis_limits else 0))

    def increase_retention(self, hours: int) -> None:
        """Keep records for longer: up to 8760 hours."""
        self._call(lib.ls_stream_increase_retention, hours)

    def decrease_retention(self, hours: int) -> None:
        """Keep records for less long: what is older cannot be read from now on."""
        self._call(lib.ls_stream_decrease_retention, hours)

    def set_retention_bytes(self, count: int) -> None:
        """Cap what the stream's segments take; 0: no cap."""
        self._call(lib.ls_stream_set_retention_bytes, count)

    def set_mode(self, mode: StreamMode) -> None:
        """Set the capacity mode."""
        self._call(lib.ls_stream_set_mode, mode)

    def set_limits(self, limits: Limits) -> None:
        """Set what each shard takes and gives in a second while PROVISIONED; a figure of 0 is Kinesis's."""
        self._call(lib.ls_stream_set_limits,
                   options("ls_stream_limits", **{name: getattr(limits, name) for name in _LIMITS}))

    def set_record_bytes_max(self, count: int) -> None:
        """Set how large a record may be, data and key together: 1 KiB..10 MiB."""
        self._call(lib.ls_stream_set_record_bytes_max, count)

    def set_compression(self, compression: Compression) -> None:
        """Compress from now on, or no more."""
        self.store._call(lib.ls_stream_set_compression, self._name.encode(), compression)

    def start_encryption(self, key_id: str) -> None:
        """Encrypt what is put from now on with the key of this name, which the store's `key` gives."""
        self.store._call(lib.ls_stream_start_encryption, self._name.encode(), key_id.encode())

    def stop_encryption(self) -> None:
        """Encrypt no more from now on."""
        self.store._call(lib.ls_stream_stop_encryption, self._name.encode())

    def recompress(self, timeout: Optional[float] = None) -> int:
        """Compress the segments that are full. Answers by how many bytes files got smaller; `WaitTimeoutError` when the
        time was over and something is left."""
        saved = ffi.new("uint64_t *")
        self._call(lib.ls_stream_recompress, milliseconds(timeout), saved)
        return int(saved[0])

    def reset_shard(self, shard: int) -> None:
        """Let a shard that refuses puts, after a failed sync or damage at its end, take them again."""
        self._call(lib.ls_stream_reset_shard, shard)

    # ---- tags ----

    def tags(self) -> Dict[str, str]:
        """The stream's tags, in order of their keys."""
        found: Dict[str, str] = {}
        after = b""
        while True:
            out = ffi.new("ls_tag_list **")
            self._call(lib.ls_stream_list_tags, after, 0, out)
            page = ffi.gc(out[0], lib.ls_tag_list_free)
            for index in range(lib.ls_tag_list_count(page)):
                tag = lib.ls_tag_list_at(page, index)
                after = ffi.string(tag.key)
                found[after.decode()] = ffi.string(tag.value).decode()
            if not lib.ls_tag_list_has_more(page):
                return found

    def add_tags(self, tags: MappingOf[str, str]) -> None:
        """Add tags; one replaces another of equal key. 50 at most."""
        keep, made = tags_to_c(tags)
        self._call(lib.ls_stream_add_tags, made, len(tags))
        del keep

    def remove_tags(self, keys: Sequence[str]) -> None:
        """Remove tags; keys that no tag has are ignored."""
        keep = [ffi.new("char[]", key.encode()) for key in keys]
        self._call(lib.ls_stream_remove_tags, ffi.new("const char *[]", keep), len(keep))

    # ---- mappings: functions that get batches ----

    def create_mapping(self, name: str, position: PositionLike = "TRIM_HORIZON", **settings: Any) -> Mapping:
        """Create a mapping. `settings` are those of `ls_mapping_options` (`mapping.h`) by their names, with Lambda's
        defaults where none is given: `records_max`, `bytes_max`, `batching_window_ms`, `lane_count`, `retries_max` (0:
        no end, `NO_RETRIES`), `record_age_s_max`, `tumbling_window_s`, `window_state_bytes_max`, `handler_timeout_ms`
        (`NO_TIMEOUT`), `sync_interval_ms`, `filters` (texts or objects), `failure_stream`, `consumer`; and as booleans
        `bisect`, `report_failures`, `discard_failed_only`, `document_bytes`, `exactly_once`, `deaggregate`.

        Raises `ExistsError` when the stream has one of that name, `InvalidArgumentError`, `NotFoundError`."""
        return mapping.create(self, name, position, settings)

    def mapping(self, name: str) -> Mapping:
        """The mapping of this name. Raises `NotFoundError` when there is none."""
        found = Mapping(self, name)
        found.describe()
        return found

    def mappings(self) -> List[Mapping]:
        """All mappings of the stream, by name."""
        return [Mapping(self, name) for name in mapping.names(self)]

    def on_batch(self, name: str, position: PositionLike = "TRIM_HORIZON", *, lambda_event: bool = False,
                 **settings: Any) -> Callable[[Callable[..., Any]], Consumer]:
        """A decorator that makes a function a consumer under a name: the mapping is created if it is not there, and
        gets these settings if it is. `lambda_event`: the function is one of AWS Lambda's. `Consumer.run` runs it.

        >>> store = Store("memory:")
        >>> stream = store.create_stream("orders")
        >>> @stream.on_batch("counter", records_max=1000)
        ... def count(batch):
        ...     print(len(batch))
        >>> stream.producer().put_many("k", [b"a", b"b"]).failed
        0
        >>> count.run(until_caught_up=True)
        2
        >>> store.close()
        """
        try:
            found = self.create_mapping(name, position, **settings)
        except ExistsError:
            found = Mapping(self, name)
            if settings:
                found.update(**settings)
        return found.lambda_handler if lambda_event else found.handler

    # ---- deliveries: records become files ----

    def create_delivery(self, name: str, position: PositionLike = "TRIM_HORIZON", **settings: Any) -> Delivery:
        """Create a delivery. `settings` are those of `ls_delivery_options` (`delivery.h`) by their names: `directory`
        or `s3_bucket` (`s3_endpoint`, `s3_region`); `prefix`, `error_prefix`, `backup_prefix`, `extension`;
        `delimiter`; `buffer_bytes`, `interval_ms`, `compression` (1: gzip, 2: zstd), `transform_retries_max`,
        `transform_bytes_max`, `transform_records_max`, `partitions_max`; `partition_keys`: queries by name; and as
        booleans `to_callback`, `transform`, `partition`, `backup`.

        Raises `ExistsError`, `InvalidArgumentError`, `UnsupportedError`, `NotFoundError`."""
        return delivery.create(self, name, position, settings)

    def delivery(self, name: str) -> Delivery:
        """The delivery of this name. Raises `NotFoundError` when there is none."""
        found = Delivery(self, name)
        found.describe()
        return found

    def deliveries(self) -> List[Delivery]:
        """All deliveries of the stream, by name."""
        return [Delivery(self, name) for name in delivery.names(self)]

    # ---- registered consumers ----

    def register_consumer(self, name: str) -> ConsumerInfo:
        """Register a consumer: Kinesis's enhanced fan-out, with a read limit of its own."""
        info = options("ls_consumer_info")
        self._call(lib.ls_consumer_register, name.encode(), info)
        return ConsumerInfo._from_c(info)

    def deregister_consumer(self, name: str) -> None:
        """Deregister a consumer; its subscriptions end."""
        self._call(lib.ls_consumer_deregister, name.encode())

    def describe_consumer(self, name: str) -> ConsumerInfo:
        """Look at one consumer."""
        info = options("ls_consumer_info")
        self._call(lib.ls_consumer_describe, name.encode(), info)
        return ConsumerInfo._from_c(info)

    def consumers(self) -> List[ConsumerInfo]:
        """The registered consumers, by name."""
        found: List[ConsumerInfo] = []
        while True:
            out = ffi.new("ls_consumer_list **")
            self._call(lib.ls_stream_list_consumers, found[-1].name.encode() if found else ffi.NULL, 0, out)
            page = ffi.gc(out[0], lib.ls_consumer_list_free)
            for index in range(lib.ls_consumer_list_count(page)):
                info = options("ls_consumer_info")
                check(lib.ls_consumer_list_at(page, index, info))
                found.append(ConsumerInfo._from_c(info))
            if not lib.ls_consumer_list_has_more(page):
                return found

    def __repr__(self) -> str:
        return "<Stream %r%s>" % (self._name, ", closed" if self.closed else "")


def tags_to_c(tags: MappingOf[str, str]) -> Tuple[object, object]:
    """What keeps the texts, and an array of `ls_tag` that points to them."""
    keep = [(ffi.new("char[]", key.encode()), ffi.new("char[]", value.encode())) for key, value in tags.items()]
    return keep, ffi.new("ls_tag[]", keep)
