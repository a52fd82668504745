"""Records as they were read: a batch is one copy of what the library showed, and records are places in it.

B1 A batch is two immutable `bytes` objects, one of all data and keys and one of all numbers. Every view that is given
   out is a view of one of them, so it stays what it is for as long as anybody keeps it, whatever became of the
   iterator, the stream and the store.
B2 Nothing is made for a record before it is asked for: arrays are views, a `Record` is two words.
"""

from __future__ import annotations

import importlib
import operator
from array import array
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Dict, Iterator as IteratorOf, List, Optional, Sequence, Tuple, Union, overload

from libstream._handle import Unique
from libstream._native import ffi, lib
from libstream._walk import Content, Place, copy, places
from libstream.errors import WrongStateError, check
from libstream.values import RecordId, from_us, hash_key_from_c


class Record(Place):
    """One record. It keeps its batch alive, and so do the views that it gives. A copy, or one that was pickled, is by
    itself."""

    __slots__ = ()

    @property
    def view(self) -> memoryview:
        """The data, without copying: read-only, valid for as long as it is kept."""
        batch, index = self._batch, self._index
        starts = batch._data_starts
        return memoryview(batch._bytes)[starts[index]:starts[index + 1]]

    @property
    def shard(self) -> int:
        """Index of the shard."""
        return self._batch.shard

    @property
    def id(self) -> RecordId:
        """Shard and number, which name the record in its stream."""
        return RecordId(self._batch.shard, self.seqno)

    @property
    def arrival(self) -> datetime:
        """When it arrived, in UTC."""
        return from_us(self.arrival_us)

    @property
    def sub_seqno(self) -> Optional[int]:
        """Of a user record of an aggregate, where that was asked for (`deaggregate`): its place in it, from 0."""
        subs = self._batch._subs
        return subs[3 * self._index] if subs and subs[3 * self._index + 2] & lib.LS_RECORD_AGGREGATED else None

    @property
    def sub_count(self) -> int:
        """Of a user record of an aggregate: how many that has; else 0."""
        subs = self._batch._subs
        return subs[3 * self._index + 1] if subs else 0

    @property
    def is_outside_shard(self) -> bool:
        """Of a user record of an aggregate: its key belongs to another shard (`LS_RECORD_OUTSIDE_SHARD`)."""
        subs = self._batch._subs
        return bool(subs and subs[3 * self._index + 2] & lib.LS_RECORD_OUTSIDE_SHARD)

    @property
    def is_encrypted(self) -> bool:
        """It is stored encrypted (`LS_RECORD_ENCRYPTED`): it was put between `Stream.start_encryption` and
        `Stream.stop_encryption`."""
        subs = self._batch._subs
        return bool(subs and subs[3 * self._index + 2] & lib.LS_RECORD_ENCRYPTED)

    @property
    def explicit_hash_key(self) -> Optional[int]:
        """The hash key that the producer gave, if it gave one."""
        return self._batch._explicit.get(self._index)

    def _alone(self) -> "Batch":
        """A batch of this record."""
        data, key, subs, index = self.data, self.partition_key_bytes, self._batch._subs, self._index
        numbers = array("q", [0, len(data), 0, len(key), self.seqno, self.arrival_us])
        hash_key = self.explicit_hash_key
        return _batch_again(data + key, len(data), 1, numbers.tobytes(), {} if hash_key is None else {0: hash_key},
                            None if subs is None else subs[3 * index:3 * index + 3].tobytes(), self.shard,
                            self._batch.millis_behind_latest, False, ())

    def __reduce__(self) -> Any:
        return Record, (self._alone(), 0)  # Its batch stays where it is.

    def __eq__(self, other: object) -> bool:
        """Whether it is the same record: place, key, data and arrival."""
        if not isinstance(other, Record):
            return NotImplemented
        return (self.id, self.sub_seqno, self.arrival_us, self.partition_key_bytes, self.data) == (
            other.id, other.sub_seqno, other.arrival_us, other.partition_key_bytes, other.data)

    def __hash__(self) -> int:
        return hash((self.id, self.sub_seqno))

    def __len__(self) -> int:
        """Bytes of data."""
        starts = self._batch._data_starts
        return int(starts[self._index + 1] - starts[self._index])

    def __bool__(self) -> bool:
        return True  # Also without data.

    def __repr__(self) -> str:
        data = self.data
        return "<Record %d of shard %d, key %r, %d bytes %r%s>" % (
            self.seqno, self.shard, self.partition_key, len(data), data[:32], "..." if len(data) > 32 else "")


