"""Putting records: one by one, as lists, or as buffers that are not copied."""

from __future__ import annotations

import operator
from array import array
from itertools import islice
from typing import (TYPE_CHECKING, Any, Dict, Iterable, Iterator as IteratorOf, List, Optional, Sequence, Sized, Tuple,
                    Union, overload)

from libstream._handle import Handle, out_of_range
from libstream._native import ffi, lib
from libstream._walk import fill, hold, interrupt, put as method_put, waiting
from libstream.errors import BusyError, Error, InvalidArgumentError, StateError, WrongStateError, check, failure
from libstream.values import Durability, RecordId, hash_key_to_c, options, put_in, utf8

if TYPE_CHECKING:
    from libstream.stream import Stream

# Whatever has memory that can be read: array.array and NumPy's arrays, too.
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    Bytes = ReadableBuffer
else:
    Bytes = Union[bytes, bytearray, memoryview]
Key = Union[str, bytes]
Numbers = Union[None, int, Sequence[int]]

_BITS: int = lib.LSI_PY_SEQNO_BITS
_MASK: int = (1 << lib.LSI_PY_SEQNO_BITS) - 1
_NULL = ffi.NULL
_RECORDS_MAX = 65536  # Of a batch.
lib.lsi_py_set_wait(ffi.cast("ls_wait_callback", waiting()))


def _raise(status: int) -> None:
    if status == lib.LSI_PY_CLOSED:
        raise WrongStateError("producer is closed")
    if status == lib.LSI_PY_INTERRUPTED:
        raise BusyError("another thread has the producer, and the call was told to wait no longer")
    if status == lib.LSI_PY_WITHIN:
        raise WrongStateError("producer cannot be used by a function that a call of it calls: when that has returned")
    raise failure(status)


