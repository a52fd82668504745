"""Transactions: puts to several shards and streams of one store, and checkpoints, that are done as one step or not at
all. `txn.h` has all that holds."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, List, Optional, Type, Union

from libstream._handle import Handle, turn
from libstream._native import ffi, lib
from libstream.batch import Record
from libstream.errors import WrongStateError, check
from libstream.group import Group, Lease, place_of
from libstream.producer import Bytes, Key, _flat, put_options
from libstream.values import RecordId, utf8

if TYPE_CHECKING:
    from libstream.store import Store
    from libstream.stream import Stream


class Transaction(Handle):
    """What was added to it is done by `commit`, all or nothing, and durable then in every mode; it can be used again
    afterwards. `Store.transaction` opens it. At the end of a `with` what is in it is committed, unless an exception
    came; to close it forgets that. Closing the store, or a stream or group that it has something of, closes it, too:
    then the end of the `with` raises `WrongStateError`, for what was in it is lost.

    >>> store = Store("memory:")
    >>> one, two = store.create_stream("one"), store.create_stream("two")
    >>> with store.transaction() as transaction:
    ...     transaction.put(one, "customer-1", b"tea")
    ...     transaction.put(two, "customer-1", b"paid")
    ...     len(list(one.iterator())), len(transaction.commit())
    (0, 2)
    >>> [record.data for stream in (one, two) for record in stream.iterator()]
    [b'tea', b'paid']
    >>> store.close()
    """

    __slots__ = ("_turn", "_used", "_leases", "_count", "_is_taken", "_lost")

    _noun = "transaction"
    _close_call = lib.ls_txn_close

    def __init__(self, store: "Store") -> None:
        self._turn = threading.RLock()
        self._used: List[Union["Stream", Group]] = []  # They are closed after it.
        self._leases: List[Lease] = []
        self._count = 0
        self._is_taken = False  # It is closed by what it was used with.
        self._lost = ""  # What that took with it.
        out = ffi.new("ls_txn **")
        self._own(store, out, lib.ls_txn_begin, ffi.NULL, out)

    def _use(self, other: Union["Stream", Group]) -> None:
        if other not in self._used:
            self._used.append(other)
            self._belong(other)

    def put(self, stream: "Stream", partition_key: Key, data: Bytes, explicit_hash_key: Optional[int] = None) -> None:
        """Add a record. Raises what `Producer.put` raises for a record that cannot be put; nothing was added then."""
        key = utf8(partition_key, "partition key") if isinstance(partition_key, str) else bytes(partition_key)
        flat = data if isinstance(data, bytes) else _flat(data)
        settings, _keep = put_options(None, 0, explicit_hash_key) if explicit_hash_key is not None else (ffi.NULL, None)

        def add(pointer: Any) -> None:
            stream._gate.run(None, add_to, pointer)

        def add_to(to: Any, pointer: Any) -> None:
            self._use(stream)
            check(lib.ls_txn_put(pointer, to, (ffi.from_buffer(key), len(key)), (ffi.from_buffer(flat), len(flat)),
                                 settings))
            self._count += 1

        self._gate.run(self._turn, add)

    def checkpoint(self, lease: Lease, record: Union[Record, RecordId, int], sub_seqno: Optional[int] = None) -> None:
        """Add a checkpoint of a lease, as `Lease.checkpoint`; a later one of the same lease takes its place. All leases
        of a transaction are of one stream."""
        seqno, sub = place_of(record, sub_seqno)
        with self._gate as pointer:
            with lease._group._gate, lease._group._turn, turn(self._turn, self._noun):
                self._use(lease._group)
                check(lib.ls_txn_checkpoint(pointer, lease._get(), seqno, sub))
                if lease not in self._leases:
                    self._leases.append(lease)
                    lease._transactions += 1

    def commit(self) -> List[RecordId]:
        """Do all of it. Answers where each record is, in the order of the puts. Raises `LeaseLostError` when another
        worker has one of the leases; after `InputOutputError` the outcome is unknown, for all of it the same, and it
        takes nothing more until `abort`; after any other error nothing was done, and it may be tried again."""
        def do(pointer: Any) -> List[RecordId]:
            results = ffi.new("ls_record_id[]", self._count)
            self._commit(pointer, results, list({lease._group for lease in self._leases}))
            done = [RecordId(results[i].shard, results[i].seqno) for i in range(self._count)]
            self._forget()
            return done

        stored: List[RecordId] = self._gate.run(self._turn, do)
        return stored

    def _commit(self, pointer: Any, results: Any, groups: List[Group]) -> None:
        """While nobody calls one of these."""
        if groups:
            with groups[0]._gate, groups[0]._turn:
                self._commit(pointer, results, groups[1:])
            return
        check(lib.ls_txn_commit(pointer, results, self._count))

    def abort(self) -> None:
        """Forget what was added; nothing of it is done. Also after a commit whose outcome is unknown."""
        def do(pointer: Any) -> None:
            lib.ls_txn_abort(pointer)
            self._forget()

        self._gate.run(self._turn, do)

    def _forget(self) -> None:
        for lease in self._leases:
            lease._transactions -= 1
        self._leases, self._count = [], 0

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        try:
            if kind is None and not self.closed and (self._count > 0 or self._leases):
                self.commit()
        except BaseException as failed:
            super().__exit__(type(failed), failed, failed.__traceback__)
            raise
        super().__exit__(kind, error, trace)
        if kind is None and self._lost:
            raise WrongStateError("%s of a transaction were lost: the store, or a stream or group of them, was closed "
                                  "before the transaction was committed" % self._lost)

    def _close_with_parent(self) -> None:
        self._is_taken = True
        self.close()

    def _release(self) -> None:
        super()._release()
        if self._is_taken and (self._count > 0 or self._leases):
            self._lost = "%d records and %d checkpoints" % (self._count, len(self._leases))
        self._forget()
        for used in self._used:
            used._child_closed(self)
