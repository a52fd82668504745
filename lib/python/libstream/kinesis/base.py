"""What all operations of the client stand on: how they are called, and the streams and readers that it keeps open."""

from __future__ import annotations

import functools
import inspect
import os
import re
import threading
import time
from collections import OrderedDict
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator as IteratorOf, List, Optional, Tuple, TypeVar, Union

import libstream.errors as plain
from libstream._handle import add_context, of_this_process
from libstream._native import ffi, lib
from libstream.batch import Batch
from libstream.iterator import Iterator
from libstream.kinesis import constraints, numbers, shapes
from libstream.kinesis.errors import Exceptions, Refusal, constraint, invalid, not_found, translate
from libstream.producer import Producer
from libstream.store import Store
from libstream.stream import Stream
from libstream.values import Position, Shard, StreamMode, shard_id

Method = TypeVar("Method", bound=Callable[..., Any])

ACCOUNT = "000000000000"
_READERS_MAX = 64
_TRIES = 4
_MODE_S = 0.1
_ARN = re.compile(r"arn:aws.*:kinesis:.*:\d{12}:stream/([a-zA-Z0-9_.-]+)(?:/consumer/([a-zA-Z0-9_.-]+):([0-9]+))?")


def action(method: Method) -> Method:
    """An operation: arguments by name only, checked as botocore and the service check them; errors as boto3's."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    known = sorted({p.name for p in parameters} | {"StreamId"})
    needed = sorted(p.name for p in parameters if p.default is p.empty)
    operation = "".join(part.capitalize() for part in method.__name__.split("_"))

    @functools.wraps(method)
    def call(self: "Base", **arguments: Any) -> Any:
        shapes.check(arguments, known, needed)
        arguments.pop("StreamId", None)
        shapes.read_files(arguments)
        try:
            constraints.check(arguments, operation)
            of_this_process(self._pid, "client")
        except Refusal as error:
            raise translate(error, operation) from None
        except plain.Error as error:
            raise translate(error, operation) from error
        for attempt in range(self._retries + 1):
            try:
                return method(self, **arguments)
            except plain.ThrottlingError as error:  # Nothing was done: boto3 tries again, too.
                if attempt == self._retries:
                    raise translate(error, operation) from error
                time.sleep(error.retry_after)
            except (plain.Error, Refusal) as error:
                raise translate(error, operation) from (None if isinstance(error, Refusal) else error)
            except OverflowError as error:  # No number of C's, and of none of the service's.
                raise translate(invalid("A number is out of its range: %s" % error), operation) from error

    setattr(call, "operation", operation)  # So `Client.can_paginate` knows one.
    return call  # type: ignore[return-value]


class Reader:
    """An iterator that one call at a time uses."""

    __slots__ = ("iterator", "stream")

    def __init__(self, iterator: Iterator, stream: Stream) -> None:
        self.iterator = iterator
        self.stream = stream


class Opened:
    """A stream with what is needed to put into it and to give its numbers 56 digits."""

    def __init__(self, stream: Stream) -> None:
        found = stream.describe()
        self.stream = stream
        self.id = found.id
        self._stream_created_us = found.created_us
        self._was_limited = found.mode == StreamMode.PROVISIONED
        self._was_encrypted = found.key_id is not None
        self._asked_until = time.monotonic() + _MODE_S
        self._producer: Optional[Producer] = None
        self._created: Dict[int, int] = {}
        self._followers: Dict[int, Iterator] = {}
        self._lock = threading.RLock()  # A signal's handler may come to the stream that its thread puts into.

    @property
    def is_gone(self) -> bool:
        """Whether it was deleted, or closed by another thread."""
        try:
            self.stream.describe()
            return False
        except (plain.NotFoundError, plain.WrongStateError):
            return True

    @property
    def is_limited(self) -> bool:
        """Whether reads are counted, or were a tenth of a second ago."""
        self._ask()
        return self._was_limited

    @property
    def encryption(self) -> Dict[str, str]:
        """What answers say of it: nothing, unless what is put is encrypted, or was a tenth of a second ago."""
        self._ask()
        return {"EncryptionType": "KMS"} if self._was_encrypted else {}

    def ask_anew(self) -> None:
        """What was known is another now."""
        self._asked_until = 0.0

    def _ask(self) -> None:
        """Anybody may change it, and asking costs as much as a put."""
        now = time.monotonic()
        if now >= self._asked_until:
            out = ffi.new("ls_stream_description **")
            self.stream._call(lib.ls_stream_describe, out)
            found = ffi.gc(out[0], lib.ls_stream_description_free)
            self._was_limited = lib.ls_stream_description_mode(found) == StreamMode.PROVISIONED
            self._was_encrypted = lib.ls_stream_description_key_id(found)[0] != b"\0"
            self._asked_until = now + _MODE_S

    @property
    def producer(self) -> Producer:
        """Opened with the first put: a store that is open for reading only has none."""
        with self._lock:
            if self._producer is None:
                self._producer = self.stream.producer()
            return self._producer

    def created_seconds(self, shard: int) -> int:
        """When a shard was created, which is in its numbers."""
        if shard not in self._created:
            self._created.update((found.shard, found.created_us // 1_000_000) for found in self.stream.shards())
        if shard not in self._created:
            raise plain.NotFoundError("there is no shard %d" % shard)
        return self._created[shard]

    def text(self, shard: int, seqno: int, time_us: int) -> str:
        """A number's text."""
        return numbers.to_text(shard, seqno, self.created_seconds(shard), time_us // 1_000_000)

    def text_of_put(self, shard: int, seqno: int, time_us: int) -> str:
        """The text of a number that a record has been given: it is told even when the shard cannot be looked at."""
        try:
            return self.text(shard, seqno, time_us)
        except plain.Error:
            return numbers.to_text(shard, seqno, self._stream_created_us // 1_000_000, time_us // 1_000_000)

    def arrivals(self, shard: int, first: int, last: int, put_us: int) -> Callable[[int], int]:
        """When the records with numbers from `first` to `last` arrived, which were put since `put_us`; right to the
        second. Their texts have it, and putting does not tell it.

        A reader that follows the shard finds its own records next. Of a provisioned stream reads are counted, and
        belong to others: there the arrival of the shard's last record says it, unless a second has begun meanwhile.
        The records are stored, whatever is found: of those that cannot be read `put_us` is told, and nothing is
        raised, for the caller would put them again.
        """
        try:
            if self.is_limited:
                latest = next((s for s in self.stream.describe().shards if s.shard == shard), None)
                arrival = latest.latest_arrival_us if latest is not None else None
                if latest is not None and arrival is not None and (
                        latest.latest_seqno == first or arrival // 1_000_000 == put_us // 1_000_000):
                    common = arrival
                    return lambda seqno: common
            with self._lock:
                found = self._read_back(shard, first, last)
        except plain.Error:
            found = {}
        return lambda seqno: found.get(seqno, put_us)

    def _read_back(self, shard: int, first: int, last: int) -> Dict[int, int]:
        """The arrivals from `first` to `last`, as far as they can be read."""
        found: Dict[int, int] = {}
        follower = self._followers.get(shard)
        if follower is None:
            follower = self._followers[shard] = self.stream.iterator(shard, Position.at(first))
        while first <= last:
            batch = self._follow(follower, first)
            if len(batch) == 0:
                break
            found.update(zip(batch.seqnos, batch.arrivals_us))
            first = batch.seqnos[len(batch) - 1] + 1
        return found

    def _follow(self, follower: Iterator, first: int) -> Batch:
        """The next batch with numbers from `first` on."""
        try:
            batch = self._next(follower)
            if len(batch) > 0 and batch.seqnos[len(batch) - 1] >= first:
                return batch
        except plain.Error:  # What it stands before has expired, or is sealed with a key that is not here.
            pass
        follower.seek(Position.at(first))  # Or others put much in between, or it has gone by.
        return self._next(follower)

    @staticmethod
    def _next(follower: Iterator) -> Batch:
        for _ in range(_TRIES):  # Others may take every read that the limits give.
            try:
                return follower.next_batch()
            except plain.ThrottledError as error:
                time.sleep(error.retry_after)
        return follower.next_batch()


class Base:
    """What the parts of the client share. Any thread may use a client. Where a stream's limits refuse a call it is
    tried again up to `retries` times, as boto3 does."""

    def __init__(self, store: Union[str, "os.PathLike[str]", Store], *, region_name: str = "us-east-1",
                 account: str = ACCOUNT, retries: int = 4) -> None:
        self._is_own = not isinstance(store, Store)
        self._store: Store = store if isinstance(store, Store) else Store(store)
        self._account = account
        self._region = region_name
        self._retries = retries
        self._opened: Dict[str, Opened] = {}
        self._readers: "OrderedDict[str, Reader]" = OrderedDict()
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self.exceptions = Exceptions()
        self.meta = SimpleNamespace(
            region_name=region_name, service_model=SimpleNamespace(service_name="kinesis"),
            config=SimpleNamespace(region_name=region_name, retries={"total_max_attempts": retries + 1}))

    def close(self) -> None:
        """Close what is open; the store, too, if the client opened it."""
        # In a fork child there is one thread, and the lock may be that of one that is not there.
        lock: Any = self._lock if os.getpid() == self._pid else nullcontext()
        with lock:
            for opened in self._opened.values():
                opened.stream.close()
            self._opened.clear()
            self._readers.clear()
        if self._is_own:
            self._store.close()

    def __enter__(self) -> "Base":
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except Exception as told:
            add_context(error, told)

    # ---- streams by name ----

    def _now_us(self) -> int:
        clock = self._store._keep[0]
        return int(clock.now_us) if clock is not None else time.time_ns() // 1000

    def _now_ms(self) -> int:
        return self._now_us() // 1000

    def _name(self, StreamName: Optional[str], StreamARN: Optional[str]) -> str:
        """Which stream is meant."""
        from_arn = None
        if StreamARN is not None:
            match = _ARN.fullmatch(StreamARN)
            if match is None:
                raise constraint(StreamARN, "streamARN", "Member must satisfy regular expression pattern: "
                                 "arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+")
            from_arn = match.group(1)
        if StreamName is None and from_arn is None:
            raise invalid("Either StreamName or StreamARN should be provided.")
        if StreamName is not None and from_arn not in (None, StreamName):
            raise invalid("StreamName %s and StreamARN %s are of two streams." % (StreamName, StreamARN))
        return StreamName if StreamName is not None else str(from_arn)

    def _arn(self, name: str) -> str:
        return "arn:aws:kinesis:%s:%s:stream/%s" % (self._region, self._account, name)

    def _open(self, name: str) -> Opened:
        with self._lock:
            opened = self._opened.get(name)
            if opened is None:
                try:
                    stream = self._store.stream(name)
                except (plain.NotFoundError, plain.InvalidArgumentError):
                    raise not_found(name, self._account) from None
                try:
                    opened = self._opened[name] = Opened(stream)
                except plain.NotFoundError:
                    stream.close()
                    raise not_found(name, self._account) from None
            return opened

    def _forget(self, name: str, old: Optional[Opened] = None) -> None:
        """Close a stream, unless another thread has put one in the place of `old`."""
        with self._lock:
            opened = self._opened.get(name)
            if opened is None or old not in (None, opened):
                return
            del self._opened[name]
        opened.stream.close()

    def _with(self, name: str, work: Callable[[Opened], Any]) -> Any:
        """Do something with a stream; once more when it was deleted and made anew meanwhile, or closed by another
        thread that found it so."""
        for attempt in range(_TRIES):
            opened = self._open(name)
            try:
                return work(opened)
            except (plain.NotFoundError, plain.WrongStateError):
                if attempt == _TRIES - 1 or not opened.is_gone:
                    raise
            self._forget(name, opened)

    def _no_shard(self, name: str, text: str) -> Refusal:
        return Refusal("ResourceNotFoundException", "Could not find shard %s in stream %s under account %s."
                       % (text, name, self._account))

    def _shard(self, name: str, opened: Opened, text: str) -> Shard:
        """The shard that an id means."""
        index = numbers.parse_shard_id(text)
        if index is None:
            raise self._no_shard(name, text)
        for shard in opened.stream.shards():
            if shard.shard == index:
                return shard
        raise Refusal("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist"
                      % (shard_id(index), name, self._account))

    def _seqno(self, name: str, opened: Opened, shard: Shard, text: str) -> int:
        """The library's number of a StartingSequenceNumber."""
        used = "StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is " \
            "invalid" % (text, shard.shard_id, name, self._account)
        fields = numbers.from_text(text)
        if fields is None:
            raise invalid(used + ".")
        if fields.shard != shard.shard:
            raise invalid("Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with "
                          "%s" % (shard_id(fields.shard), shard.shard_id))
        if fields.created_seconds != shard.created_us // 1_000_000:
            raise invalid(used + " because it did not come from this stream.")
        if fields.seqno == numbers.END and shard.closed_us is not None:  # Its EndingSequenceNumber: behind all records.
            return numbers.END - 1
        return fields.seqno

    # ---- readers: kept where they stand, by the text that was handed out for that place ----

    def _keep_reader(self, place: str, reader: Reader) -> None:
        with self._lock:
            self._readers[place] = reader
            self._readers.move_to_end(place)
            old = [self._readers.popitem(last=False)[1] for _ in range(len(self._readers) - _READERS_MAX)]
        for one in old:
            one.iterator.close()

    def _take_reader(self, place: str, stream: Stream) -> Iterator:
        with self._lock:
            reader = self._readers.pop(place, None)
        if reader is not None and not reader.iterator.closed and reader.stream is stream:
            return reader.iterator
        return stream.iterator(place=place)

    # ---- shapes ----

    def _shard_shape(self, opened: Opened, shard: Shard) -> Dict[str, Any]:
        sequence = {"StartingSequenceNumber": opened.text(shard.shard, 0, shard.created_us)}
        if shard.closed_us is not None:
            sequence["EndingSequenceNumber"] = opened.text(shard.shard, numbers.END, shard.closed_us)
        shape: Dict[str, Any] = {
            "ShardId": shard.shard_id,
            "HashKeyRange": {"StartingHashKey": str(shard.first_hash_key), "EndingHashKey": str(shard.last_hash_key)},
            "SequenceNumberRange": sequence}
        if shard.parent is not None:
            shape["ParentShardId"] = shard_id(shard.parent)
        if shard.adjacent_parent is not None:
            shape["AdjacentParentShardId"] = shard_id(shard.adjacent_parent)
        return shape


def page_of(items: IteratorOf[Any], limit: int) -> Tuple[List[Any], bool]:
    """The first so many, and whether there are more."""
    found: List[Any] = []
    for item in items:
        if len(found) == limit:
            return found, True
        found.append(item)
    return found, False
