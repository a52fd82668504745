#!/usr/bin/env python3
"""What does a record cost in Python: put one by one, put in batches of 500, read as arrays, read as objects?

The package beside the same calls through ctypes and beside LMDB by its Python package, if that is there (PyPI `lmdb`).

    PYTHONPATH=BUILD/lib/python python_put.py [--records N] [--rounds N] [--cpu] [--leak]

100-byte records of one key, in $BENCH_DIR, $TMPDIR or /var/tmp; KERNEL, in LMDB without sync: neither waits for a
device. Rounds are interleaved; of each the best is printed, in records a second, how many times LMDB's it is, and
how many times its bar, where it has one: lines of tab-separated name=value. `bench/run python` installs LMDB's package
beside the build and runs this. `--leak` instead puts and reads 10,000,000 records and prints how much resident memory
grew after the first million.
"""

import argparse
import ctypes
import gc
import os
import shutil
import sys
import tempfile
import time
from array import array

import libstream

SIZE, BATCH = 100, 500
DATA = b"x" * SIZE


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class RecordId(ctypes.Structure):
    _fields_ = [("seqno", ctypes.c_uint64), ("shard", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


clock = time.perf_counter


def timed(count, work):
    gc.collect()
    before = clock()
    work()
    return count / (clock() - before)


class Package:
    """A store of its own, filled and read by the package."""

    def __init__(self, folder):
        self.store = libstream.Store(folder + "/package", durability=libstream.Durability.KERNEL)
        self.streams = 0

    def stream(self):
        self.streams += 1
        return self.store.create_stream("s%d" % self.streams)

    def put_one(self, count):
        with self.stream() as stream, stream.producer() as producer:
            put = producer.put

            def work():
                for _ in range(count):
                    put("key", DATA)

            return timed(count, work)

    def put_batch_of(self, count, call):
        with self.stream() as stream, stream.producer() as producer:
            def work():
                for _ in range(count // BATCH):
                    call(producer)

            return timed(count // BATCH * BATCH, work)

    def put_many(self, count):
        rows = [DATA] * BATCH
        return self.put_batch_of(count, lambda producer: producer.put_many("key", rows))

    def put_pairs(self, count):
        rows = [("key", DATA)] * BATCH
        return self.put_batch_of(count, lambda producer: producer.put_batch(rows))

    def put_buffer(self, count):
        data, offsets = DATA * BATCH, array("q", range(0, SIZE * BATCH + 1, SIZE))
        return self.put_batch_of(count, lambda producer: producer.put_buffer("key", data, offsets))

    def fill(self, count):
        self.full = self.stream()
        with self.full.producer() as producer:
            for _ in range(count // 10000):
                producer.put_many("key", [DATA] * 10000)

    def read_arrays(self, count):
        def work():
            seen = 0
            for batch in self.full.iterator().batches():
                seen += len(batch.data_offsets) - 1
            assert seen == count

        return timed(count, work)

    def read_objects(self, count):
        def work():
            seen = 0
            for record in self.full.iterator():
                seen += 1
            assert seen == count

        return timed(count, work)

    def read_records_data(self, count):
        def work():
            size = 0
            for record in self.full.iterator():
                size += len(record.data)
            assert size == count * SIZE

        return timed(count, work)

    def read_bytes(self, count):
        def work():
            size = 0
            for batch in self.full.iterator().batches():
                for data in batch.data_list():
                    size += len(data)
            assert size == count * SIZE

        return timed(count, work)


class Ctypes:
    """The same calls by ctypes, as examples/ctypes_put_and_read.py makes them."""

    def __init__(self, folder):
        here = os.path.dirname(libstream.__file__)
        self.lib = lib = ctypes.CDLL(os.path.join(here, "libstream.so.0"))
        lib.ls_producer_put.argtypes = [ctypes.c_void_p, Bytes, Bytes, ctypes.c_void_p, ctypes.POINTER(RecordId)]
        with libstream.Store(folder + "/ctypes", durability=libstream.Durability.KERNEL) as store:
            store.create_stream("s")
        handles = self.store, self.stream, self.producer = [ctypes.c_void_p() for _ in range(3)]
        assert lib.ls_store_open((folder + "/ctypes").encode(), None, ctypes.byref(handles[0])) == 0
        assert lib.ls_stream_open(handles[0], b"s", ctypes.byref(handles[1])) == 0
        assert lib.ls_producer_open(handles[1], None, ctypes.byref(handles[2])) == 0

    def put_one(self, count):
        put, producer, at = self.lib.ls_producer_put, self.producer, RecordId()

        def work():
            for _ in range(count):
                if put(producer, Bytes(b"key", 3), Bytes(DATA, SIZE), None, ctypes.byref(at)):
                    raise OSError

        return timed(count, work)


class Lmdb:
    """LMDB with a counter for a key, appended, without sync."""

    def __init__(self, folder):
        import lmdb

        self.environment = lmdb.open(folder + "/lmdb", map_size=8 << 30, sync=False, metasync=False, max_readers=2)
        self.next = 0

    def put_one(self, count):
        environment = self.environment

        def work():
            at = self.next
            for _ in range(count):
                with environment.begin(write=True) as txn:
                    txn.put(at.to_bytes(8, "big"), DATA, append=True)
                at += 1
            self.next = at

        return timed(count, work)

    def put_many(self, count):
        environment = self.environment

        def work():
            at = self.next
            for _ in range(count // BATCH):
                with environment.begin(write=True) as txn:
                    txn.cursor().putmulti([((at + i).to_bytes(8, "big"), DATA) for i in range(BATCH)], append=True)
                at += BATCH
            self.next = at

        return timed(count // BATCH * BATCH, work)

    def read_bytes(self, count):
        def work():
            with self.environment.begin() as txn:
                seen = size = 0
                for value in txn.cursor().iternext(keys=False):
                    size += len(value)
                    seen += 1
                self.seen = seen

        rate = timed(1, work)
        return rate * self.seen


CASES = ["put_one", "put_many", "put_pairs", "put_buffer", "read_arrays", "read_objects", "read_records_data",
         "read_bytes"]


BARS = {"put_one": 1.5e6, "put_many": 8e6, "put_pairs": 8e6, "put_buffer": 8e6, "read_arrays": 20e6,
        "read_objects": 3e6}


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def leak(folder):
    with libstream.Store(folder + "/leak", durability=libstream.Durability.KERNEL, segment_bytes=4 << 20) as store:
        stream = store.create_stream("s", retention_bytes=1 << 26)
        producer, iterator, first = stream.producer(), stream.iterator(), 0
        for million in range(10):
            for _ in range(20):
                for _ in range(10000):
                    producer.put("key", DATA)
                for _ in range(80):
                    producer.put_many("key", [DATA] * BATCH)
                assert sum(1 for record in iterator if len(record.data) == SIZE) == 50000
            gc.collect()
            first = first or resident()
        print("case=leak\trecords=10000000\tgrown_bytes=%d" % (resident() - first))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--leak", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="by processor time, on a machine that is busy otherwise")
    options = parser.parse_args()
    global clock
    clock = time.process_time if options.cpu else time.perf_counter
    count = max(10000, options.records // 10000 * 10000)
    folder = tempfile.mkdtemp(dir=os.environ.get("BENCH_DIR") or os.environ.get("TMPDIR") or "/var/tmp")
    try:
        if options.leak:
            leak(folder)
            return
        peers = {"libstream": Package(folder), "ctypes": Ctypes(folder)}
        try:
            peers["lmdb"] = Lmdb(folder)
        except ImportError:
            print("lmdb is not installed: no comparison", file=sys.stderr)
        peers["libstream"].fill(count)
        best = {}
        for _ in range(options.rounds):
            for case in CASES:
                for name, peer in peers.items():
                    if hasattr(peer, case):
                        best[case, name] = max(best.get((case, name), 0.0), getattr(peer, case)(count))
        for case in CASES:
            for name in peers:
                if (case, name) in best:
                    lmdb = best.get((case, "lmdb"))
                    bar = BARS.get(case) if name == "libstream" else None
                    print("case=%s\tstore=%s\trecords_per_s=%.0f%s%s" % (
                        case, name, best[case, name], "\tof_lmdb=%.2f" % (best[case, name] / lmdb) if lmdb else "",
                        "\tof_bar=%.2f" % (best[case, name] / bar) if bar else ""))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