if not TYPE_CHECKING:
    # What a class statement makes takes part in the search for cycles, which costs a fifth of reading records: so the
    # type of C, which does not, gets all that the class has, and takes its place.
    for _name, _value in list(vars(Record).items()):
        if _name != "__slots__":
            setattr(Place, _name, _value)
    Place.__name__ = Place.__qualname__ = "Record"
    Record = Place


class Batch(Content, Sequence[Record]):
    """Records of one shard, in order; perhaps none, when the time was over.

    As a sequence it gives `Record` objects. `data`, `data_offsets` and the like are the same as arrays, for NumPy
    (``numpy.asarray(batch.seqnos)``), Arrow and whatever else knows buffers: record `i` is
    ``batch.data[batch.data_offsets[i]:batch.data_offsets[i + 1]]``. None of them is copied, all are read-only.
    """

    __slots__ = ("_data_starts", "_key_starts", "_seqnos", "_arrivals_us", "_explicit", "_subs", "_of", "shard",
                 "millis_behind_latest", "is_shard_end", "children", "__weakref__")

    shard: int  #: index of the shard; `NO_SHARD` in an empty batch of all shards
    millis_behind_latest: int  #: how far it is behind the tip, 0 when it reaches it
    is_shard_end: bool  #: the shard is closed, and nothing will ever follow
    children: Tuple[int, ...]  #: at the end of a shard: those that go on
    _subs: Optional[memoryview]  # Of three for each record, if any is of an aggregate, or encrypted.

    def __init__(self, shown: "Page", of: Any = None) -> None:
        page = shown.pointer
        self._of = of  # What shows the batch that this is a copy of, for as long as that is there.
        self._take(*copy(shown.address), page.data_bytes, page.count)
        self._explicit: Dict[int, int] = {
            page.explicit_at[i]: hash_key_from_c(page.explicit_keys[i]) for i in range(page.explicit_count)}
        self._subs = memoryview(ffi.buffer(page.subs, 12 * page.sub_count)[:]).cast("I") if page.sub_count else None
        self.shard = page.shard
        self.millis_behind_latest = page.millis_behind_latest
        self.is_shard_end = bool(page.is_shard_end)
        self.children = tuple(page.children[i] for i in range(page.child_count))

    def _take(self, content: bytes, numbers: bytes, data_bytes: int, count: int) -> None:
        self._have(content, numbers, data_bytes, count)
        index = memoryview(numbers).cast("q")
        self._data_starts = index[:count + 1]
        self._key_starts = index[count + 1:2 * count + 2]
        self._seqnos = index[2 * count + 2:3 * count + 2]
        self._arrivals_us = index[3 * count + 2:]

    def __reduce__(self) -> Any:
        """What it has is pickled and copied; what an iterator read last it is no more then."""
        return _batch_again, (self._bytes, self._data_bytes, self._count, self._numbers, self._explicit,
                              None if self._subs is None else self._subs.tobytes(), self.shard,
                              self.millis_behind_latest, self.is_shard_end, self.children)

    @contextmanager
    def _live(self) -> IteratorOf[Any]:
        """The library's own batch, for calls that look at it."""
        shown = self._of() if self._of is not None else None
        if shown is None:
            raise WrongStateError("this batch is over: only the one that an iterator read last, or within a mapping's "
                                  "function its own, can be shown")
        with shown._show(self) as pointer:
            yield pointer

    @property
    def data(self) -> memoryview:
        """The data of all records, one behind the other."""
        return memoryview(self._bytes)[:self._data_bytes]

    @property
    def data_offsets(self) -> memoryview:
        """Where each record's data begins in `data`, and where the last one's ends: `len(batch) + 1` of int64."""
        return self._data_starts

    @property
    def keys(self) -> memoryview:
        """The partition keys of all records in UTF-8, one behind the other."""
        return memoryview(self._bytes)[self._data_bytes:]

    @property
    def key_offsets(self) -> memoryview:
        """Where each record's key begins in `keys`, and where the last one's ends: `len(batch) + 1` of int64."""
        return self._key_starts

    @property
    def seqnos(self) -> memoryview:
        """The sequence numbers, int64: they are below 2**63."""
        return self._seqnos

    @property
    def arrivals_us(self) -> memoryview:
        """When each arrived, microseconds since the epoch, int64."""
        return self._arrivals_us

    def to_arrow(self) -> Any:
        """A `pyarrow.RecordBatch` with the columns `data` and `partition_key` (large_binary, large_string), `seqno` and
        `arrival` (timestamp of microseconds, UTC), over this batch's memory. Needs pyarrow."""
        arrow = importlib.import_module("pyarrow")

        def column(kind: Any, *buffers: Any) -> Any:
            return arrow.Array.from_buffers(kind, self._count, [None] + [arrow.py_buffer(b) for b in buffers])

        return arrow.RecordBatch.from_arrays(
            [column(arrow.large_binary(), self._data_starts, self.data),
             column(arrow.large_string(), self._key_starts, self.keys),
             column(arrow.int64(), self._seqnos),
             column(arrow.timestamp("us", "UTC"), self._arrivals_us)],
            names=["data", "partition_key", "seqno", "arrival"])

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> List[Record]: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[Record, List[Record]]:
        if isinstance(index, slice):
            return [Record(self, i) for i in range(*index.indices(self._count))]
        at: int = operator.index(index)
        if not -self._count <= at < self._count:
            raise IndexError("record %d of a batch of %d" % (at, self._count))
        return Record(self, at % self._count)

    def _encrypted(self) -> List[int]:
        """Which of the records are stored encrypted."""
        flags = self._subs.tolist()[2::3] if self._subs else []
        return [index for index, said in enumerate(flags) if said & lib.LS_RECORD_ENCRYPTED]

    def _records(self) -> List[Record]:
        return places(Record, self, self._count)

    def __iter__(self) -> IteratorOf[Record]:
        return iter(self._records())

    def __repr__(self) -> str:
        return "<Batch of %d records of shard %s%s>" % (
            self._count, self.shard if self.shard != lib.LS_NO_SHARD else "none",
            ", its end" if self.is_shard_end else "")


