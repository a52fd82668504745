"""What handlers of signals, and functions that the library calls in the midst of a call, do with what is in use: they
never wait for themselves, and what they raise leaves nothing half done."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any, Callable, List

import pytest

import libstream
from libstream import Store

HEAD = """
import random, signal, sys, time
from libstream import *
from libstream import kinesis

store = Store("memory:")
stream = store.create_stream("orders")
producer = stream.producer()
producer.put_many("k", [b"x"] * 5000)

class Came(Exception):
    pass

def raises(*ignored):
    raise Came

sys.unraisablehook = lambda told: None  # What is raised in a finalizer ends there.

def soon(handler, seconds=0.05):
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
"""


def says(program: str, *arguments: str) -> str:
    """What a program prints that comes to its end."""
    done = subprocess.run([sys.executable, "-c", HEAD + program, *arguments], capture_output=True, text=True,
                          timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


INTERRUPTED = """
came, refused = 0, []
while came < 100:
    other, iterator = store.stream("orders"), stream.iterator(records_max=10)
    calls = {"describe": other.describe, "next": iterator.next_batch, "place": lambda: iterator.place,
             "iterate": lambda: [iterator.seek("TRIM_HORIZON"), list(iterator)]}
    try:
        soon(raises, random.uniform(0.00002, 0.002))
        while True:
            calls[sys.argv[1]]()
    except Came:
        came += 1
    try:
        other.close()
        iterator.close()
    except Error as error:
        refused.append(str(error))
print(set(refused))
"""


@pytest.mark.parametrize("call", ["describe", "next", "place", "iterate"])
def test_what_a_handler_raises_leaves_nobody_in_a_call(call: str) -> None:
    """Wherever it comes: everything can be used and closed afterwards."""
    assert says(INTERRUPTED, call) == "set()"


OPENED = """
came, calls = 0, {
    "iterator": lambda: other.iterator().close(), "producer": lambda: other.producer().close(),
    "dropped": lambda: [other.iterator(), other.producer()], "stream": lambda: store.stream("orders").close(),
    "windows": lambda: other.windows(print, size_ms=1).close(), "group": lambda: other.group("g").close()}

def again(number, frame):
    signal.setitimer(signal.ITIMER_REAL, 0.01)  # What was raised in a finalizer has ended there.
    while frame is not None:  # Not in this program, which handles the one before.
        if "libstream" in frame.f_code.co_filename:
            raise Came
        frame = frame.f_back

while came < 300:
    other = store.stream("orders")
    try:
        soon(again, random.uniform(0.00002, 0.0005))
        while True:
            calls[sys.argv[1]]()
    except Came:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    came += 1
    other.close()
producer.close()
stream.close()
store.close()
print("closed")
"""


@pytest.mark.parametrize("opened", ["iterator", "producer", "dropped", "stream", "windows", "group"])
def test_what_a_handler_raises_leaves_nothing_open(opened: str) -> None:
    """Also where it ends the opening, or a finalizer."""
    assert says(OPENED, opened) == "closed"


EVERYWHERE = """
opens = {
    "iterator": lambda: other.iterator(), "producer": lambda: other.producer(), "group": lambda: other.group("g"),
    "windows": lambda: other.windows(print, size_ms=1), "pushed": lambda: other.subscribe("c", 0, "LATEST"),
    "soon": lambda: other.async_producer(), "stream": lambda: store.stream("orders"), "txn": store.transaction}
if sys.argv[1] == "pushed":
    stream.register_consumer("c")

# In 3.13 a function has only lines when it is called first; what is raised at a line spoils 3.9's last ones.
events = ("opcode", "line") if sys.version_info >= (3, 13) else ("opcode",)

def traced(frame, event, argument):
    global left
    if "libstream" not in frame.f_code.co_filename:
        return None
    frame.f_trace_opcodes = True
    if event in events:
        left -= 1
        if left == 0:
            raise Came
    return traced

def opens_until(count):
    global left, other
    other, left = store.stream("orders"), count
    try:
        sys.settrace(traced)
        opened = opens[sys.argv[1]]()
    except Came as error:
        kept.append(error)  # And by its trace whatever was opened.
    sys.settrace(None)
    other.close()

kept = []
sys._getframe().f_trace_opcodes = True  # Without one at the beginning 3.12 has no such events.
opens_until(0)
while left <= 0:
    opens_until(len(kept) + 1)
