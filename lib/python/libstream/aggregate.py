"""Aggregates by hand: many small records in one, in the format of Kinesis's producer library. `aggregate.h` has all
that holds. An `AsyncProducer` packs them by itself, and iterators, subscriptions and mappings show what is in them
(`deaggregate`)."""

from __future__ import annotations

import threading
from typing import Any, List, NamedTuple, Optional

from libstream._handle import Handle
from libstream._native import ffi, lib
from libstream.errors import check
from libstream.producer import Bytes, Key, _flat
from libstream.values import hash_key_from_c, hash_key_to_c, options, utf8


class UserRecord(NamedTuple):
    """A record as it is put."""

    partition_key: str
    data: bytes
    explicit_hash_key: Optional[int]


def _bytes(found: Any) -> bytes:
    return bytes(ffi.buffer(found.data, found.size)[:]) if found.size else b""


class Aggregate(Handle):
    """Records that become one; threads take turns. It takes `records_max` of them (0: any number), and becomes
    `bytes_max` large, key and data (0: 51,200).

    >>> aggregate = Aggregate()
    >>> aggregate.add("customer-1", b"tea"), aggregate.add("customer-2", b"honey"), len(aggregate)
    (True, True, 2)
    >>> record = aggregate.record()
    >>> record.partition_key, [user.data for user in user_records(record.partition_key, record.data)]
    ('customer-1', [b'tea', b'honey'])
    """

    __slots__ = ("_turn",)

    _noun = "aggregate"
    _close_call = lib.ls_aggregate_close

    def __init__(self, records_max: int = 0, bytes_max: int = 0) -> None:
        self._turn = threading.RLock()
        out = ffi.new("ls_aggregate **")
        self._own(None, out, lib.ls_aggregate_open,
                  options("ls_aggregate_options", records_max=records_max, bytes_max=bytes_max), out)

    def add(self, partition_key: Key, data: Bytes, explicit_hash_key: Optional[int] = None) -> bool:
        """Add a record, if it fits: False when it does not. One that does not fit into an empty aggregate fits into
        none."""
        key = utf8(partition_key, "partition key") if isinstance(partition_key, str) else bytes(partition_key)
        flat = data if isinstance(data, bytes) else _flat(data)
        hash_key = ffi.NULL if explicit_hash_key is None else hash_key_to_c(explicit_hash_key)
        entry = ffi.new("ls_put_entry *", ((ffi.from_buffer(key), len(key)), (ffi.from_buffer(flat), len(flat)),
                                           hash_key))
        fits = ffi.new("int32_t *")
        check(self._gate.run(self._turn, lib.ls_aggregate_add, entry, fits))
        return bool(fits[0])

    def record(self) -> UserRecord:
        """The record to put: its key, and its explicit hash key if it has one, are those of the first. A single one is
        itself. Raises `WrongStateError` when there is none."""
        out = ffi.new("ls_put_entry *")

        def look(pointer: Any) -> UserRecord:
            check(lib.ls_aggregate_record(pointer, out))
            hash_key = None if out.explicit_hash_key == ffi.NULL else hash_key_from_c(out.explicit_hash_key[0])
            return UserRecord(_bytes(out.partition_key).decode(), _bytes(out.data), hash_key)

        found: UserRecord = self._gate.run(self._turn, look)
        return found

    def clear(self) -> None:
        """Make it empty again."""
        self._gate.run(self._turn, lib.ls_aggregate_clear)

    def __len__(self) -> int:
        """How many records it has."""
        return int(self._gate.run(self._turn, lib.ls_aggregate_count))

    def __bool__(self) -> bool:
        return True  # Also while it is empty.

    @property
    def size(self) -> int:
        """How many bytes key and data of the record to put have."""
        return int(self._gate.run(self._turn, lib.ls_aggregate_bytes, ffi.NULL))


def user_records(partition_key: Key, data: bytes, explicit_hash_key: Optional[int] = None) -> List[UserRecord]:
    """The user records of one record; of one that is no aggregate that is itself."""
    key = utf8(partition_key, "partition key") if isinstance(partition_key, str) else partition_key
    out, record = ffi.new("ls_user_records **"), ffi.new("ls_record *")
    check(lib.ls_user_records_open(out))
    records = ffi.gc(out[0], lib.ls_user_records_close)
    key_memory, memory = ffi.from_buffer(key), ffi.from_buffer(data)
    record.partition_key, record.data = (key_memory, len(key)), (memory, len(data))
    if explicit_hash_key is not None:
        record.explicit_hash_key = hash_key_to_c(explicit_hash_key)[0]
        record.flags = lib.LS_RECORD_EXPLICIT_HASH_KEY
    check(lib.ls_user_records_set(records, record, ffi.NULL))
    found: List[UserRecord] = []
    while True:
        it = lib.ls_user_records_next(records)
        if it == ffi.NULL:
            return found
        has_hash_key = it.flags & lib.LS_RECORD_EXPLICIT_HASH_KEY
        found.append(UserRecord(_bytes(it.partition_key).decode(), _bytes(it.data),
                                hash_key_from_c(it.explicit_hash_key) if has_hash_key else None))
