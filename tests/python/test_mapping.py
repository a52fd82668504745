"""Consumers: functions that get batches, also as Lambda's event; failures, windows, exactly once, stopping."""

from __future__ import annotations

import base64
import functools
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Dict, List

import pytest

import libstream
from libstream import Answer, Batch, Context, Position, Store, Stream


def fill(stream: Stream, count: int, first: int = 0) -> None:
    with stream.producer() as producer:
        producer.put_many("k", [b"%d" % i for i in range(first, first + count)])


def test_a_second_run_handles_only_what_is_new(stream: Stream) -> None:
    seen: List[List[bytes]] = []

    @stream.on_batch("printer", records_max=2)
    def printer(batch: Batch) -> None:
        seen.append(batch.data_list())

    fill(stream, 3)
    printer.run(until_caught_up=True)
    fill(stream, 1, 3)
    printer.run(until_caught_up=True)
    assert seen == [[b"0", b"1"], [b"2"], [b"3"]]
    printer(stream.iterator().next_batch())  # It is the function itself, too.
    assert len(seen[-1]) == 4


def test_settings_are_kept_and_changed_one_by_one(stream: Stream) -> None:
    stream.register_consumer("reader")
    mapping = stream.create_mapping("m", "LATEST", records_max=7, bisect=True, retries_max=libstream.NO_RETRIES,
                                    filters=[{"partitionKey": ["a"]}, '{"partitionKey": ["b"]}'], consumer="reader")
    settings = mapping.describe().settings
    assert (settings["records_max"], settings["bisect"], settings["retries_max"], settings["consumer"]) == \
        (7, True, -1, "reader")
    assert [json.loads(f) for f in settings["filters"]] == [{"partitionKey": ["a"]}, {"partitionKey": ["b"]}]
    mapping.update(records_max=8)
    assert mapping.describe().settings == {**settings, "records_max": 8}
    stream.on_batch("m", records_max=9)(print)
    assert mapping.describe().settings == {**settings, "records_max": 9}
    mapping.pause()
    assert not mapping.describe().enabled and mapping.describe().start == Position.LATEST
    mapping.resume()
    assert mapping.describe().enabled
    assert [m.name for m in stream.mappings()] == ["m"]
    assert stream.mapping("m").name == "m"
    with pytest.raises(TypeError, match="'batch' is no setting"):
        stream.create_mapping("other", batch=3)
    with pytest.raises(libstream.InvalidArgumentError, match="Event pattern"):
        stream.create_mapping("other", filters=[{"partitionKey": 1}])
    with pytest.raises(libstream.ExistsError):
        stream.create_mapping("m")
    mapping.delete()
    with pytest.raises(libstream.NotFoundError):
        stream.mapping("m")