def _batch_again(content: bytes, data_bytes: int, count: int, numbers: bytes, explicit: Dict[int, int],
                 subs: Optional[bytes], shard: int, millis_behind_latest: int, is_shard_end: bool,
                 children: Tuple[int, ...]) -> Batch:
    made = Batch.__new__(Batch)
    made._of = None
    made._take(content, numbers, data_bytes, count)
    made._explicit = explicit
    made._subs = None if subs is None else memoryview(subs).cast("I")
    made.shard, made.millis_behind_latest = shard, millis_behind_latest
    made.is_shard_end, made.children = is_shard_end, children
    return made


class Page(Unique):
    """What a batch is copied by; used again and again by one thread at a time."""

    __slots__ = ("pointer", "address")

    def __init__(self) -> None:
        self.pointer = ffi.new("lsi_py_page *")
        self.address = int(ffi.cast("uintptr_t", self.pointer))

    def __del__(self) -> None:
        if hasattr(self, "pointer"):
            lib.lsi_py_page_release(self.pointer)


def batch_of(pointer: Any, fill: Any = lib.lsi_py_page_fill, of: Any = None) -> Batch:
    """The copy of what C showed to a callback. `of`: asked for what has a `_show`."""
    page = Page()  # Not one of the thread's: a signal's handler may be called back itself before this is copied.
    check(fill(page.pointer, pointer))
    return Batch(page, of)