class PutResults(Sequence[Optional[RecordId]]):
    """What became of each record of a batch, in the order of the call: its id, or None where it was not put."""

    __slots__ = ("_results", "_count", "failed")

    failed: int  #: how many were not put

    def __init__(self, results: Any, count: int, failed: int) -> None:
        self._results = results
        self._count = count
        self.failed = failed

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Optional[RecordId]: ...

    @overload
    def __getitem__(self, index: slice) -> List[Optional[RecordId]]: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[Optional[RecordId], List[Optional[RecordId]]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError("result %d of %d" % (index, self._count))
        result = self._results[index % self._count]
        return RecordId(result.shard, result.seqno) if result.status == 0 else None

    def __iter__(self) -> IteratorOf[Optional[RecordId]]:
        for index in range(self._count):
            yield self[index]

    @property
    def statuses(self) -> Dict[int, int]:
        """The status of each record that was not put, by its index."""
        if self.failed == 0:
            return {}
        return {i: self._results[i].status for i in range(self._count) if self._results[i].status != 0}

    def __reduce__(self) -> Any:
        return _results_again, ([(r.shard, r.seqno, r.status) for r in self._results], self.failed)

    def __repr__(self) -> str:
        return "<PutResults of %d records, %d failed>" % (self._count, self.failed)


def _results_again(results: Sequence[Tuple[int, int, int]], failed: int) -> PutResults:
    return PutResults(ffi.new("ls_put_result[]", [
        {"shard": shard, "seqno": seqno, "status": status} for shard, seqno, status in results]), len(results), failed)


def _check_stream(results: PutResults) -> None:
    """Raise what has kept all records from being put, where that is the stream's: it is gone, or has no key."""
    found = set(results.statuses.values()) if results.failed == len(results) else set()
    said = failure(found.pop()) if len(found) == 1 else None
    if isinstance(said, StateError) and not isinstance(said, BusyError):
        raise said


class PartialBatchError(Error):
    """Records of a batch were not put, others were: `results` says which. It has the status of the first that was not.
    """

    results: PutResults

    def __init__(self, results: PutResults) -> None:
        statuses = results.statuses
        first = next(iter(statuses))
        said = failure(statuses[first])
        super().__init__("%d of %d records were not put, the first is %d: %s" % (
            results.failed, len(results), first, said), said.status, said.system_errno, said.retry_after)
        self.results = results

    def __reduce__(self) -> Any:
        return PartialBatchError, (self.results,), self.__dict__


class Producer(Handle):
    """Puts records into a stream: `Stream.producer` opens it.

    A call returns when its records are as durable as the store says. Any thread may use it; threads take turns, so one
    producer for each is faster. The GIL is not held meanwhile.

    Errors of all puts: `InvalidArgumentError`, `TooLargeError`, `NotFoundError` when the stream was deleted,
    `ThrottledError` of a provisioned stream, `BusyError`, `FullError`, `KeyUnavailableError`, `CorruptError`: nothing
    was written; after `InputOutputError` the outcome is unknown.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("orders")
    >>> producer = stream.producer()
    >>> producer.put("customer-1", b"tea").shard
    0
    >>> len(producer.put_batch([("customer-1", b"bread"), ("customer-2", b"honey")]))
    2
    >>> producer.put_buffer("customer-3", b"saltpepper", offsets=array("q", [0, 4, 10])).failed
    0
    >>> [record.data for record in stream.iterator()]
    [b'tea', b'bread', b'honey', b'salt', b'pepper']

    With a `producer_id` (1..2**128-1, drawn at random once and kept) and numbers that rise, a put whose outcome is not
    known, or that was made before a crash, may be made again: what is there already is answered and not written twice.

    >>> numbered = stream.producer(producer_id=0x5F3759DF)
    >>> first = numbered.put("customer-1", b"milk", number=1)
    >>> numbered.put("customer-1", b"milk", number=1) == first, numbered.repeats
    (True, 1)
    >>> store.close()
    """

    __slots__ = ("_id", "_at")

    _noun = "producer"
    _close_call = lib.lsi_py_producer_close

    def __init__(self, stream: "Stream", producer_id: Optional[int] = None) -> None:
        self._id = None if producer_id is None else producer_id_to_c(producer_id)
        # Freed, and what it holds closed, when nobody can be about to call: closing alone leaves the memory, which is
        # looked at without a lock. It is there before it holds anything: Ctrl+C leaves nothing without an owner.
        pointer = ffi.gc(lib.lsi_py_producer_new(), lib.lsi_py_producer_free)
        if pointer == _NULL:
            raise MemoryError
        self._at = hold(_address(pointer), pointer)  # For put.c.
        self._own(stream, (pointer,), lib.lsi_py_producer_open, pointer)

    def put(self, partition_key: Key, data: Bytes, explicit_hash_key: Optional[int] = None,
            durability: Optional[Durability] = None, number: Optional[int] = None) -> RecordId:
        """Append one record. The shard is chosen by the MD5 of the key, or by `explicit_hash_key` (0..2**128-1).
        `durability`: more than the store's, which is waited for; less changes nothing. `number`: of a producer with an
        id.

        Key of 1..256 characters; data of any kind of buffer, perhaps empty. Answers shard and number."""
        if isinstance(partition_key, str):
            partition_key = utf8(partition_key, "partition key")
        elif not isinstance(partition_key, bytes):
            raise TypeError("a partition key is str or bytes, not %s" % type(partition_key).__name__)
        if type(data) is not bytes:
            data = _flat(data)
        settings = _NULL
        if explicit_hash_key is not None or durability is not None or number is not None:
            settings, _keep = put_options(durability, 0, explicit_hash_key, self._id, number)
        pointer = self._pointer
        if pointer is None:
            _raise(lib.LSI_PY_CLOSED)
        return self._put_said(lib.lsi_py_put(pointer, partition_key, len(partition_key), data, len(data), settings))

    def _put_said(self, packed: int) -> RecordId:
        """What C says in one word."""
        if packed > 0:
            return RecordId(packed >> _BITS, packed & _MASK)
        if packed != lib.LSI_PY_PUT_WIDE:
            _raise(-packed)
        wide = lib.lsi_py_wide()
        return RecordId(wide.shard, wide.seqno)

    def _interrupted(self, status: int) -> None:
        """A put of this thread was told to wait no longer, and put nothing: what is raised now says so."""
        try:
            _raise(status)
        except BusyError:
            interrupt()

    def put_batch(self, records: Iterable[Tuple[Key, Bytes]], *, explicit_hash_keys: Optional[Sequence[
            Optional[int]]] = None, durability: Optional[Durability] = None, atomic: bool = False,
            partial_ok: bool = False, numbers: Numbers = None) -> PutResults:
        """Append a batch of (partition key, data): at most 65,536 records and 64 MiB.

        Of an iterable no more is taken than shows that it is too long. A bad argument in any record refuses all.
        Otherwise each is tried, and where some could not be put `PartialBatchError` is raised, unless `partial_ok`:
        then the answer says so. When none could, since the stream was deleted or has no key, that is raised in both
        cases. `atomic`: all or none, in one shard. `numbers`, of a producer with an id: that of the first record, those
        of the others follow by one; or one for each, rising.
        """
        listed = _listed(records)
        entries = _entries(listed, None)
        if entries is not None:
            return self._put(len(listed), entries, None, explicit_hash_keys, durability, atomic, partial_ok,
                             numbers)
        try:
            keys, data = zip(*listed)
        except (TypeError, ValueError):
            raise TypeError("a batch is a list of (partition key, data)") from None
        return self._put(len(listed), _joined(keys, True), _joined(data), explicit_hash_keys, durability, atomic,
                         partial_ok, numbers)

    def put_many(self, partition_key: Key, data: Iterable[Bytes], *, durability: Optional[Durability] = None,
                 atomic: bool = False, partial_ok: bool = False, numbers: Numbers = None) -> PutResults:
        """Append a batch of which all records have one key. Otherwise as `put_batch`."""
        listed = _listed(data)
        entries = _entries(listed, partition_key)
        if entries is not None:
            return self._put(len(listed), entries, None, None, durability, atomic, partial_ok, numbers)
        return self._put(len(listed), _one(partition_key), _joined(listed), None, durability, atomic, partial_ok,
                         numbers)

    def put_buffer(self, partition_keys: Any, data: Any, offsets: Any = None, *, key_offsets: Any = None,
                   durability: Optional[Durability] = None, atomic: bool = False, partial_ok: bool = False,
                   numbers: Numbers = None) -> PutResults:
        """Append a batch from memory that is not copied on the way.

        `data` is one of: a buffer with `offsets` (a buffer of int32 or int64, one more than records); a NumPy array or
        another buffer of two dimensions, or of one with larger elements, each row of which is a record, with the zeros
        at the end of a short text of dtype S; an Arrow array of binary or string, large, of fixed size, of views, or in
        chunks. `partition_keys` is one key for all, or whatever `data` may be, with `key_offsets`, or a list of keys.
        What is copied are lists, arrays of objects, and keys of NumPy's dtypes S and U, without the zeros at the end,
        and StringDType. Elements that are null, masked or missing are refused. Otherwise as `put_batch`.
        """
        count, pieces = _pieces(data, offsets, "data")
        if isinstance(partition_keys, (str, bytes)) and key_offsets is None:
            keys = _one(partition_keys)
        elif isinstance(partition_keys, (list, tuple)):
            keys, key_count = _joined(partition_keys, True), len(partition_keys)
            _same(count, key_count)
        else:
            key_count, keys = _pieces(partition_keys, key_offsets, "partition_keys")
            _same(count, key_count)
        return self._put(count, keys, pieces, None, durability, atomic, partial_ok, numbers)

    def _put(self, count: int, keys: Any, data: Optional["_Pieces"], hash_keys: Optional[Sequence[Optional[int]]],
             durability: Optional[Durability], atomic: bool, partial_ok: bool, numbers: Numbers) -> PutResults:
        """Put pieces of keys and of data, or without `data` entries of the library's."""
        settings, pointers, kept = _NULL, _NULL, []
        if durability is not None or atomic or numbers is not None:
            if isinstance(numbers, Sized):
                _same(count, len(numbers), "numbers")
            settings, _keep = put_options(durability, lib.LS_PUT_ATOMIC if atomic else 0, None, self._id, numbers)
        if hash_keys is not None:
            _same(count, len(hash_keys))
            kept = [_NULL if key is None else hash_key_to_c(key) for key in hash_keys]
            pointers = ffi.new("ls_hash_key *[]", kept)
        results = ffi.new("ls_put_result[]", count)
        counts = ffi.new("size_t[2]")
        pointer = self._pointer
        if pointer is None:
            _raise(lib.LSI_PY_CLOSED)
        try:
            if data is None:
                status = lib.lsi_py_put_entries(pointer, count, keys, pointers, settings, results, counts)
            else:
                status = lib.lsi_py_put_pieces(pointer, count, keys.c, data.c, pointers, settings, results, counts,
                                               counts + 1)
        except BaseException as interrupted:  # By Ctrl+C, once C had returned.
            if counts[0]:
                partial = PartialBatchError(PutResults(results, count, counts[0]))
                partial.__context__, interrupted.__context__ = interrupted.__context__, partial
            raise
        if status != 0:
            if data is not None and status == lib.LS_ERR_INVALID_ARGUMENT and counts[1] < count:
                raise InvalidArgumentError("record %d of %d: its offsets leave the buffer, or go back"
                                           % (counts[1], count))
            _raise(status)
        made = PutResults(results, count, counts[0])
        if made.failed:
            _check_stream(made)
            if not partial_ok:
                raise PartialBatchError(made)
        return made

    def flush(self) -> None:
        """Make everything that this producer put durable, whatever the store's mode."""
        pointer = self._pointer
        status = lib.LSI_PY_CLOSED if pointer is None else lib.lsi_py_flush(pointer)
        if status != 0:
            _raise(status)

    @property
    def repeats(self) -> int:
        """How many records this producer was told of that had been put before: numbered puts that were repeats."""
        pointer, count = self._pointer, ffi.new("uint64_t *")
        if pointer is not None:
            status = lib.lsi_py_producer_repeats(pointer, count)
            if status != 0:
                _raise(status)
        return int(count[0])

    def _refuse_close(self) -> None:
        if self._pointer is not None and lib.lsi_py_producer_is_within(self._pointer):
            _raise(lib.LSI_PY_WITHIN)

    def _release(self) -> None:
        status = self._gate.give_back(lib.lsi_py_producer_close)
        if status != 0:
            _raise(status)


def _listed(items: Iterable[Any]) -> Tuple[Any, ...]:
    """All of them; or one more than a batch may have, which C refuses."""
    return tuple(items) if isinstance(items, (list, tuple)) else tuple(islice(items, _RECORDS_MAX + 1))


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


class _Plain(tuple):  # type: ignore[type-arg]
    __slots__ = ()


# A key and bytes go to C at once; all else goes through the function above.
setattr(Producer, "put", method_put(
    Producer, Producer.put, "($self, partition_key, data, explicit_hash_key=None, durability=None, number=None)",
    _address(ffi.addressof(lib, "lsi_py_put")), RecordId, _Plain))


# ---- what is put ----

def _entries(items: Tuple[Any, ...], key: Optional[Key]) -> Any:
    """What C puts from where it lies, for as long as `items` and `key` are kept: None when they are not all immutable.
    """
    made = ffi.new("ls_put_entry[]", len(items))
    return made if fill(_address(made), items, key) else None


def entries_of(items: Iterable[Any], key: Optional[Key]) -> Tuple[Any, Any]:
    """An `ls_put_entry[]` of pairs, or with a key of data, and what has to be kept as long."""
    listed = tuple(items)
    made = _entries(listed, key)
    if made is None:
        try:
            if isinstance(key, str):
                utf8(key, "partition key")
            listed = tuple(_flat(item) for item in listed) if key is not None else tuple(
                (_key_bytes(of), _flat(data)) for of, data in listed)
        except InvalidArgumentError:
            raise
        except (TypeError, ValueError) as error:
            raise TypeError("a batch is a list of (partition key, data), which are bytes: %s" % error) from None
        made = _entries(listed, key)
        assert made is not None
    return made, listed


class _Pieces:
    """An `lsi_py_pieces`, and what it points to."""

    __slots__ = ("c", "_keep")

    def __init__(self, buffer: Any, **fields: Any) -> None:
        memory = ffi.from_buffer(buffer)
        self._keep: List[Any] = [memory]
        self.c = ffi.new("lsi_py_pieces *")
        self.c.bytes, self.c.bytes_size = memory, len(memory)
        for name, value in fields.items():
            if name in ("offsets", "lengths", "views"):
                value = ffi.from_buffer(value)
                self._keep.append(value)
            setattr(self.c, name, value)

    def speak_of(self, buffers: Sequence[Any]) -> "_Pieces":
        """The buffers of views."""
        memories = [ffi.from_buffer(buffer) for buffer in buffers]
        self.c.buffers, self.c.buffer_sizes = kept = (ffi.new("char *[]", memories),
                                                      ffi.new("size_t[]", list(map(len, memories))))
        self.c.buffer_count = len(memories)
        self._keep += [*memories, *kept]
        return self

    def followed_by(self, count: int, other: "_Pieces") -> "_Pieces":
        """So many pieces, and then those of another."""
        self.c.count, self.c.next = count, other.c
        self._keep.append(other)
        return self


def producer_id_to_c(producer_id: int) -> Tuple[int, int]:
    """What an `ls_producer_id` is made of."""
    if not 0 < producer_id < 1 << 128:
        raise ValueError("producer id %d is not in 1..2**128-1" % producer_id)
    return producer_id >> 64, producer_id & 0xFFFFFFFFFFFFFFFF


def put_options(durability: Optional[Durability], flags: int, hash_key: Optional[int],
                producer_id: Optional[Tuple[int, int]] = None, numbers: Numbers = None) -> Tuple[Any, Any]:
    """An `ls_put_options *`, and what it points to."""
    settings = options("ls_put_options", durability=durability, flags=flags)
    keep = []
    if hash_key is not None:
        keep.append(hash_key_to_c(hash_key))
        settings.explicit_hash_key = keep[-1]
    if numbers is not None:
        if producer_id is None:
            raise ValueError("numbers are of a producer with an id: Stream.producer(producer_id=...)")
        settings.producer = producer_id
        if not isinstance(numbers, Sized):
            number = operator.index(numbers)  # Also one of NumPy's.
            if number < 1:
                raise ValueError("number %d is below 1" % number)
            put_in(settings, "number", number)
        else:
            try:
                keep.append(ffi.new("uint64_t[]", list(numbers)))
            except OverflowError as error:
                raise out_of_range(error) from None
            settings.numbers = keep[-1]
    return settings, keep


def _refuse_masked(data: Any, name: str) -> None:
    """Refuse elements that are there in the memory of a NumPy array, and are said not to be."""
    if hasattr(data, "mask") and hasattr(data, "filled"):
        count = data.mask.tobytes().count(b"\1")
        if count > 0:
            raise ValueError("%d elements of %s are masked: a record has data, and a key" % (count, name))


def _flat(data: Any) -> bytes:
    """The bytes of any buffer."""
    if isinstance(data, str):
        raise TypeError("data is bytes, not str: use .encode()")
    _refuse_masked(data, "data")
    return memoryview(data).tobytes()


def _key_bytes(key: Any) -> bytes:
    return utf8(key, "partition key") if isinstance(key, str) else _flat(key)


def _one(key: Key) -> _Pieces:
    return _Pieces(utf8(key, "partition key") if isinstance(key, str) else key, is_one=1)


def _joined(items: Sequence[Any], may_be_text: bool = False) -> _Pieces:
    """One buffer of what is in many, which costs less than to look at each."""
    try:
        if may_be_text and isinstance(items[0], str):
            text = "".join(items)
            if text.isascii():
                return _Pieces(text.encode("ascii"), lengths=array("i", map(len, items)), width=4)
            items = [utf8(item, "partition key") for item in items]
        whole = b"".join(items)
        lengths = array("i", map(len, items))
        if sum(lengths) == len(whole):
            return _Pieces(whole, lengths=lengths, width=4)
    except (TypeError, AttributeError, IndexError, OverflowError):
        pass  # Keys of both kinds, buffers of larger elements, none at all, or something that is neither: one by one.
    listed = [_key_bytes(item) if may_be_text else _flat(item) for item in items]
    return _Pieces(b"".join(listed), lengths=array("q", map(len, listed)), width=8)


def _same(count: int, other: int, what: str = "keys") -> None:
    if count != other:
        raise ValueError("%d records, but %d %s" % (count, other, what))


def _typed_pieces(view: memoryview, data: Any, offsets: Any, name: str) -> Tuple[int, _Pieces]:
    """Of a NumPy array of text, or of objects."""
    if offsets is not None or view.ndim != 1:
        raise TypeError("%s is an array of text or objects (format %s): it must be of one dimension, without offsets"
                        % (name, view.format))
    is_key = name != "data"
    if view.format[-1:] == "s" and not is_key:  # The zeros at the end may be data's.
        return len(view), _Pieces(data if view.c_contiguous else view.tobytes(), each_bytes=view.itemsize)
    if view.format[-1:] in ("u", "w") and not is_key:
        raise TypeError("data is an array of text, not of bytes: encode it")
    listed = data.tolist()
    return len(listed), _joined(listed, is_key)


def _text_pieces(data: Any, offsets: Any, name: str) -> Tuple[int, _Pieces]:
    """Of a NumPy array of StringDType, which shows nobody its memory."""
    if name == "data":
        raise TypeError("data is an array of text, not of bytes: encode it")
    if offsets is not None or data.ndim != 1:
        raise TypeError("%s is an array of text (%s): it must be of one dimension, without offsets"
                        % (name, data.dtype))
    listed = data.tolist()
    missing = sum(not isinstance(item, str) for item in listed)
    if missing > 0:
        raise ValueError("%d texts of %s are missing: a record has data, and a key" % (missing, name))
    return len(listed), _joined(listed, True)


def _arrow_pieces(data: Any, name: str) -> Tuple[int, _Pieces]:
    """Of an Arrow array, or one in chunks."""
    if data.null_count:
        raise ValueError("%s has %d nulls: a record has data, and a key" % (name, data.null_count))
    count, made = 0, _Pieces(b"", each_bytes=0)
    for chunk in reversed(data.chunks if hasattr(data, "chunks") else [data]):
        if len(chunk) > 0:
            made = _arrow_chunk(chunk, name).followed_by(len(chunk), made)
            count += len(chunk)
    if count == 0:
        _arrow_width(data.type, name)
    return count, made


def _arrow_width(kind: Any, name: str) -> int:
    """The bytes of an offset; 0: it has none."""
    text = str(kind)
    if text in ("binary_view", "string_view") or text.startswith("fixed_size_binary["):
        return 0
    if text not in _ARROW_WIDTHS:
        raise TypeError("%s is an Arrow array of %s: it must be of binary or string%s" % (
            name, kind, ", use dictionary_decode" if text.startswith("dictionary") else ""))
    return _ARROW_WIDTHS[text]


def _arrow_chunk(chunk: Any, name: str) -> _Pieces:
    width, buffers = _arrow_width(chunk.type, name), chunk.buffers()

    def part(buffer: Any, each_bytes: int, more: int = 0) -> Any:
        first = chunk.offset * each_bytes
        return memoryview(buffer).cast("B")[first:first + (len(chunk) + more) * each_bytes]

    if width != 0:
        return _Pieces(buffers[2] if buffers[2] is not None else b"", offsets=part(buffers[1], width, 1), width=width)
    if str(chunk.type).endswith("view"):
        return _Pieces(b"", views=part(buffers[1], 16)).speak_of(buffers[2:])
    each_bytes = chunk.type.byte_width
    return _Pieces(part(buffers[1], each_bytes) if each_bytes else b"", each_bytes=each_bytes)


_ARROW_WIDTHS = {"binary": 4, "string": 4, "large_binary": 8, "large_string": 8}


def _pieces(data: Any, offsets: Any, name: str) -> Tuple[int, _Pieces]:
    """How many, and where they are."""
    if hasattr(data, "type") and hasattr(data, "null_count"):
        return _arrow_pieces(data, name)
    _refuse_masked(data, name)
    _refuse_masked(offsets, "offsets of %s" % name)
    if getattr(getattr(data, "dtype", None), "char", "") == "T":
        return _text_pieces(data, offsets, name)
    view = memoryview(data)
    if getattr(getattr(data, "dtype", None), "fields", None) and data.dtype.hasobject:
        raise TypeError("%s is an array of structures that have objects: their addresses lie in its memory" % name)
    if view.format[-1:] in ("O", "u", "w") or view.format[-1:] == "s" and view.ndim == 1 and offsets is None:
        return _typed_pieces(view, data, offsets, name)
    if not view.c_contiguous:
        raise ValueError("%s is not contiguous: use numpy.ascontiguousarray" % name)
    if offsets is not None:
        places = memoryview(offsets)
        if places.ndim != 1 or places.itemsize not in (4, 8) or places.format not in ("i", "l", "q", "I", "L", "Q"):
            raise TypeError("offsets of %s must be a buffer of int32 or int64" % name)
        if len(places) == 0 or not places.c_contiguous:
            raise ValueError("offsets of %s must be contiguous, and one more than the records" % name)
        return len(places) - 1, _Pieces(data, offsets=places, width=places.itemsize)
    if view.ndim == 0 or view.ndim == 1 and view.itemsize == 1:
        raise TypeError("%s is a buffer of bytes: say where records begin by offsets" % name)
    rows = view.shape[0] if view.shape else 0
    return rows, _Pieces(data, each_bytes=view.nbytes // rows if rows else 0)
