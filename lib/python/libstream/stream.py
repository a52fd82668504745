"""A stream: describe, set and reshard it; open producers and iterators of it."""

from __future__ import annotations

from typing import (TYPE_CHECKING, Any, Callable, Dict, Iterator as IteratorOf, List, Mapping as MappingOf, Optional,
                    Sequence, Tuple)

from libstream import alert, async_producer, delivery, mapping, window
from libstream._handle import Handle
from libstream._native import ffi, lib
from libstream._waiting import slices
from libstream.alert import Alert, AlertInfo, Alerts, Comparison
from libstream.async_producer import AsyncProducer, Outcome
from libstream.delivery import Delivery
from libstream.errors import ExistsError, check
from libstream.group import Group, LeaseInfo, leases
from libstream.iterator import Iterator
from libstream.mapping import Consumer, Mapping
from libstream.producer import Producer
from libstream.subscription import Subscription
from libstream.values import (AutoScaling, Compression, ConsumerInfo, Cuts, Durability, Limits, PositionLike, Shard,
                              ShardFilter, StreamDescription, StreamMode, StreamStatus, c_text, hash_key_to_c, options)
from libstream.window import Fold, Key, LeftOver, Time, Value, WindowKind, WindowOperator, WindowRecord, WindowResult

if TYPE_CHECKING:
    from libstream.store import Store