producer.close()
stream.close()
store.close()
print(len(kept), "closed")
"""


@pytest.mark.parametrize("opened", ["iterator", "producer", "group", "windows", "pushed", "soon", "stream", "txn"])
def test_what_is_raised_at_any_instruction_of_opening_leaves_nothing_open(opened: str) -> None:
    """The parent knows it, and closes it."""
    count, said = says(EVERYWHERE, opened).split()
    assert int(count) > 20 and said == "closed"


READ = """
came, wrong = 0, 0
while came < 100:
    iterator, got, is_over = stream.iterator(records_max=100), [], False
    while not is_over:
        try:
            soon(raises, random.uniform(0.0001, 0.001))
            got.extend(iterator if sys.argv[1] == "records" else iterator.batches())
            signal.setitimer(signal.ITIMER_REAL, 0)
            is_over = True
        except Came:
            came += 1
    numbers = [r.seqno for r in got] if sys.argv[1] == "records" else [n for batch in got for n in batch.seqnos]
    wrong += len(numbers) != 5000 or numbers != sorted(set(numbers))
print(wrong)
"""


takes_answers = pytest.mark.skipif(sys.version_info < (3, 11), reason="this CPython runs handlers between the end of a "
                                   "call and the taking of its answer")


@takes_answers
@pytest.mark.parametrize("what", ["records", "batches"])
def test_what_a_handler_raises_loses_no_record(what: str) -> None:
    """What was read when it came is what comes next."""
    assert says(READ, what) == "0"


HANDLER_USES = """
iterator = stream.iterator(0, "LATEST", timeout=None)
place = iterator.place
told = []

def handler(*ignored):
    for use in (lambda: iterator.place == place, lambda: iterator.fileno() > 0, stream.describe, store.metrics_text,
                lambda: producer.put("k", b"y"), iterator.next_batch, lambda: iterator.seek("LATEST"), iterator.close,
                store.close):
        try:
            told.append(bool(use()))
        except WrongStateError as error:
            told.append("refused")

soon(handler)
print(next(iterator).data, told)
"""


def test_a_handler_uses_what_its_thread_waits_in() -> None:
    """It may look at it, and use all else; what would read, move or close it is refused, and nothing is closed."""
    assert says(HANDLER_USES) == "b'y' [True, True, True, True, True, 'refused', 'refused', 'refused', 'refused']"


ALL_THE_TIME = """
client, count = kinesis.Client(store), 0
uses = {"describe": stream.describe, "put": lambda: producer.put("k", b"x"),
        "put_record": lambda: client.put_record(StreamName="orders", Data=b"x", PartitionKey="k")}

def handler(*ignored):
    global count
    uses[sys.argv[1]]()
    count += 1
    signal.setitimer(signal.ITIMER_REAL, 0.0005)

soon(handler)
while count < 100:
    uses[sys.argv[1]]()
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""


@pytest.mark.parametrize("use", ["describe", "put", "put_record"])
def test_a_handler_calls_what_its_thread_calls(use: str) -> None:
    assert says(ALL_THE_TIME, use) == "done"


RUNS = """
def handler(*ignored):
    for use in (windows.describe, windows.finish):
        try:
            use()
        except WrongStateError as error:
            print("refused")
    windows.stop()

windows = stream.windows(lambda result: None, size_ms=1000)
soon(handler)
windows.run()
print(windows.describe().added_count)
"""


def test_a_handler_stops_the_run_that_its_thread_waits_in() -> None:
    assert says(RUNS) == "refused\nrefused\n5000"


PUSHED = """
stream.register_consumer("c")
subscription, got = stream.subscribe("c", 0, "LATEST"), []

def handler(*ignored):
    producer.put("k", b"first")
    got.append(next(subscription).data_list())
    producer.put("k", b"second")

soon(handler, 0.2)
got.append(next(subscription).data_list())
print(got)
"""


def test_a_handler_takes_from_a_subscription() -> None:
    assert says(PUSHED) == "[[b'first'], [b'second']]"


EVENTS = """
groups, came = 0, 0
while came < 20:
    group, event = stream.group("g%d" % groups), None
    try:
        soon(raises, random.uniform(0.00002, 0.001))
        event = group.next(10)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Came:
        came += 1
        event = event or group.next(2)
    if event is None or event.kind is not GroupEventKind.TAKEN:
        print(event)
    group.close()
    groups += 1
print("done")
"""


@takes_answers
def test_what_a_handler_raises_loses_no_lease() -> None:
    assert says(EVENTS) == "done"


# ---- functions that give keys, take logs, or are told of progress ----

