"""Threads, signals and processes: C that waits holds nobody up, Ctrl+C ends it, a fork child is told to open anew."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator as IteratorOf, List

import pytest

import libstream
from libstream import Store, Stream, aio, batch as batch_module
from libstream._native import ffi
from libstream.kinesis import Client

WAITER = """
import asyncio, sys, time
from libstream import *
from libstream import aio, kinesis
store = Store(sys.argv[1])
stream = store.stream("orders")

def pushed(client):
    arn = client.describe_stream(StreamName="orders")["StreamDescription"]["StreamARN"]
    consumer = client.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]
    events = client.subscribe_to_shard(ConsumerARN=consumer["ConsumerARN"], ShardId="shardId-000000000000",
                                       StartingPosition={"Type": "LATEST"})["EventStream"]
    list(events)

wait = %s
print("ready", flush=True)
try:
    wait()
except KeyboardInterrupt:
    print(time.monotonic())
"""


@pytest.mark.parametrize("wait", ["lambda: stream.iterator(timeout=None).next_batch(None)",
                                  "lambda: list(stream.iterator(0, 'LATEST', timeout=None))",
                                  "lambda: list(stream.iterator(timeout=3600))",
                                  "lambda: stream.windows(print, size_ms=1000).run()",
                                  "lambda: stream.create_mapping('m').run(print)",
                                  "lambda: stream.create_delivery('d', to_callback=True).run(deliver=print)",
                                  "lambda: asyncio.run(aio.Iterator(stream.iterator()).next_batch(None))",
                                  "lambda: [stream.register_consumer('c'), list(stream.subscribe('c'))]",
                                  "lambda: pushed(kinesis.Client(store))",
                                  "lambda: [group.next(None) for group in [stream.group('g')] for _ in range(2)]"])
def test_control_c_ends_any_wait(folder: str, wait: str) -> None:
    with Store(folder + "/store") as store:
        store.create_stream("orders")
    with subprocess.Popen([sys.executable, "-c", WAITER % wait, folder + "/store"], stdout=subprocess.PIPE,
                          text=True) as child:
        assert child.stdout and child.stdout.readline() == "ready\n"
        time.sleep(0.15)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        took = float(child.communicate(timeout=20)[0]) - sent
    assert took < 1  # 0.1 is promised; the machine may be busy.


HOLDER = """
import sys
from libstream import *
with Store(sys.argv[1], durability=Durability.KERNEL) as store:
    stream = store.stream("orders")
    producer = stream.producer()
    print("ready", flush=True)
    while True:
        producer.put_many("k", [b"x" * 1000] * 60000)
