#!/usr/bin/env python3
"""Put three records and read them back with nothing but Python's ctypes: no compiler, no package.

    ctypes_put_and_read.py [LIBSTREAM_SO [STORE]]      by default the installed library, and ctypes.store

The structs are those of the headers, field by field. Whoever does more than this wants lib/python, which has all of it.
"""

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_int64, c_uint32, c_uint64, c_void_p

lib = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libstream.so.0")
location = (sys.argv[2] if len(sys.argv) > 2 else "ctypes.store").encode()


class Bytes(ctypes.Structure):  # ls_bytes, of types.h
    _fields_ = [("data", c_char_p), ("size", ctypes.c_size_t)]


class RecordId(ctypes.Structure):  # ls_record_id
    _fields_ = [("seqno", c_uint64), ("shard", c_uint32), ("reserved", c_uint32)]


class Record(ctypes.Structure):  # ls_record
    _fields_ = [("key", c_void_p), ("key_size", ctypes.c_size_t), ("data", c_void_p), ("data_size", ctypes.c_size_t),
                ("seqno", c_uint64), ("arrival_us", c_int64), ("hash_high", c_uint64), ("hash_low", c_uint64),
                ("shard", c_uint32), ("flags", c_uint32), ("sub_seqno", c_uint32), ("sub_count", c_uint32)]


def call(name, *arguments):
    """Call what answers a status, and raise when that is none of success."""
    if getattr(lib, name)(*arguments) != 0:
        raise OSError("%s: %s" % (name, lib.ls_last_error_message().decode()))


lib.ls_last_error_message.restype = c_char_p
lib.ls_producer_put.argtypes = [c_void_p, Bytes, Bytes, c_void_p, POINTER(RecordId)]
lib.ls_batch_count.restype, lib.ls_batch_count.argtypes = ctypes.c_size_t, [c_void_p]
lib.ls_batch_records.restype, lib.ls_batch_records.argtypes = POINTER(Record), [c_void_p]

store, stream, producer, iterator, batch = (c_void_p() for _ in range(5))
call("ls_store_open", location, None, byref(store))
if lib.ls_stream_open(store, b"orders", byref(stream)) != 0:
    call("ls_stream_create", store, b"orders", None)
    call("ls_stream_open", store, b"orders", byref(stream))
call("ls_producer_open", stream, None, byref(producer))
for data in (b"tea", b"bread", b"honey"):
    at = RecordId()
    call("ls_producer_put", producer, Bytes(b"customer-1", 10), Bytes(data, len(data)), None, byref(at))
    print("put record %d of shard %d" % (at.seqno, at.shard))

call("ls_iterator_open_all", stream, None, None, byref(iterator))
while call("ls_iterator_next", iterator, None, byref(batch)) is None and lib.ls_batch_count(batch) > 0:
    for record in lib.ls_batch_records(batch)[:lib.ls_batch_count(batch)]:  # Views until the next call.
        print("record %d: %s" % (record.seqno, ctypes.string_at(record.data, record.data_size).decode()))

lib.ls_iterator_close(iterator)
for close, handle in (("producer", producer), ("stream", stream), ("store", store)):
    call("ls_%s_close" % close, handle)
