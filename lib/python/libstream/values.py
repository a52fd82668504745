"""The small values that calls take and give: names of settings, positions, ids, and what a shard is."""

from __future__ import annotations

import enum
import math
import operator
import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, NamedTuple, Optional, Tuple, Union

from libstream._native import ffi, lib
from libstream.errors import InvalidArgumentError

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NO_SHARD: int = lib.LS_NO_SHARD
_LONGEST_MS = 1 << 42  # 139 years, which all that waits can count.


def to_us(when: datetime) -> int:
    """Microseconds since the epoch; exact. A time without a zone is refused, since nobody can tell which it is.

    >>> to_us(datetime(2026, 11, 22, tzinfo=timezone.utc))
    1795305600000000
    """
    if when.tzinfo is None:
        raise ValueError("%s has no time zone: use datetime.now(timezone.utc)" % when.isoformat())
    return (when - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """A point in time, in UTC.

    >>> from_us(1795305600000001).isoformat()
    '2026-11-22T00:00:00.000001+00:00'
    """
    return _EPOCH + timedelta(microseconds=us)


def utf8(text: str, what: str) -> bytes:
    """What may hold a NUL, as UTF-8. Half of a surrogate pair is no character."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError("%s %s is no text: character %d is half of a surrogate pair"
                                   % (what, ascii(text), error.start)) from None


def c_text(text: str, what: str) -> bytes:
    """A text that C reads up to a NUL, and which therefore has none.

    >>> c_text("orders", "stream name")
    b'orders'
    """
    if not isinstance(text, str):
        raise TypeError("%s is str, not %s" % (what, type(text).__name__))
    return _without_nul(utf8(text, what), text, what)


def c_path(path: Union[str, bytes, "os.PathLike[Any]"], what: str) -> bytes:
    """A path, for C."""
    try:
        return _without_nul(os.fsencode(path), path, what)
    except UnicodeEncodeError:
        raise InvalidArgumentError("%s %s is no path: the file system's encoding has no such name"
                                   % (what, ascii(path))) from None


def _without_nul(made: bytes, given: Any, what: str) -> bytes:
    if b"\0" in made:
        raise InvalidArgumentError("%s %r has a NUL at byte %d: C would take what is before it"
                                   % (what, given, made.index(b"\0")))
    return made


class Durability(enum.IntEnum):
    """When a put is acknowledged. What a killed process acknowledged is never lost; a power loss takes at most:"""

    KERNEL = lib.LS_DURABILITY_KERNEL  #: a suffix of the last segment
    INTERVAL = lib.LS_DURABILITY_INTERVAL  #: what was put since a sync last began
    SYNC = lib.LS_DURABILITY_SYNC  #: nothing


class StreamMode(enum.IntEnum):
    """Capacity mode, as Kinesis names it."""

    ON_DEMAND = lib.LS_STREAM_ON_DEMAND  #: throttles nothing
    PROVISIONED = lib.LS_STREAM_PROVISIONED  #: each shard takes and gives so much in a second


class StreamStatus(enum.IntEnum):
    """What a stream is doing, as Kinesis names it."""

    ACTIVE = lib.LS_STREAM_ACTIVE
    CREATING = lib.LS_STREAM_CREATING
    UPDATING = lib.LS_STREAM_UPDATING
    DELETING = lib.LS_STREAM_DELETING


class Compression(enum.IntEnum):
    """What frames of records are compressed with."""

    NONE = lib.LS_COMPRESSION_NONE
    ZSTD = lib.LS_COMPRESSION_ZSTD


class StoreFlag(enum.IntFlag):
    """What a store is opened for besides, and how."""

    NETWORK_FS_ALLOWED = lib.LS_STORE_NETWORK_FS_ALLOWED  #: at your own risk: locks may not hold there
    NO_MAPPED_WRITES = lib.LS_STORE_NO_MAPPED_WRITES  #: small records are written, too, several times slower
    MAINTENANCE_THREAD = lib.LS_STORE_MAINTENANCE_THREAD  #: a thread does the upkeep, also while nobody puts
    PRODUCE_ONLY = lib.LS_STORE_PRODUCE_ONLY  #: puts only
    CONSUME_ONLY = lib.LS_STORE_CONSUME_ONLY  #: reads, and keeps checkpoints


class LogLevel(enum.IntEnum):
    """How much a line of the log matters."""

    ERROR = lib.LS_LOG_ERROR  #: something needs an operator
    WARNING = lib.LS_LOG_WARNING  #: something was repaired or held back
    INFO = lib.LS_LOG_INFO  #: rare events


class ShardFilter(enum.IntEnum):
    """Which shards are listed, as Kinesis's ListShards names it."""

    FROM_TRIM_HORIZON = lib.LS_SHARDS_FROM_TRIM_HORIZON  #: all, open and closed
    AT_TRIM_HORIZON = lib.LS_SHARDS_AT_TRIM_HORIZON  #: those that were open as long ago as retention goes
    AT_LATEST = lib.LS_SHARDS_AT_LATEST  #: the open ones
    AT_TIMESTAMP = lib.LS_SHARDS_AT_TIMESTAMP  #: those that were open then
    FROM_TIMESTAMP = lib.LS_SHARDS_FROM_TIMESTAMP  #: the open ones, and those that were closed then or later
    AFTER_SHARD_ID = lib.LS_SHARDS_AFTER_SHARD_ID  #: those with an index above `after_shard`


class RecordId(NamedTuple):
    """Where a record is: shard and number together name a record of a stream."""

    shard: int
    seqno: int


@dataclass(frozen=True)
class Position:
    """Where to begin to read: `TRIM_HORIZON`, `LATEST`, `at`, `after` or `at_time`. The five kinds are Kinesis's.

    Calls that take a position take the texts ``"TRIM_HORIZON"`` and ``"LATEST"``, too.

    >>> Position.after(17)
    Position(kind=4, seqno=17, timestamp_us=0, sub_seqno=0)
    """

    kind: int
    seqno: int = 0
    timestamp_us: int = 0
    sub_seqno: int = 0  #: of an iterator that de-aggregates: begin with this user record of the record with `seqno`

    TRIM_HORIZON: ClassVar["Position"]
    LATEST: ClassVar["Position"]

    @classmethod
    def at(cls, seqno: int) -> "Position":
        """The record with this number, or the first above it. Of one shard only."""
        return cls(lib.LS_AT_SEQUENCE_NUMBER, seqno)

    @classmethod
    def after(cls, seqno: int) -> "Position":
        """The first record above this number. Of one shard only."""
        return cls(lib.LS_AFTER_SEQUENCE_NUMBER, seqno)

    @classmethod
    def at_time(cls, when: Union[datetime, int]) -> "Position":
        """The first record that arrived at this time or later: a `datetime` with a zone, or microseconds since the
        epoch. The future is refused when it is used."""
        if not isinstance(when, datetime) and not hasattr(when, "__index__"):
            raise TypeError("a time is a datetime or microseconds as int, not %s" % type(when).__name__)
        return cls(lib.LS_AT_TIMESTAMP, 0, to_us(when) if isinstance(when, datetime) else operator.index(when))

    def _to_c(self) -> Any:
        made = ffi.new("ls_position *")
        for name in ("kind", "seqno", "timestamp_us", "sub_seqno"):
            put_in(made, name, getattr(self, name))
        return made


Position.TRIM_HORIZON = Position(lib.LS_TRIM_HORIZON)
Position.LATEST = Position(lib.LS_LATEST)

PositionLike = Union[Position, str]


def position(given: PositionLike) -> Position:
    """The position that is meant."""
    if isinstance(given, Position):
        return given
    if given in ("TRIM_HORIZON", "LATEST"):
        return Position.TRIM_HORIZON if given == "TRIM_HORIZON" else Position.LATEST
    raise ValueError("position %r is neither 'TRIM_HORIZON' nor 'LATEST' nor a Position" % (given,))


def hash_key_to_c(value: int) -> Any:
    """An `ls_hash_key *` that is owned."""
    if not 0 <= value < 1 << 128:
        raise ValueError("hash key %d is not in 0..2**128-1" % value)
    return ffi.new("ls_hash_key *", (value >> 64, value & 0xFFFFFFFFFFFFFFFF))


def hash_key_from_c(value: Any) -> int:
    """The number that an `ls_hash_key` stands for."""
    return int(value.high << 64 | value.low)


def milliseconds(timeout: Optional[float]) -> int:
    """Seconds, of which None has no end, as the library counts."""
    if timeout is None or timeout == math.inf:
        return -1
    if not timeout >= 0:
        raise ValueError("timeout %r is below 0, or no number: None has no end" % timeout)
    return min(int(timeout * 1000 + 0.999), _LONGEST_MS)


def put_in(made: Any, name: str, value: Any) -> None:
    """Set a field of a C struct."""
    try:
        setattr(made, name, value)
    except OverflowError:
        raise InvalidArgumentError("%s is %r: no number of its range" % (name, value)) from None
    except TypeError as error:
        raise TypeError("%s is %r: %s" % (name, value, error)) from None
    except AttributeError:
        raise TypeError("there is no setting %r" % name) from None


def options(kind: str, **fields: Any) -> Any:
    """A C struct of options with `size` set, as its INIT macro does; fields that are None keep their default."""
    made = ffi.new(kind + " *")
    made.size = ffi.sizeof(kind)
    for name, value in fields.items():
        if value is not None:
            put_in(made, name, value)
    return made


def shard_id(shard: int) -> str:
    """The text form of a shard's index.

    >>> shard_id(5)
    'shardId-000000000005'
    """
    return "shardId-%012d" % shard


@dataclass(frozen=True)
class Shard:
    """A shard as it was at one moment. Hash keys are inclusive; numbers are None where there is none."""

    shard: int
    first_hash_key: int
    last_hash_key: int
    starting_seqno: int
    ending_seqno: Optional[int]  #: None while the shard is open
    oldest_seqno: Optional[int]  #: the first record that can be read
    latest_seqno: Optional[int]  #: the last record that can be read
    created_us: int
    closed_us: Optional[int]
    parent: Optional[int]
    adjacent_parent: Optional[int]
    is_open: bool
    health: int  #: 0, or the status that puts are refused with
    oldest_arrival_us: Optional[int]
    latest_arrival_us: Optional[int]
    stored_bytes: int

    @property
    def shard_id(self) -> str:
        """The shard's text form, ``shardId-`` and 12 digits."""
        return shard_id(self.shard)

    @classmethod
    def _from_c(cls, info: Any) -> "Shard":
        def or_none(value: int, none: int = 0) -> Optional[int]:
            return None if value == none else value

        return cls(
            shard=info.shard, first_hash_key=hash_key_from_c(info.first_hash_key),
            last_hash_key=hash_key_from_c(info.last_hash_key), starting_seqno=info.starting_seqno,
            ending_seqno=or_none(info.ending_seqno), oldest_seqno=or_none(info.oldest_seqno),
            latest_seqno=or_none(info.latest_seqno), created_us=info.created_us, closed_us=or_none(info.closed_us),
            parent=or_none(info.parent, NO_SHARD), adjacent_parent=or_none(info.adjacent_parent, NO_SHARD),
            is_open=bool(info.is_open), health=info.health, oldest_arrival_us=or_none(info.oldest_arrival_us),
            latest_arrival_us=or_none(info.latest_arrival_us), stored_bytes=info.stored_bytes)


@dataclass(frozen=True)
class Limits:
    """What each shard takes and gives in a second while a stream is PROVISIONED."""

    write_bytes_per_second: int = 0
    write_records_per_second: int = 0
    read_bytes_per_second: int = 0
    read_calls_per_second: int = 0


@dataclass(frozen=True)
class AutoScaling:
    """When shards of an ON_DEMAND stream are split and merged by themselves; 0 is the library's default."""

    hot_percent: int = 0  #: split what is above this share of its write limit
    hot_seconds: int = 0  #: ... for so long
    cold_percent: int = 0  #: merge two neighbours that are together below this
    cold_seconds: int = 0  #: ... for so long
    shards_min: int = 0
    shards_max: int = 0


@dataclass(frozen=True)
class Cuts:
    """What trimming took from a stream's readers before they had read it."""

    count: int  #: how often a reader was told so
    records: int  #: at most so many were never given to it
    bytes: int
    lag_ms: int  #: from the arrival of what it was given last to that of what was left to give
    last_us: int  #: when a reader was told last; 0: never


@dataclass(frozen=True)
class StreamDescription:
    """A stream as it was at one moment."""

    name: str
    id: int  #: never used again in the store
    status: StreamStatus
    mode: StreamMode
    limits: Limits  #: also while the stream is ON_DEMAND and they do not count
    created_us: int
    retention_hours: int
    retention_bytes: int  #: the cap, 0: none
    record_bytes_max: int
    key_id: Optional[str]  #: what records are encrypted with from now on
    compression: Compression
    recompression: bool  #: upkeep compresses segments that are full
    auto_scaling: Optional[AutoScaling]  #: None: off
    cuts: Cuts
    shards: Tuple[Shard, ...]

    @property
    def open_shards(self) -> Tuple[Shard, ...]:
        """Those that take records."""
        return tuple(shard for shard in self.shards if shard.is_open)


@dataclass(frozen=True)
class ConsumerInfo:
    """A registered consumer: Kinesis's enhanced fan-out."""

    name: str
    id: int
    status: int
    created_us: int
    cuts: Cuts  #: of the stream's, what was to be pushed to it

    @classmethod
    def _from_c(cls, info: Any) -> "ConsumerInfo":
        return cls(ffi.string(info.name).decode(), info.id, info.status, info.created_us,
                   Cuts(info.cut_count, info.cut_records, info.cut_bytes, info.cut_lag_ms, info.cut_last_us))
