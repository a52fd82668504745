"""Groups: workers, in any processes, that share a stream's shards among them and remember how far each was worked on.
What the Kinesis Client Library is to Kinesis; `lease.h` has all that holds."""

from __future__ import annotations

import enum
import operator
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple, Union

from libstream._handle import Handle, Unique, turn
from libstream._native import ffi, lib
from libstream._waiting import slices
from libstream.batch import Record
from libstream.errors import InvalidArgumentError, WrongStateError, check
from libstream.iterator import Iterator
from libstream.values import Position, PositionLike, RecordId, c_text, options, position

if TYPE_CHECKING:
    from libstream.stream import Stream

_ALL_OF_IT = 0xFFFFFFFF


class LeaseState(enum.IntEnum):
    """How far a shard was worked on."""

    NOT_BEGUN = lib.LS_LEASE_NOT_BEGUN
    BEGUN = lib.LS_LEASE_BEGUN  #: up to and with `seqno`
    ENDED = lib.LS_LEASE_ENDED  #: to its end
    WAITING = lib.LS_LEASE_WAITING  #: in a list: not begun, and cannot be before its parents have ended


class GroupEventKind(enum.IntEnum):
    """What happened to a worker."""

    TAKEN = lib.LS_GROUP_TAKEN  #: it has the lease now
    WANTED = lib.LS_GROUP_WANTED  #: another worker asks for it: `Lease.close` gives it over
    LOST = lib.LS_GROUP_LOST  #: another worker has it, or it is gone with its shard


@dataclass(frozen=True)
class LeaseInfo:
    """A lease as it was at one moment."""

    shard: int
    state: LeaseState
    seqno: int  #: of the checkpoint
    sub_seqno: Optional[int]  #: which part of a record that holds several; None: all of it
    position: Position  #: where to go on reading
    counter: int  #: rises with every change of owner and every checkpoint
    switches: int  #: of the owner, since the last checkpoint
    owner: str  #: the worker's name; "": nobody has it
    owner_lives: bool
    millis_behind_latest: Optional[int]  #: age of the oldest record that is not covered; None: not known
    pending_seqno: Optional[int] = None  #: of a checkpoint that was prepared and not made; None: there is none
    pending_sub_seqno: Optional[int] = None  #: as `sub_seqno`
    pending_state: bytes = b""  #: what was said with it

    @classmethod
    def _from_c(cls, info: Any) -> "LeaseInfo":
        start, pending = info.position, info.pending_seqno
        has_state = pending != lib.LS_SEQNO_NONE and info.pending_state.size > 0
        return cls(info.shard, LeaseState(info.state), info.seqno,
                   None if info.sub_seqno == _ALL_OF_IT else info.sub_seqno,
                   Position(start.kind, start.seqno, start.timestamp_us, start.sub_seqno), info.counter, info.switches,
                   ffi.string(info.owner).decode(), bool(info.owner_lives),
                   None if info.millis_behind_latest < 0 else info.millis_behind_latest,
                   None if pending == lib.LS_SEQNO_NONE else pending,
                   None if pending == lib.LS_SEQNO_NONE or info.pending_sub_seqno == _ALL_OF_IT else
                   info.pending_sub_seqno,
                   ffi.buffer(info.pending_state.data, info.pending_state.size)[:] if has_state else b"")