def test_what_a_function_raises_fails_the_batch_and_is_logged(
        stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    fill(stream, 2)
    attempts: List[int] = []
    discarded: List[Any] = []
    mapping = stream.create_mapping("m", retries_max=1)

    def handle(batch: Batch, context: Context) -> None:
        attempts.append(context.attempts)
        raise RuntimeError("no such price")

    with caplog.at_level(logging.ERROR, "libstream"):
        mapping.run(handle, until_caught_up=True,
                    on_discard=lambda batch, reason, count: discarded.append((batch.data_list(), reason, count)))
    assert attempts == [0, 1] and discarded == [([b"0", b"1"], 1, 2)]
    assert "no such price" in caplog.text
    assert mapping.describe().last_result == 2


def test_a_part_of_a_batch_can_fail(stream: Stream) -> None:
    fill(stream, 5)
    seen: List[List[bytes]] = []

    def handle(batch: Batch, context: Context) -> Answer:
        seen.append(batch.data_list())
        if context.attempts == 0 and batch[0].data == b"0":
            context.fail_at(3)
        return Answer.DONE

    stream.create_mapping("m", report_failures=True).run(handle, until_caught_up=True)
    assert seen == [[b"0", b"1", b"2", b"3", b"4"], [b"3", b"4"]]


def test_a_lambda_handler_runs_unchanged(stream: Stream) -> None:
    lines: List[str] = []

    def lambda_handler(event: Dict[str, Any], context: Any) -> Any:
        assert context.get_remaining_time_in_millis() > 0 and context.function_name == "reader"
        for record in event["Records"]:
            lines.append(base64.b64decode(record["kinesis"]["data"]).decode())
            assert record["eventSource"] == "aws:kinesis" and len(record["kinesis"]["sequenceNumber"]) == 56
            assert record["invokeIdentityArn"] == "arn:aws:iam::000000000000:role/libstream"
        return {"statusCode": 200, "body": json.dumps("Hello from Lambda!")}

    fill(stream, 3)
    stream.on_batch("reader", lambda_event=True)(lambda_handler).run(until_caught_up=True)
    assert lines == ["0", "1", "2"]


def test_an_event_is_no_larger_than_lambda_s(stream: Stream) -> None:
    sizes: List[int] = []

    def count_event(event: Dict[str, Any], context: Any) -> None:
        sizes.append(len(event["Records"]))

    with stream.producer() as producer:
        producer.put_many("k", [bytes(1_000_000)] * 4)
        producer.put_many("k", [bytes(1_000_000)] * 2)
    stream.create_mapping("events").run(count_event, lambda_event=True, until_caught_up=True)
    assert sizes == [4, 2]
    sizes.clear()
    stream.create_mapping("batches").run(lambda batch: sizes.append(len(batch)), until_caught_up=True)
    assert sizes == [6]


def test_a_lambda_handler_reports_items_that_failed(stream: Stream) -> None:
    sizes: List[int] = []

    def handler(event: Dict[str, Any], context: Any) -> Any:
        sizes.append(len(event["Records"]))
        if len(sizes) == 1:
            return {"batchItemFailures": [{"itemIdentifier": event["Records"][2]["kinesis"]["sequenceNumber"]}]}
        return {"batchItemFailures": []}

    fill(stream, 5)
    stream.create_mapping("m", report_failures=True).lambda_handler(handler).run(until_caught_up=True)
    assert sizes == [5, 3]


def test_windows_carry_their_state(folder: str) -> None:
    clock = libstream.Clock(1_700_000_000_000_000)
    with Store(folder + "/store", clock=clock) as store:
        stream = store.create_stream("orders")
        fill(stream, 3)
        clock.advance(1)
        fill(stream, 2)
        totals: List[Any] = []

        def handle(batch: Batch, context: Context) -> None:
            window = context.window
            count = int(window.state or b"0") + len(batch)
            if window.is_final:
                totals.append((window.start_us, window.end_us, count))
            else:
                context.set_state(b"%d" % count)

        mapping = stream.create_mapping("w", tumbling_window_s=60, records_max=2)
        mapping.run(handle, until_caught_up=True)
        clock.advance(600)
        fill(stream, 1)
        mapping.run(handle, until_caught_up=True)
        assert totals == [(1_699_999_980_000_000, 1_700_000_040_000_000, 5)]


def test_what_a_handler_puts_is_one_step_with_its_batch(store: Store) -> None:
    source, target = store.create_stream("source"), store.create_stream("target")
    fill(source, 4)
    calls: List[int] = []

    def handle(batch: Batch, context: Context) -> Answer:
        calls.append(len(batch))
        for index, record in enumerate(batch):
            context.put(index, target, record.partition_key, record.data * 2)
        return Answer.RETRY if len(calls) < 3 else Answer.DONE

    source.create_mapping("m", exactly_once=True).run(handle, until_caught_up=True)
    assert calls == [4, 4, 4]
    assert [r.data for r in target.iterator()] == [b"00", b"11", b"22", b"33"]


def test_a_context_ends_with_its_call(stream: Stream) -> None:
    kept: List[Context] = []
    batches: List[Batch] = []

    def handle(batch: Batch, context: Context) -> None:
        kept.append(context)
        batches.append(batch)

    fill(stream, 2)
    stream.create_mapping("m").run(handle, until_caught_up=True)
    with pytest.raises(libstream.WrongStateError, match="has returned"):
        kept[0].attempts
    assert [r.data for r in batches[0]] == [b"0", b"1"]  # Batches do not.


def test_a_run_is_stopped_by_a_function_by_a_thread_and_by_closing(stream: Stream) -> None:
    fill(stream, 3)
    mapping = stream.create_mapping("m")
    mapping.run(lambda batch: Answer.STOP)
    threading.Timer(0.2, mapping.stop).start()
    mapping.run(lambda batch: None)
    mapping.seek("TRIM_HORIZON")
    seen: List[bytes] = []
    closer = threading.Timer(0.2, stream.close)
    closer.start()
    mapping.run(lambda batch: seen.extend(batch.data_list()))
    closer.join()
    assert seen == [b"0", b"1", b"2"] and stream.closed


def test_a_batching_window_is_kept_after_it_was_idle(stream: Stream) -> None:
    """Windows follow each other from the end of a call on, slept through or not."""
    mapping = stream.create_mapping("m", batching_window_ms=1000)
    batches: List[List[bytes]] = []
    ended: List[float] = []
    called = threading.Semaphore(0)

    def handle(batch: Batch) -> None:
        batches.append(batch.data_list())
        ended.append(time.monotonic())
        for _ in batch:
            called.release()

    runner = threading.Thread(target=mapping.run, args=(handle,))
    runner.start()
    fill(stream, 1)
    assert called.acquire(timeout=20)
    for attempt in range(1, 21):  # The machine may be busy elsewhere.
        time.sleep(max(0.0, ended[-1] + 1.3 - time.monotonic()))  # amid the second one
        before = ended[-1]
        for i in range(3):
            fill(stream, 1, 3 * attempt + i)
            time.sleep(0.01)
        was_in_time = time.monotonic() < before + 1.9
        assert all(called.acquire(timeout=20) for _ in range(3))
        if was_in_time:
            assert batches[-1] == [b"%d" % (3 * attempt + i) for i in range(3)] and ended[-1] > before + 1.9
            break
    mapping.stop()
    runner.join()
    assert was_in_time


def test_who_stops_a_run_can_wait_for_its_end(stream: Stream) -> None:
    mapping, called, go, told = stream.create_mapping("m"), threading.Event(), threading.Event(), []
    mapping.wait(0)  # There is none.

    @mapping.handler
    def slow(batch: libstream.Batch) -> None:
        try:
            mapping.wait()
        except libstream.WrongStateError as error:
            told.append(str(error))
        called.set()
        go.wait(20)

    with stream.producer() as producer:
        producer.put("k", b"x")
    threading.Thread(target=slow.run).start()
    assert called.wait(20)
    slow.stop()
    with pytest.raises(libstream.WaitTimeoutError, match="a run of mapping 'm' has not ended"):
        slow.wait(0.05)
    with pytest.raises(ValueError, match="below 0"):
        slow.wait(-1)
    go.set()
    slow.wait(20)
    mapping.delete()
    assert told == ["a function waits for the run that it is in: stop lets it end"]


def test_a_function_cannot_close_what_it_is_run_by(stream: Stream) -> None:
    fill(stream, 1)
    told: List[str] = []

    def handle(batch: Batch) -> None:
        try:
            stream.close()
        except libstream.WrongStateError as error:
            told.append(str(error))

    stream.create_mapping("m").run(handle, until_caught_up=True)
    assert len(told) == 1 and "Answer.STOP" in told[0]


def test_control_c_stops_a_run(folder: str) -> None:
    program = """
import sys, time
from libstream import *
store = Store(sys.argv[1])
mapping = store.create_stream("orders").create_mapping("m")
print("ready", flush=True)
try:
    mapping.run(lambda batch: None)
except KeyboardInterrupt:
    print(time.monotonic())
store.close()
"""
    with subprocess.Popen([sys.executable, "-c", program, folder + "/store"], stdout=subprocess.PIPE,
                          text=True) as child:
        assert child.stdout and child.stdout.readline() == "ready\n"
        time.sleep(0.2)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        took = float(child.communicate(timeout=20)[0]) - sent
        assert child.returncode == 0 and took < 2


STARTED_AGAIN = """
import os, sys
from libstream import Answer, Store

with Store(sys.argv[1]) as store:
    @store.stream("s").on_batch("m", records_max=2, retries_max=2, failure_stream="f")
    def handle(batch, context):
        print(batch.data_list()[0].decode(), context.attempts, flush=True)
        if b"2" in batch.data_list() and sys.argv[2] == "dies":
            os._exit(9)
        if b"2" in batch.data_list() and sys.argv[2] == "fails":
            failed.append(1)
            if len(failed) == 2:
                return Answer.STOP
            raise RuntimeError

    failed = []
    handle.run(until_caught_up=True)
"""


@pytest.mark.parametrize("how, said", [
    ("dies", [["0 0", "2 0"], ["2 1"], ["2 2"], ["4 0"]]),
    ("fails", [["0 0", "2 0", "2 1"], ["2 1", "2 2"], ["2 2", "4 0"]]),
])
def test_a_program_that_is_started_again_goes_on_counting(folder: str, how: str, said: List[List[str]]) -> None:
    with Store(folder + "/store") as store:
        fill(store.create_stream("s"), 6)
        store.create_stream("f")
    for lines in said:
        done = subprocess.run([sys.executable, "-c", STARTED_AGAIN, folder + "/store", how], capture_output=True,
                              text=True, timeout=60)
        assert done.stdout.splitlines() == lines
    with Store(folder + "/store") as store:
        (report,) = list(store.stream("f").iterator())
        assert json.loads(report.data)["requestContext"]["approximateInvokeCount"] == 3


def test_a_mapping_moves(stream: Stream) -> None:
    fill(stream, 3)
    mapping = stream.create_mapping("m", "LATEST")
    seen: List[bytes] = []
    mapping.run(lambda batch: seen.extend(batch.data_list()), until_caught_up=True)
    mapping.seek(Position.at_time(5))
    assert mapping.describe().start == Position.at_time(5)
    mapping.run(lambda batch: seen.extend(batch.data_list()), until_caught_up=True)
    assert seen == [b"0", b"1", b"2"]
    with pytest.raises(libstream.InvalidArgumentError):
        mapping.seek(Position.at(3))


def test_a_function_that_is_late_has_failed(stream: Stream) -> None:
    seen: List[Any] = []

    def slow(batch: Batch, context: Context) -> None:
        early = context.is_late
        if context.attempts == 0:
            time.sleep(0.4)
        seen.append((context.attempts, early, context.is_late))

    def slow_lambda(event: Dict[str, Any], context: Any) -> None:
        early = context.get_remaining_time_in_millis()
        time.sleep(0.4)
        seen.append((early > 0, context.get_remaining_time_in_millis()))

    fill(stream, 1)
    stream.create_mapping("late", handler_timeout_ms=300).run(slow, until_caught_up=True)
    assert seen == [(0, False, True), (1, False, False)]
    stream.create_mapping("lambda", handler_timeout_ms=300, retries_max=libstream.NO_RETRIES).run(
        slow_lambda, lambda_event=True, until_caught_up=True)
    assert seen[2:] == [(True, 0)]


def test_a_batch_that_cannot_begin_uses_up_no_retry(stream: Stream) -> None:
    attempts: List[int] = []

    def later(batch: Batch, context: Context) -> Answer:
        attempts.append(context.attempts)
        return Answer.LATER if len(attempts) < 3 else Answer.DONE

    fill(stream, 1)
    stream.create_mapping("later", retries_max=1).run(later, until_caught_up=True)
    assert attempts == [0, 0, 0]


def test_what_is_given_up_is_told_to_the_failure_stream(store: Store, stream: Stream) -> None:
    failures = store.create_stream("failures")
    fill(stream, 2)
    stream.create_mapping("failing", retries_max=libstream.NO_RETRIES, failure_stream="failures").run(
        lambda batch: Answer.RETRY, until_caught_up=True)
    told = [json.loads(record.data) for record in failures.iterator()]
    assert len(told) == 1 and told[0]["KinesisBatchInfo"]["batchSize"] == 2


def test_a_function_that_is_no_plain_one_is_refused(stream: Stream) -> None:
    stream.producer().put("k", b"x")

    async def later(*ignored: object) -> None: ...

    def yielding(batch: Any) -> Any:
        yield batch

    class Later:
        async def __call__(self, batch: Any) -> None: ...

    for function in (later, yielding, Later(), functools.partial(later, 1)):
        mapping = stream.create_mapping("m", retries_max=1)
        for given in ({}, {"lambda_event": True}):
            with pytest.raises(TypeError, match="the function of a mapping must be a plain function"):
                mapping.run(function, until_caught_up=True, **given)
        assert [lease.state.name for lease in stream.leases("m")] in ([], ["NOT_BEGUN"])  # Nothing was given up.
        mapping.delete()


def test_an_answer_that_is_a_number_is_told_once(stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    stream.producer().put("k", b"x")
    for answer, calls, told in ((True, 4, 1), (1, 4, 1), (Answer.RETRY, 4, 0), (0, 1, 0), (False, 1, 0), (None, 1, 0)):
        caplog.clear()
        seen: List[Any] = []
        mapping = stream.create_mapping("m", retries_max=3)
        mapping.run(lambda batch: (seen.append(batch), answer)[1], until_caught_up=True)
        mapping.delete()
        assert len(seen) == calls and len(caplog.records) == told, answer
        assert all("which is taken for" in line for line in caplog.messages)


def test_threads_of_a_handler_take_turns(store: Store) -> None:
    source, target = store.create_stream("source"), store.create_stream("target")
    fill(source, 4000)

    def handle(batch: Batch, context: Context) -> None:
        def put(first: int) -> None:
            for index in range(first, len(batch), 2):
                context.put(index, target, "k", batch[index].data * 100)

        threads = [threading.Thread(target=put, args=(first,)) for first in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    source.create_mapping("m", exactly_once=True, records_max=1000).run(handle, until_caught_up=True)
    assert sorted(r.data for r in target.iterator()) == sorted(b"%d" % i * 100 for i in range(4000))


def test_a_thread_that_is_left_behind_is_refused(store: Store) -> None:
    source, target = store.create_stream("source"), store.create_stream("target")
    fill(source, 2000)
    threads: List[threading.Thread] = []
    refused: List[str] = []

    def go_on(context: Context) -> None:
        try:
            while True:
                context.put(0, target, "k", b"late")
        except libstream.Error as error:
            refused.append(str(error))

    def handle(batch: Batch, context: Context) -> None:
        threads.append(threading.Thread(target=go_on, args=(context,)))
        threads[-1].start()

    source.create_mapping("m", exactly_once=True, records_max=100).run(handle, until_caught_up=True)
    for thread in threads:
        thread.join()
    assert len(refused) == 20 and set(refused) == {"the call that this context was of has returned"}


def test_a_discard_function_ends_nothing_that_waits_for_it(store: Store) -> None:
    stream = store.create_stream("s")
    fill(stream, 1)
    mapping = stream.create_mapping("m", retries_max=libstream.mapping.NO_RETRIES)
    refused: List[type] = []

    def discard(batch: Batch, reason: int, invoke_count: int) -> None:
        for call in (store.close, mapping.wait):
            try:
                call()
            except libstream.WrongStateError as error:
                refused.append(type(error))

    mapping.run(lambda batch, context: Answer.RETRY, until_caught_up=True, on_discard=discard)
    assert refused == [libstream.WrongStateError] * 2