"""


@contextlib.contextmanager
def held_shard(location: str) -> IteratorOf[subprocess.Popen[str]]:
    """Somebody is stopped while he puts, and has the shard's lock."""
    with Store(location, durability=libstream.Durability.KERNEL, segment_bytes=1 << 28) as store:
        store.create_stream("orders", retention_bytes=1 << 28)
    with subprocess.Popen([sys.executable, "-c", HOLDER, location], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "ready\n"
        with Store(location, busy_timeout=0.1) as store, store.stream("orders").producer() as producer:
            for _ in range(200):
                time.sleep(0.02)
                holder.send_signal(signal.SIGSTOP)
                try:
                    producer.put("k", b"probe")
                except libstream.BusyError as error:
                    assert "has waited its 100 ms" in str(error)
                    break
                holder.send_signal(signal.SIGCONT)
            else:
                raise AssertionError("it was never stopped in the lock")
        try:
            yield holder
        finally:
            holder.kill()


LOCKED = """
import os, signal, sys, threading, time
from array import array
from libstream import *
from libstream.kinesis import Client
store = Store(sys.argv[1], busy_timeout=60)
stream = store.stream("orders")
producer, numbered = stream.producer(), stream.producer(producer_id=1)
kinesis = Client(store)

def other_thread_puts():
    other = threading.Thread(target=lambda: producer.put("k", b"other's"), daemon=True)
    other.start()
    while not other.is_alive():
        time.sleep(0.01)
    time.sleep(0.1)

def thread_puts_and_so_do_i():
    other_thread_puts()
    producer.put("k", b"mine")

def thread_puts_and_i_close():
    other_thread_puts()
    producer.close()

def put_soon_and_close():
    soon = stream.async_producer(linger_ms=NO_LIMIT)
    soon.put("k", b"mine")
    time.sleep(0.2)
    soon.close()

wait = %s
print("ready", flush=True)
try:
    wait()
except KeyboardInterrupt as interrupted:
    print(time.monotonic(), repr(interrupted.__context__), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("wait, told", [
    ("lambda: producer.put('k', b'mine')", "told to wait no longer"), ("thread_puts_and_so_do_i", "another thread"),
    ("thread_puts_and_i_close", ""), ("put_soon_and_close", ""),
    ("lambda: producer.put('k', data=b'mine')", ""), ("lambda: numbered.put('k', b'mine', number=1)", ""),
    ("lambda: producer.put_batch([('k', b'mine')] * 9)", "9 of 9 records were not put"),
    ("lambda: producer.put_many('k', [b'mine'] * 9)", "PartialBatchError"),
    ("lambda: producer.put_buffer('k', b'mine', array('q', [0, 4]))", ""),
    ("lambda: kinesis.put_record(StreamName='orders', Data=b'mine', PartitionKey='k')", ""),
    ("lambda: stream.reset_shard(0)", ""), ("lambda: stream.split(0)", "")])
def test_control_c_ends_the_wait_for_a_lock(folder: str, wait: str, told: str) -> None:
    with held_shard(folder + "/store") as holder:
        with subprocess.Popen([sys.executable, "-c", LOCKED % wait, folder + "/store"], stdout=subprocess.PIPE,
                              text=True) as child:
            assert child.stdout and child.stdout.readline() == "ready\n"
            time.sleep(0.3)
            assert child.poll() is None
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            ended, context = child.communicate(timeout=20)[0].split(" ", 1)
        assert float(ended) - sent < 1  # 0.1 is promised; the machine may be busy.
        assert told in context
        holder.kill()
    with Store(folder + "/store") as store:
        stream = store.stream("orders")
        assert not [r for batch in stream.iterator().batches() for r in batch if r.data == b"mine"]
        assert len(stream.describe().shards) == 1


def test_a_handler_that_returns_ends_no_put(folder: str) -> None:
    """It is made again, and waits on."""
    with held_shard(folder + "/store") as holder:
        program = LOCKED % "lambda: print(producer.put('k', b'mine'))"
        program = program.replace("wait()", "signal.signal(signal.SIGINT, lambda *came: print('came', flush=True))\n"
                                            "    wait()")
        with subprocess.Popen([sys.executable, "-c", program, folder + "/store"], stdout=subprocess.PIPE,
                              text=True) as child:
            assert child.stdout and child.stdout.readline() == "ready\n"
            time.sleep(0.3)
            child.send_signal(signal.SIGINT)
            assert child.stdout.readline() == "came\n"
            time.sleep(0.1)
            assert child.poll() is None
            holder.kill()
            assert child.communicate(timeout=20)[0].startswith("RecordId(shard=0, ")


COROUTINES = """
import asyncio, sys, time
from libstream import *
from libstream import aio
store = Store(sys.argv[1], busy_timeout=60)
stream = store.stream("orders")

def begin(put):
    asyncio.ensure_future(put).add_done_callback(lambda task: task.cancelled() or task.exception())

async def put():
    async with aio.Producer(stream) as producer:
        await producer.put("k", b"mine")

async def put_without_a_block():
    await aio.Producer(stream).put_batch([("k", b"mine")] * 9)

async def put_many():
    async with aio.Producer(stream) as producer:
        await asyncio.gather(*(producer.put("k", b"mine") for _ in range(20)))

async def tasks_put():
    async with aio.Producer(stream) as producer:
        for _ in range(20):
            begin(producer.put("k", b"mine"))
        await asyncio.sleep(60)

async def close_behind_a_put():
    async with aio.Producer(stream) as producer:
        begin(producer.put("k", b"mine"))
        await asyncio.sleep(0)

async def put_soon():
    async with aio.AsyncProducer(stream, linger_ms=1) as producer:
        await producer.put("k", b"mine")

async def put_soon_without_a_block():
    await aio.AsyncProducer(stream, linger_ms=1).put("k", b"mine")

async def put_more_than_memory_holds():
    async with aio.AsyncProducer(stream, linger_ms=1, buffered_bytes_max=1 << 20) as producer:
        await asyncio.gather(*(producer.put("k", b"mine" * 50000) for _ in range(20)))

async def flush_soon():
    async with aio.AsyncProducer(stream, linger_ms=1) as producer:
        begin(producer.put("k", b"mine"))
        await asyncio.sleep(0)
        await producer.flush()

async def close_soon():
    async with aio.AsyncProducer(stream, linger_ms=1) as producer:
        begin(producer.put("k", b"mine"))
        await asyncio.sleep(0)

async def time_out():
    async with aio.Producer(stream) as producer:
        try:
            await asyncio.wait_for(producer.put("k", b"mine"), 0.1)
        except asyncio.TimeoutError:
            raise KeyboardInterrupt

print("ready", flush=True)
try:
    asyncio.run(%s())
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""


@pytest.mark.parametrize("wait", re.findall(r"async def (\w+)", COROUTINES))
def test_control_c_ends_the_wait_of_a_coroutine_for_a_lock(folder: str, wait: str) -> None:
    """And what it has left does not hold up the end of the program."""
    with held_shard(folder + "/store"):
        with subprocess.Popen([sys.executable, "-c", COROUTINES % wait, folder + "/store"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout and child.stdout.readline() == "ready\n"
            time.sleep(0.4)
            sent = time.monotonic()
            if wait == "time_out":
                sent -= 0.3
            else:
                assert child.poll() is None
                child.send_signal(signal.SIGINT)
            try:
                said, complained = child.communicate(timeout=10)
            finally:
                child.kill()
            ended = time.monotonic()
        assert float(said) - sent < 1 and ended - sent < 2  # 0.1 is promised of the wait; the machine may be busy.
        assert complained == ""
    with Store(folder + "/store") as store:
        assert not [r for batch in store.stream("orders").iterator().batches() for r in batch if b"mine" in r.data]


RUNNER = """
import sys, time
from libstream import *
store = Store(sys.argv[1])
stream = store.create_stream("orders")
with stream.producer() as producer:
    producer.put_many("k", [b'{"at": 1000}', b'{"at": 100000}'])

def slow(*arguments):
    print("called", flush=True)
    time.sleep(2)
    print("returned", flush=True)

try:
    %s
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
try:
    store.close()
except KeyboardInterrupt:
    print("not closed" if not store.closed else "closed", flush=True)
store.close()
print("closed", flush=True)
"""


@pytest.mark.parametrize("run", [
    "stream.create_mapping('m').run(slow)",
    "stream.windows(slow, size_ms=1000, time='at').run()",
    "stream.create_delivery('d', to_callback=True, interval_ms=100).run(deliver=slow)"])
def test_control_c_waits_for_no_function_and_closing_does(folder: str, run: str) -> None:
    """A function of the program's is in a long call. The first Ctrl+C ends the run at once, the second one the wait of
    closing the store, which can be closed afterwards all the same, once the function has returned."""
    with subprocess.Popen([sys.executable, "-c", RUNNER % run, folder + "/store"], stdout=subprocess.PIPE,
                          text=True) as child:
        assert child.stdout and child.stdout.readline() == "called\n"
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert float(child.stdout.readline()) - sent < 1  # 0.1 is promised; the machine may be busy.
        time.sleep(0.15)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=20)[0] == "not closed\nreturned\nclosed\n"
        assert child.returncode == 0


def test_a_function_cannot_close_what_called_it(stream: Stream) -> None:
    """It would wait for itself for ever."""
    refused: list[str] = []

    def close(alert: libstream.Alert) -> None:
        for it in (alerts, stream, stream.store):
            with pytest.raises(libstream.WrongStateError, match="cannot be closed by a function that it calls") as told:
                it.close()
            refused.append(str(told.value))

    stream.create_alert("any", libstream.Comparison.GREATER, 0, field="n")
    with stream.watch(close) as alerts, stream.producer() as producer:
        producer.put("k", b'{"n": 1}')
        iterator = stream.iterator()
        alerts.observe(iterator.next_batch())
    assert refused[0].startswith("alerts cannot") and len(refused) == 3


def test_two_threads_that_close_one_return_when_it_is_closed(store: Store) -> None:
    stream = store.create_stream("orders")
    mapping, called = stream.create_mapping("m"), threading.Event()

    def slow(batch: libstream.Batch) -> None:
        called.set()
        time.sleep(0.3)

    with stream.producer() as producer:
        producer.put("k", b"x")
    runner = threading.Thread(target=lambda: mapping.run(slow))
    runner.start()
    assert called.wait(20)

    closers = [threading.Thread(target=stream.close) for _ in range(3)]
    for thread in closers:
        thread.start()
    for thread in closers:
        thread.join(20)
    store.delete_stream("orders")  # Nothing of it is open.
    runner.join(20)
    assert stream.closed and not runner.is_alive()


def test_a_wait_lets_other_threads_run(stream: Stream) -> None:
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.extend(r.data for r in stream.iterator().next_batch(30)))
    thread.start()
    time.sleep(0.05)
    with stream.producer() as producer:
        producer.put("k", b"x")
    thread.join(20)
    assert got == [b"x"]


def test_threads_share_a_producer_and_an_iterator(stream: Stream) -> None:
    producer, iterator = stream.producer(), stream.iterator(timeout=None, records_max=3)
    got: list[bytes] = []

    def put(who: int) -> None:
        for i in range(300):
            producer.put("k", b"%d-%d" % (who, i))
            if i % 50 == 0:
                producer.put_many("k", [b"batch"] * 3)

    def take() -> None:
        while len(got) < 4 * (300 + 18):
            got.extend(iterator.next_batch(0.2).data_list())

    threads = [threading.Thread(target=put, args=(who,)) for who in range(4)]
    threads += [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got) == sorted([b"%d-%d" % (w, i) for w in range(4) for i in range(300)] + [b"batch"] * 72)
    records = [record.data for record in stream.iterator()]
    for who in range(4):
        mine = [data for data in records if data.startswith(b"%d-" % who)]
        assert mine == [b"%d-%d" % (who, i) for i in range(300)]  # The order of each thread's puts.


@pytest.mark.parametrize("way", ["next", "merged", "batches", "records", "asyncio", "subscription", "mapping",
                                 "transform"])
def test_nobody_moves_or_closes_what_a_batch_is_copied_from(
        store: Store, stream: Stream, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The copy is made without the GIL, of memory that is the library's until the next call: whoever reads, moves or
    closes in the midst of it is after it."""
    wanted = [b"%03d" % i * 1000 for i in range(256)]
    with stream.producer() as producer:
        producer.put_many("k", wanted)
    stream.register_consumer("c")
    copy, others, early = batch_module.copy, [], []
    copied: List[bytes] = []
    iterator = stream.iterator(None if way == "merged" else 0, records_max=128)
    uses = [store.close] if way in ("subscription", "mapping", "transform") else [
        iterator.next_batch, lambda: iterator.seek("LATEST"), iterator.close, store.close]

    def use(call: Callable[[], Any], is_done: threading.Event) -> None:
        with contextlib.suppress(libstream.Error):
            call()
        is_done.set()

    def copy_late(address: int) -> Any:
        if ffi.cast("lsi_py_page *", address).count == 0:  # A subscription's first.
            return copy(address)
        if not others:
            done = [threading.Event() for _ in uses]
            others.extend(threading.Thread(target=use, args=both) for both in zip(uses, done))
            for other in others:
                other.start()
            time.sleep(0.2)
            early.extend(event.is_set() for event in done)
        made = copy(address)
        copied.append(made[0])
        return made

    ways: Dict[str, Callable[[], Any]] = {
        "next": iterator.next_batch, "merged": iterator.next_batch, "batches": lambda: next(iter(iterator.batches())),
        "records": lambda: next(iterator), "asyncio": lambda: asyncio.run(aio.Iterator(iterator).next_batch()),
        "subscription": lambda: list(stream.subscribe("c", records_max=128)),
        "mapping": lambda: stream.create_mapping("m", records_max=128).run(lambda batch: None),
        "transform": lambda: stream.create_delivery("d", to_callback=True, transform=True).run(
            transform=lambda transform: None, deliver=print, until_caught_up=True)}
    monkeypatch.setattr(batch_module, "copy", copy_late)
    with contextlib.suppress(libstream.Error):  # That it was closed.
        ways[way]()
    for other in others:
        other.join(30)
    assert copied[0] in [b"".join(wanted[:count]) + b"k" * count for count in (128, 256)]
    assert early == [False] * len(uses)


ITERATE_TOGETHER = """
import sys, threading, time
from libstream import *

with Store("memory:") as store, store.create_stream("orders") as stream, stream.producer() as producer:
    iterator, got, told = stream.iterator(timeout=0.5, records_max=7), [], []
    shared = iter(iterator)
    takers = {"for": lambda: iterator, "next": lambda: iter(lambda: next(iterator, None), None), "iter": lambda: shared}

    def take():
        try:
            for record in takers[sys.argv[1]]():
                got.append(record.data)
        except BaseException as error:
            told.append(repr(error))

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    for i in range(100):
        producer.put_many("k", [b"%d" % (20 * i + k) for k in range(20)])
        time.sleep(0.002)
    for thread in threads:
        thread.join()
    print(told, sorted(got) == sorted(b"%d" % i for i in range(2000)), len(list(iterator)))
"""


@pytest.mark.parametrize("way", ["for", "next", "iter"])
def test_threads_take_the_records_of_one_iterator(way: str) -> None:
    ran = subprocess.run([sys.executable, "-c", ITERATE_TOGETHER, way], stdout=subprocess.PIPE, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, b"[] True 0\n")


def test_closing_ends_the_waits_of_all_who_share_an_iterator(stream: Stream) -> None:
    iterator = stream.iterator(timeout=None)
    told: list[str] = []

    def take() -> None:
        try:
            next(iterator)
        except (libstream.CancelledError, libstream.WrongStateError) as error:
            told.append(str(error))

    threads = [threading.Thread(target=take, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    closer = threading.Thread(target=iterator.close, daemon=True)
    closer.start()
    closer.join(10)
    assert not closer.is_alive()
    for thread in threads:
        thread.join(10)
    assert told == ["the iterator was closed by another thread"] * 3


def test_a_producer_that_is_closed_meanwhile_harms_nobody(store: Store) -> None:
    stream = store.create_stream("orders")
    for _ in range(20):
        producer = stream.producer()
        told: list[str] = []

        def put(producer: libstream.Producer = producer, told: list[str] = told) -> None:
            try:
                while True:
                    producer.put("k", b"x")
            except libstream.WrongStateError as error:
                told.append(str(error))

        threads = [threading.Thread(target=put) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.002)
        producer.close()
        for thread in threads:
            thread.join(10)
        assert told == ["producer is closed"] * 2


def test_cancel_ends_the_wait_of_another_thread(stream: Stream) -> None:
    iterator = stream.iterator()
    threading.Timer(0.05, iterator.cancel).start()
    with pytest.raises(libstream.CancelledError, match="was cancelled"):
        iterator.next_batch(None)
    assert len(iterator.next_batch(0)) == 0  # One cancel ends one wait.


def test_an_iterator_goes_on_after_an_exception_ended_its_wait(stream: Stream) -> None:
    iterator = stream.iterator(timeout=None)
    threading.Timer(0.05, iterator.cancel).start()
    with pytest.raises(libstream.CancelledError):
        for _ in iterator:
            pass
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            for _ in iterator:
                pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    stream.producer().put_many("k", [b"a", b"b"])
    for record in iterator:
        assert record.data == b"a"
        break
    assert next(iterator).data == b"b"


def test_a_signal_whose_handler_returns_ends_no_wait(stream: Stream) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert len(stream.iterator().next_batch(0.3)) == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == [signal.SIGUSR1]


def test_a_descriptor_is_readable_when_there_is_something(stream: Stream) -> None:
    iterator = stream.iterator()
    assert len(iterator.next_batch()) == 0
    fd = iterator.fileno()
    assert select.select([fd], [], [], 0.05)[0] == []
    with stream.producer() as producer:
        producer.put("k", b"x")
    assert select.select([iterator], [], [], 20)[0] == [iterator]
    assert iterator.next_batch().data_list() == [b"x"]


def in_child(work: Callable[[], None]) -> str:
    """What a fork child found wrong, "" if nothing."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(write, b"")
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    assert os.waitpid(pid, 0)[1] == 0
    return said


def test_a_fork_child_is_refused_and_can_open_anew(folder: str) -> None:
    with Store(folder + "/store") as store:
        stream = store.create_stream("orders")
        producer, iterator = stream.producer(), stream.iterator()
        producer.put("k", b"parent")

        def child() -> None:
            calls: list[Callable[[], Any]] = [
                lambda: producer.put("k", b"child"), lambda: producer.put_many("k", [b"child"]), producer.flush,
                iterator.next_batch, stream.describe, store.sync]
            for call in calls:
                with pytest.raises(libstream.WrongStateError):
                    call()
            producer.close()
            store.close()
            with Store(folder + "/store") as own, own.stream("orders").producer() as mine:
                mine.put("k", b"child")

        assert in_child(child) == ""
        producer.put("k", b"parent again")
        assert [r.data for r in iterator] == [b"parent", b"child", b"parent again"]


def test_a_fork_child_takes_no_record_that_its_parent_read(folder: str) -> None:
    """Those of a batch that was begun are the parent's, which goes on with them."""
    with Store(folder + "/store") as store, store.create_stream("orders") as stream:
        stream.producer().put_many("k", [b"%d" % i for i in range(4)])
        begun, looped, awaited = stream.iterator(), stream.iterator(), aio.Iterator(stream.iterator())
        loop = iter(looped)

        async def first() -> libstream.Record:
            return await awaited.__aiter__().__anext__()

        def child() -> None:
            for call in (lambda: next(begun), lambda: next(loop), lambda: next(looped), lambda: asyncio.run(first())):
                with pytest.raises(libstream.WrongStateError, match="was opened by process"):
                    call()

        assert [next(begun).data, next(loop).data, asyncio.run(first()).data] == [b"0"] * 3
        assert in_child(child) == ""
        assert [[record.data for record in rest] for rest in (begun, loop)] == [[b"1", b"2", b"3"]] * 2
        assert asyncio.run(first()).data == b"1"


def test_what_has_threads_is_refused_in_a_fork_child(folder: str) -> None:
    """Their threads are not there, and their locks may be held by these: nothing waits for ever."""
    with Store(folder + "/store") as store:
        stream = store.create_stream("orders")
        stream.register_consumer("c")
        put, kinesis = aio.Producer(stream), Client(store)
        asyncio.run(put.put("k", b"x"))
        subscription, mapping = stream.subscribe("c"), stream.create_mapping("m")
        runner = threading.Thread(target=lambda: mapping.run(lambda batch: None))
        runner.start()
        while not mapping._runs or mapping._runs[0]._gate.count == 0:
            time.sleep(0.01)

        def child() -> None:
            signal.alarm(20)
            for call in (lambda: next(subscription), lambda: asyncio.run(put.put("k", b"x")), mapping.describe):
                with pytest.raises(libstream.WrongStateError, match="was opened by process"):
                    call()
            with pytest.raises(kinesis.exceptions.ClientError, match="was opened by process"):
                kinesis.put_record(StreamName="orders", Data=b"x", PartitionKey="k")
            subscription.close()
            kinesis.close()
            store.close()

        held, go = threading.Event(), threading.Event()

        def hold() -> None:
            with kinesis._lock:
                held.set()
                go.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(20)
        assert in_child(child) == ""
        go.set()
        holder.join()
        assert next(subscription).data_list() == [b"x"]
        mapping.stop()
        runner.join(20)


def test_a_fork_child_takes_no_lock_of_a_thread_that_is_gone(folder: str) -> None:
    """A thread puts all the time: sooner or later a fork comes while it has the producer's lock."""
    with Store(folder + "/store", durability=libstream.Durability.KERNEL) as store:
        stream = store.create_stream("orders")
        producer, stop = stream.producer(), threading.Event()

        def put() -> None:
            while not stop.is_set():
                producer.put_many("k", [b"x"] * 100)

        def child() -> None:
            with pytest.raises(libstream.WrongStateError):
                producer.put("k", b"child")
            producer.close()
            store.close()

        thread = threading.Thread(target=put)
        thread.start()
        try:
            assert [in_child(child) for _ in range(20)] == [""] * 20
        finally:
            stop.set()
            thread.join()


def put_ten(location: str, who: int) -> int:
    with Store(location) as store, store.stream("orders").producer() as producer:
        return len(producer.put_many("key-%d" % who, [b"%d" % i for i in range(10)]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_a_store(folder: str, method: str) -> None:
    location = folder + "/store"
    with Store(location) as store:
        stream = store.create_stream("orders")
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.starmap(put_ten, [(location, who) for who in range(4)]) == [10] * 4
        records = list(stream.iterator())
    for who in range(4):
        assert [r.data for r in records if r.partition_key == "key-%d" % who] == [b"%d" % i for i in range(10)]


def test_a_store_that_is_open_at_the_end_is_closed(folder: str) -> None:
    program = ("import sys; from libstream import *; s = Store(sys.argv[1], durability=Durability.KERNEL);"
               "t = s.create_stream('orders'); i = t.iterator(); t.producer().put('k', b'x')")
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program, folder + "/store"], capture_output=True,
                          text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