class Lease(Unique):
    """A lease that a worker has, or had: `Group.next` gives it. It is over with `close`, or when its group is closed.
    One call at a time is made on a worker and its leases: others wait for it."""

    __slots__ = ("_group", "_pointer", "_shard", "_transactions", "__weakref__")

    def __init__(self, group: "Group", pointer: Any) -> None:
        self._group = group
        self._pointer = pointer
        self._transactions = 0  # Those that have a checkpoint of it.
        self._shard = self.describe().shard

    @property
    def shard(self) -> int:
        """Index of the shard."""
        return self._shard

    @property
    def closed(self) -> bool:
        """Whether it was given back, or its group was closed."""
        return self._pointer is None or self._group.closed

    def _get(self) -> Any:
        if self._pointer is None:
            raise WrongStateError("the lease of shard %d is closed" % self._shard)
        return self._pointer

    def describe(self) -> LeaseInfo:
        """As it was when it was last read or written."""
        info = options("ls_lease_info")
        with self._group._gate, self._group._turn:
            check(lib.ls_lease_describe(self._get(), info))
            return LeaseInfo._from_c(info)

    def iterator(self, **settings: Any) -> Iterator:
        """An iterator over the shard, from where the lease stands; settings are those of `Stream.iterator`."""
        stream: Any = self._group._parent
        found: Iterator = stream.iterator(self._shard, self.describe().position, **settings)
        return found

    def checkpoint(self, record: Union[Record, RecordId, int], sub_seqno: Optional[int] = None) -> None:
        """Note that the shard was worked on up to a record, this one included, or with `sub_seqno` up to this part of
        it. Durable when it returns. Raises `LeaseLostError` when another worker has the lease: nothing was changed, and
        nothing can be; `InvalidArgumentError` when it goes back."""
        seqno, sub = place_of(record, sub_seqno)
        with self._group._gate, self._group._turn:
            check(lib.ls_lease_checkpoint(self._get(), seqno, sub))

    def prepare(self, record: Union[Record, RecordId, int, None], sub_seqno: Optional[int] = None,
                state: bytes = b"") -> None:
        """Note that a checkpoint is about to be made, and what for: whoever has the lease is shown it (`pending_...` of
        `describe`) until one is made. Where the lease stands does not change. Durable when it returns. `state`: up to
        1,024 bytes. None for the record: nothing is prepared any more. Raises what `checkpoint` raises, and
        `TooLargeError`."""
        seqno, sub = (lib.LS_SEQNO_NONE, 0) if record is None else place_of(record, sub_seqno)
        memory = ffi.from_buffer(state)
        with self._group._gate, self._group._turn:
            check(lib.ls_lease_prepare(self._get(), seqno, sub, (memory, len(memory))))

    def end(self) -> None:
        """Note that a closed shard was worked on to its end (`Batch.is_shard_end`), which makes its children's leases.
        """
        with self._group._gate, self._group._turn:
            check(lib.ls_lease_end(self._get()))

    def close(self) -> None:
        """Give it back. Closing twice is fine."""
        if self.closed:
            return
        if self._transactions > 0:
            raise WrongStateError("a transaction has a checkpoint of the lease of shard %d: commit it, or abort it"
                                  % self._shard)
        with self._group._gate, turn(self._group._turn, self._group._noun):
            pointer, self._pointer = self._pointer, None
            if pointer is not None:
                self._group._leases.pop(int(ffi.cast("uintptr_t", pointer)), None)
                check(lib.ls_lease_close(pointer))

    def __repr__(self) -> str:
        return "<Lease of shard %d%s>" % (self._shard, ", closed" if self.closed else "")


def place_of(record: Union[Record, RecordId, int], sub_seqno: Optional[int]) -> Tuple[int, int]:
    """Number and part that are meant."""
    if isinstance(record, Record) and sub_seqno is None:
        sub_seqno = record.sub_seqno
    given: Any = record
    seqno = operator.index(given) if hasattr(given, "__index__") else given.seqno  # Also a number of NumPy's.
    sub = _ALL_OF_IT if sub_seqno is None else sub_seqno
    if not (0 <= seqno < 1 << 64 and 0 <= sub <= _ALL_OF_IT):
        raise InvalidArgumentError("there is no record %d, part %d: a number is out of its range" % (seqno, sub))
    return seqno, sub


class GroupEvent(NamedTuple):
    """What `Group.next` tells."""

    kind: GroupEventKind
    lease: Lease