_SCALING = ("hot_percent", "hot_seconds", "cold_percent", "cold_seconds", "shards_min", "shards_max")
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
        self._own(store, out, lib.ls_stream_open, c_text(name, "stream name"), out)
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

    def producer(self, producer_id: Optional[int] = None) -> Producer:
        """Open a producer; one for each thread is fastest. With a `producer_id` its puts can be numbered."""
        return Producer(self, producer_id)

    def async_producer(self, on_outcome: Optional[Callable[[Outcome], Any]] = None, *, aggregate: bool = False,
                       idempotent: bool = False, producer_id: Optional[int] = None, first_ticket: int = 0,
                       durability: Optional[Durability] = None, linger_ms: int = 0, batch_bytes_max: int = 0,
                       batch_records_max: int = 0, record_ttl_ms: int = 0, buffered_bytes_max: int = 0,
                       retries_max: int = 0, retry_backoff_ms: int = 0, retry_backoff_max_ms: int = 0,
                       outcomes_kept: int = 0, aggregate_bytes_max: int = 0) -> AsyncProducer:
        """Open a producer that does not wait. `on_outcome` is told what became of each record. `aggregate`: small
        records go many in one. `idempotent`: what may have been stored is tried again, too; with a `producer_id`, and
        `first_ticket`, also by another process after a crash. The rest is `ls_async_options` of `async_producer.h`: 0
        is the library's default, `NO_LIMIT` sends at once (`linger_ms`), or gives up for age never
        (`record_ttl_ms`)."""
        return AsyncProducer(self, on_outcome, async_producer.settings_to_c(
            aggregate=aggregate, idempotent=idempotent, producer_id=producer_id, durability=durability,
            first_ticket=first_ticket, linger_ms=linger_ms, batch_bytes_max=batch_bytes_max,
            batch_records_max=batch_records_max, record_ttl_ms=record_ttl_ms, buffered_bytes_max=buffered_bytes_max,
            retries_max=retries_max, retry_backoff_ms=retry_backoff_ms, retry_backoff_max_ms=retry_backoff_max_ms,
            outcomes_kept=outcomes_kept, aggregate_bytes_max=aggregate_bytes_max))

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
        limits, scaling, cuts = options("ls_stream_limits"), options("ls_auto_scaling"), options("ls_stream_cuts")
        check(lib.ls_stream_description_limits(it, limits))
        check(lib.ls_stream_description_auto_scaling(it, scaling))
        check(lib.ls_stream_description_cuts(it, cuts))
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
            compression=Compression(lib.ls_stream_description_compression(it)),
            recompression=bool(lib.ls_stream_description_recompression(it)),
            auto_scaling=AutoScaling(*(getattr(scaling, name) for name in _SCALING)) if scaling.enabled else None,
            cuts=Cuts(cuts.count, cuts.records, cuts.bytes, cuts.lag_ms, cuts.last_us), shards=tuple(shards))

    def shards(self, filter: ShardFilter = ShardFilter.FROM_TRIM_HORIZON, *, timestamp_us: int = 0,
               after_shard: int = 0, limit: int = 0) -> IteratorOf[Shard]:
        """The shards that a filter shows, in order of index. No file is looked at: numbers and times of records are
        None. All show the stream as it was at the first."""
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
        self.store._call(lib.ls_stream_set_compression, c_text(self._name, "stream name"), compression)

    def start_encryption(self, key_id: str) -> None:
        """Encrypt what is put from now on with the key of this name, which the store's `key` gives."""
        self.store._call(lib.ls_stream_start_encryption, c_text(self._name, "stream name"), c_text(key_id, "key id"))

    def stop_encryption(self) -> None:
        """Encrypt no more from now on."""
        self.store._call(lib.ls_stream_stop_encryption, c_text(self._name, "stream name"))

    def set_recompression(self, enabled: bool) -> None:
        """Do what `recompress` does as a part of upkeep from now on, or no more."""
        self._call(lib.ls_stream_set_recompression, enabled)

    def set_auto_scaling(self, scaling: Optional[AutoScaling]) -> None:
        """Split and merge shards by themselves from now on; None: no more."""
        settings = ffi.NULL if scaling is None else options(
            "ls_auto_scaling", enabled=1, **{name: getattr(scaling, name) for name in _SCALING})
        self._call(lib.ls_stream_set_auto_scaling, settings)

    def recompress(self, timeout: Optional[float] = None) -> int:
        """Compress the segments that are full. Answers by how many bytes files got smaller; `WaitTimeoutError` when the
        time was over and something is left."""
        saved = ffi.new("uint64_t *")

        def work(pointer: Any) -> int:
            total = 0
            for wait_ms in slices(timeout):
                status = lib.ls_stream_recompress(pointer, wait_ms, saved)
                total += saved[0]
                if status != lib.LS_ERR_TIMEOUT:
                    break
            check(status)
            return total

        return int(self._gate.run(None, work))

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
        keep = [ffi.new("char[]", c_text(key, "tag")) for key in keys]
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

    # ---- groups: workers that share the shards ----

    def group(self, name: str, position: PositionLike = "TRIM_HORIZON", *, worker: Optional[str] = None,
              failover_ms: int = 0, handover_ms: int = 0, leases_max: int = 0) -> Group:
        """Open a worker of a group, which is made when there is none of that name, and begins at `position` then.
        `worker`: what others are shown, at most 63 bytes. The rest is `ls_group_options` of `lease.h`."""
        return Group(self, name, position, worker, failover_ms, handover_ms, leases_max)

    def leases(self, group: str) -> List[LeaseInfo]:
        """All leases of a group, or of a mapping, by shard. Raises `NotFoundError` when there is none of that name."""
        return leases(self, group)

    def delete_group(self, name: str) -> None:
        """Delete a group with its leases; its workers end with `NotFoundError`."""
        self._call(lib.ls_group_delete, c_text(name, "group"))

    # ---- windows over event time ----

    def windows(self, on_result: Callable[[WindowResult], Any], name: Optional[str] = None, *,
                kind: WindowKind = WindowKind.TUMBLING, time: Time = None, key: Key = None, value: Value = None,
                on_left_over: Optional[Callable[[WindowRecord, LeftOver, int], Any]] = None,
                fold: Optional[Fold] = None, size_ms: int = 0, step_ms: int = 0, gap_ms: int = 0, offset_ms: int = 0,
                delay_ms: int = 0, lateness_ms: int = 0, idle_timeout_ms: int = 0, state_bytes_max: int = 0,
                store_interval_ms: int = 0, one_key: bool = False, time_seconds: bool = False,
                begin_anew: bool = False, take_over: bool = False, deaggregate: bool = False) -> WindowOperator:
        """Open a window operator, under a name if what it gathers shall be kept. `time`, `key` and `value` are fields
        of records' data, which is JSON ("bid.price"), or functions of a `WindowRecord` that answer milliseconds since
        the epoch, a text, a number, or None where there is none; without them: when the record arrived, its partition
        key, and records are only counted. `fold` gathers more than a number. `on_left_over` gets (record, why, its
        time) of what is in no window. The rest is `ls_window_options` of `window.h`.

        Raises `BusyError` when another one has the name (`take_over`), `WrongStateError` when what is stored is of
        another kind or size, `InvalidArgumentError`."""
        flags = sum(flag for flag, is_set in (
            (lib.LS_WINDOW_ONE_KEY, one_key), (lib.LS_WINDOW_TIME_SECONDS, time_seconds),
            (lib.LS_WINDOW_BEGIN_ANEW, begin_anew), (lib.LS_WINDOW_TAKE_OVER, take_over),
            (lib.LS_WINDOW_DEAGGREGATE, deaggregate)) if is_set)
        return window.open_operator(
            self, on_result, name, kind, time, key, value, on_left_over, fold, flags, size_ms=size_ms, step_ms=step_ms,
            gap_ms=gap_ms, offset_ms=offset_ms, delay_ms=delay_ms, lateness_ms=lateness_ms,
            idle_timeout_ms=idle_timeout_ms, state_bytes_max=state_bytes_max, store_interval_ms=store_interval_ms)

    def delete_windows(self, name: str) -> None:
        """Delete what a window operator has stored under a name."""
        self._call(lib.ls_window_delete, c_text(name, "window operator"))

    # ---- deliveries: records become files ----

    def create_delivery(self, name: str, position: PositionLike = "TRIM_HORIZON", **settings: Any) -> Delivery:
        """Create a delivery. `settings` are those of `ls_delivery_options` (`delivery.h`) by their names: `directory`
        or `s3_bucket` (`s3_endpoint`, `s3_region`); `prefix`, `error_prefix`, `backup_prefix`, `extension`;
        `delimiter`; `buffer_bytes`, `interval_ms` (`AT_ONCE`), `compression` (`DeliveryCompression`),
        `transform_retries_max` (`NO_RETRIES`), `transform_bytes_max`, `transform_records_max`, `partitions_max`,
        `backup_buffer_bytes`, `backup_interval_ms`; `partition_keys`: queries by name; and as booleans `to_callback`,
        `transform`, `partition`, `backup`.

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

    # ---- alerts: rules on records and metrics ----

    def create_alert(self, name: str, comparison: Comparison, threshold: float = 0.0, **settings: Any) -> None:
        """Create a rule: on a `field` of records' data, which is JSON ("car.speed"), or on a `metric` (with `labels`,
        and of how fast it grows with `rate=True`). It passes as `comparison` says with `threshold`, or with a field's
        `text`; it fires when `count_min` have passed within `window_ms`, and not again for `cooldown_ms`.
        `observed_min`: after so many it is judged whether it can fire.

        Raises `ExistsError`, `InvalidArgumentError`, `NotFoundError`."""
        alert.create(self, name, {"comparison": comparison, "threshold": threshold, **settings})

    def update_alert(self, name: str, **settings: Any) -> None:
        """Change settings of a rule; those that are not named stay. It is as one that is new."""
        alert.update(self, name, settings)

    def delete_alert(self, name: str) -> None:
        """Delete a rule, and what is known of it."""
        self._call(lib.ls_alert_delete, c_text(name, "alert"))

    def describe_alert(self, name: str) -> AlertInfo:
        """Look at one rule. Raises `NotFoundError` when there is none of that name."""
        return alert.describe(self, name)

    def alerts(self) -> List[AlertInfo]:
        """All rules of the stream, by name."""
        return [alert.describe(self, name) for name in alert.names(self)]

    def watch(self, function: Callable[[Alert], Any]) -> Alerts:
        """Evaluate the stream's rules, those that are made later, too: the function is told when one fires."""
        return Alerts(self, function)

    # ---- registered consumers ----

    def register_consumer(self, name: str) -> ConsumerInfo:
        """Register a consumer: Kinesis's enhanced fan-out, with a read limit of its own."""
        info = options("ls_consumer_info")
        self._call(lib.ls_consumer_register, c_text(name, "consumer"), info)
        return ConsumerInfo._from_c(info)

    def deregister_consumer(self, name: str) -> None:
        """Deregister a consumer; its subscriptions end."""
        self._call(lib.ls_consumer_deregister, c_text(name, "consumer"))

    def describe_consumer(self, name: str) -> ConsumerInfo:
        """Look at one consumer."""
        info = options("ls_consumer_info")
        self._call(lib.ls_consumer_describe, c_text(name, "consumer"), info)
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

    def subscribe(self, consumer: str, shard: Optional[int] = None, position: PositionLike = "TRIM_HORIZON", *,
                  place: Optional[str] = None, deaggregate: bool = False, records_max: int = 0, bytes_max: int = 0,
                  heartbeat_ms: int = 0) -> Subscription:
        """Subscribe a registered consumer to one shard, or to all when `shard` is None; or from a `place` on. Batches
        are pushed as they come, with limits of the consumer's own. `heartbeat_ms`: a batch without records comes when
        none was pushed for so long.

        Raises `NotFoundError` when there is no such consumer or shard, `WrongStateError` within five seconds of another
        subscription of the consumer to the same shard."""
        return Subscription(self, consumer, shard, position, place, heartbeat_ms > 0, records_max=records_max,
                            bytes_max=bytes_max, heartbeat_ms=heartbeat_ms,
                            flags=lib.LS_SUBSCRIBE_DEAGGREGATE if deaggregate else 0)

    def __repr__(self) -> str:
        return "<Stream %r%s>" % (self._name, ", closed" if self.closed else "")


def tags_to_c(tags: MappingOf[str, str]) -> Tuple[object, object]:
    """What keeps the texts, and an array of `ls_tag` that points to them."""
    keep = [(ffi.new("char[]", c_text(key, "tag")), ffi.new("char[]", c_text(value, "tag's value")))
            for key, value in tags.items()]
    return keep, ffi.new("ls_tag[]", keep)