def with_key(function: Callable[[], Any]) -> List[str]:
    """What a function meets that is called while a key is asked for; and what is open then still works."""
    told: List[str] = []

    def key(name: str) -> bytes:
        if function_now:
            function_now.pop()()
        return b"k" * 32

    function_now: List[Callable[[], Any]] = []
    with Store("memory:", key=key) as store:
        stream = store.create_stream("orders")
        later, producer, iterator = stream.async_producer(), stream.producer(), stream.iterator(timeout=None)
        stream.start_encryption("a")
        things = {"store": store, "stream": stream, "producer": producer, "iterator": iterator, "later": later}

        def call() -> None:
            try:
                function(things)  # type: ignore[call-arg]
            except libstream.WrongStateError as error:
                told.append(str(error))

        function_now.append(call)
        assert producer.put("k", b"x").seqno > 0
        function_now.append(call)
        assert next(iterator).data == b"x"
        function_now.append(call)
        later.put("k", b"y")
        later.flush()
        assert not any(thing.closed for thing in things.values())
        assert producer.put("k", b"z").seqno > 0 and [next(iterator).data for _ in range(2)] == [b"y", b"z"]
    return told


@pytest.mark.parametrize("function", [
    lambda things: things["store"].close(), lambda things: things["stream"].close(),
    lambda things: things["later"].close(), lambda things: things["later"].flush(),
    lambda things: [things["producer"].put("k", b"x") and things["iterator"].next_batch()]])
def test_a_function_that_gives_keys_does_not_wait_for_itself(function: Callable[[Any], Any]) -> None:
    assert len(with_key(function)) >= 1  # type: ignore[arg-type]


def test_a_producer_is_not_used_by_its_own_put() -> None:
    told: List[str] = []

    def key(name: str) -> bytes:
        uses = (producer.close, producer.flush, lambda: producer.put("k", b"x"),
                lambda: producer.put_many("k", [b"x"]))
        for use in uses if is_put else ():
            with pytest.raises(libstream.WrongStateError, match="a function that a call of it calls"):
                use()
            told.append(str(producer.repeats))
        return b"k" * 32

    with Store("memory:", key=key) as store:
        stream = store.create_stream("orders")
        producer, is_put = stream.producer(), False
        stream.start_encryption("a")
        is_put = True
        producer.put("k", b"y")
        assert not producer.closed
    assert told[:4] == ["0"] * 4


def test_why_there_is_no_key_is_told() -> None:
    def key(name: str) -> bytes:
        raise ConnectionError("the vault is away")

    with Store("memory:", key=key) as store:
        stream = store.create_stream("orders")
        with pytest.raises(libstream.KeyUnavailableError) as told:
            stream.start_encryption("a")
            stream.producer().put("k", b"x")
        assert str(told.value.__cause__) == "the vault is away"
    with Store("memory:", key=lambda name: b"short") as store:
        stream = store.create_stream("orders")
        with pytest.raises(libstream.KeyUnavailableError) as told:
            stream.start_encryption("a")
            stream.producer().put("k", b"x")
        assert "32 of them: the function that gives keys answered 5" in str(told.value.__cause__)


KEY_INTERRUPTED = """
def key(name):
    time.sleep(30)

encrypted = Store("memory:", key=key).create_stream("orders")
soon(signal.default_int_handler)
try:
    encrypted.start_encryption("a")
    encrypted.producer().put("k", b"x")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_control_c_ends_a_call_that_waits_for_a_key() -> None:
    assert says(KEY_INTERRUPTED) == "interrupted"


def test_a_close_that_is_refused_closes_nothing(folder: str) -> None:
    told: List[str] = []

    def progress(done: int, total: int) -> bool:
        with pytest.raises(libstream.WrongStateError, match="store cannot be closed") as refused:
            store.close()
        told.append(str(refused.value))
        return True

    with Store(folder + "/store") as store:
        stream = store.create_stream("orders")
        producer, iterator = stream.producer(), stream.iterator()
        producer.put("k", b"x")
        store.backup(folder + "/copy", progress)
        assert told and not any(it.closed for it in (store, stream, producer, iterator))
        producer.put("k", b"y")
        assert [record.data for record in iterator] == [b"x", b"y"]


def test_streams_are_opened_while_a_store_is_closed() -> None:
    """What is open is looked through while threads add to it."""
    for _ in range(20):
        store, told = Store("memory:"), []
        store.create_stream("orders")

        def open_streams(store: Store = store, told: List[str] = told) -> None:
            try:
                kept = [store.stream("orders") for _ in range(300)]
                del kept
            except libstream.WrongStateError:
                pass
            except BaseException as error:
                told.append(repr(error))

        threads = [threading.Thread(target=open_streams) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            store.close()
        except libstream.WrongStateError:  # One was opened when all others had been closed: it is open as before.
            pass
        except BaseException as error:
            told.append(repr(error))
        for thread in threads:
            thread.join(20)
        store.close()
        assert told == []