class Group(Handle):
    """A worker of a group: `Stream.group` opens it, and makes the group when there is none of that name.

    `next` is called again and again, at least every third part of `failover_ms`; who is busy elsewhere for longer calls
    `renew` meanwhile. A checkpoint never goes back, and whoever has lost a lease cannot write one any more: records
    behind the last one come again to the next worker.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("orders")
    >>> stream.producer().put_many("k", [b"tea", b"honey"]).failed
    0
    >>> with stream.group("printers") as group:
    ...     event = group.next(10)
    ...     for record in event.lease.iterator():
    ...         print(record.data)
    ...         event.lease.checkpoint(record)
    b'tea'
    b'honey'
    >>> [(lease.shard, lease.state.name) for lease in stream.leases("printers")]
    [(0, 'BEGUN')]
    >>> store.close()
    """

    __slots__ = ("_turn", "_leases", "_name", "_event", "_held")

    _noun = "group"
    _close_call = lib.ls_group_close

    def __init__(self, stream: "Stream", name: str, start: PositionLike, worker: Optional[str], failover_ms: int,
                 handover_ms: int, leases_max: int) -> None:
        self._turn = threading.RLock()
        self._event = options("ls_group_event")
        self._event.kind = lib.LS_GROUP_NOTHING
        self._held: Optional[GroupEvent] = None
        self._leases: Dict[int, Lease] = {}
        self._name = name
        begin = position(start)._to_c()
        text = ffi.NULL if worker is None else ffi.new("char[]", c_text(worker, "worker"))
        settings = options("ls_group_options", failover_ms=failover_ms, handover_ms=handover_ms, leases_max=leases_max,
                           position=begin, worker=text)
        out = ffi.new("ls_group **")
        self._own(stream, out, lib.ls_group_open, c_text(name, "group"), settings, out)

    def next(self, timeout: Optional[float] = None) -> Optional[GroupEvent]:
        """Do what a worker does, and tell what happened to this one's leases; None when nothing has for `timeout`
        seconds (None: no end). Raises `CancelledError` after `cancel`, `NotFoundError` when the group was deleted."""
        told: Optional[GroupEvent] = None

        def step(pointer: Any, wait_ms: int) -> None:
            nonlocal told
            told = self._next(pointer, wait_ms)
            self._held = None
            self._event.kind = lib.LS_GROUP_NOTHING

        try:
            for wait_ms in slices(timeout):
                self._gate.run(self._turn, step, wait_ms)
                if told is not None:
                    return told
        except BaseException:  # Of a signal's handler: what it kept from who had asked is what comes next.
            self._held = told or self._held
            raise
        return None

    def _next(self, pointer: Any, wait_ms: int) -> Optional[GroupEvent]:
        event = self._event
        if self._held is not None:
            return self._held
        if event.kind == lib.LS_GROUP_NOTHING:  # Else it was kept from who had asked.
            check(lib.ls_group_next(pointer, wait_ms, event))
        if event.kind == lib.LS_GROUP_NOTHING:
            return None
        key = int(ffi.cast("uintptr_t", event.lease))
        if key not in self._leases:
            self._leases[key] = Lease(self, event.lease)
        return GroupEvent(GroupEventKind(event.kind), self._leases[key])

    def renew(self) -> None:
        """Tell others that this worker lives. Does not take back what was lost. Any thread may, also during `next`."""
        self._gate.run(None, lib.ls_group_renew)

    def cancel(self) -> None:
        """Let `next` raise `CancelledError`, now and from now on."""
        self._gate.run(None, lib.ls_group_cancel)

    def _interrupt(self, pointer: Any) -> None:
        lib.ls_group_cancel(pointer)

    def __repr__(self) -> str:
        return "<Group %r%s>" % (self._name, ", closed" if self.closed else "")


def leases(stream: "Stream", group: str) -> List[LeaseInfo]:
    """All leases of a group or mapping, by shard."""
    out = ffi.new("ls_lease_list **")
    stream._call(lib.ls_stream_list_leases, c_text(group, "group"), out)
    listed = ffi.gc(out[0], lib.ls_lease_list_free)
    found = []
    for index in range(lib.ls_lease_list_count(listed)):
        info = options("ls_lease_info")
        check(lib.ls_lease_list_at(listed, index, info))
        found.append(LeaseInfo._from_c(info))
    return found
