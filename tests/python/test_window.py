"""Windows over event time: fields or functions, results once, kept under a name, and what functions raise is raised."""

from __future__ import annotations

import json
import threading
from typing import Any, List, Optional, Tuple

import pytest

import libstream
from libstream import Fold, LeftOver, Stream, WindowKind, WindowPane, WindowRecord, WindowResult


def put(stream: Stream, *rows: Tuple[int, str, float]) -> None:
    with stream.producer() as producer:
        producer.put_many("k", [json.dumps({"at": at, "who": who, "n": n}).encode() for at, who, n in rows])


ROWS = ((1000, "a", 2), (500, "b", 7), (1999, "a", 3), (2000, "a", 5), (7000, "b", 1), (100, "late", 1))
EXPECTED = [("b", 0, 1, 7.0), ("a", 1000, 2, 5.0), ("a", 2000, 1, 5.0), ("b", 7000, 1, 1.0)]


def shown(results: List[WindowResult]) -> List[Tuple[str, int, int, float]]:
    return [(r.key, r.start_ms, r.count, r.sum) for r in results]


def test_windows_of_fields_and_of_functions_are_the_same(stream: Stream) -> None:
    put(stream, *ROWS)
    stream.producer().put("k", b"no JSON")

    def time(record: WindowRecord) -> Optional[int]:
        return int(json.loads(record.data)["at"]) if record.data != b"no JSON" else None

    def member(name: str) -> Any:
        return lambda record: json.loads(record.data)[name]

    for fields in ({"time": "at", "key": "who", "value": "n"},
                   {"time": time, "key": member("who"), "value": member("n")}):
        results: List[WindowResult] = []
        left: List[Tuple[bytes, LeftOver, int]] = []

        def leave(record: WindowRecord, why: LeftOver, at: int) -> None:
            left.append((record.data, why, at))

        with stream.windows(results.append, size_ms=1000, delay_ms=500, on_left_over=leave, **fields) as windows:
            for batch in stream.iterator(records_max=1).batches():  # The watermark is reckoned behind each batch.
                windows.add(batch)
            assert shown(results) == EXPECTED[:3]
            info = windows.describe()
            assert (info.watermark_ms, info.added_count, info.late_count, info.window_count) == (6500, 5, 1, 1)
            with pytest.raises(libstream.WrongStateError, match="this batch is over"):
                windows.add(batch)
            assert windows.position(0).seqno == list(stream.iterator())[-1].seqno
            windows.finish()
        assert shown(results) == EXPECTED and {r.pane for r in results} == {WindowPane.ON_TIME}
        assert results[1].mean == 2.5 and (results[1].least, results[1].greatest) == (2.0, 3.0)
        assert [(data[:8], why, at) for data, why, at in left] == [
            (b'{"at": 1', LeftOver.LATE, 100), (b"no JSON", LeftOver.NO_TIME, 0)]


def test_under_a_name_it_goes_on(stream: Stream) -> None:
    results: List[WindowResult] = []
    settings: Any = dict(kind=WindowKind.SESSION, gap_ms=1000, time="at", key="who")
    put(stream, *ROWS[:3])
    with stream.windows(results.append, "sessions", **settings) as windows:
        windows.run(until_caught_up=True)
        with pytest.raises(libstream.BusyError):
            stream.windows(results.append, "sessions", **settings)
    put(stream, *ROWS[3:5])
    with stream.windows(results.append, "sessions", **settings) as windows:
        windows.run(until_caught_up=True)
        assert windows.describe().added_count == 2  # The others are counted in what was stored.
        windows.flush()
        windows.store()
    assert sorted((r.key, r.start_ms, r.count, r.pane.name) for r in results) == [
        ("a", 1000, 3, "ON_TIME"), ("b", 500, 1, "ON_TIME"), ("b", 7000, 1, "EARLY")]
    with pytest.raises(libstream.WrongStateError):
        stream.windows(results.append, "sessions", kind=WindowKind.TUMBLING, size_ms=5)
    stream.delete_windows("sessions")
    with pytest.raises(libstream.NotFoundError):
        stream.delete_windows("sessions")


def test_aggregates_of_the_application_s_own(stream: Stream) -> None:
    """Sums, merged when sessions meet, stored and gone on with; what functions keep of them is theirs."""
    kept: List[Any] = []

    def init(numbers: Any) -> None:
        numbers[1] = 100.0

    def add(numbers: Any, record: WindowRecord) -> None:
        n = json.loads(record.data)["n"]
        numbers[0] += n
        numbers[1] = min(numbers[1], n)
        kept.append(numbers)

    def merge(numbers: Any, others: Any) -> None:
        numbers[0] += others[0]
        numbers[1] = min(numbers[1], others[1])
        kept.append(others)

    results: List[WindowResult] = []
    settings: Any = dict(kind=WindowKind.SESSION, gap_ms=1000, delay_ms=5000, time="at", key="who",
                         fold=Fold(add, merge, init, "d", 2))
    with stream.windows(results.append, "own", **settings) as windows:
        put(stream, (1000, "a", 2), (2500, "a", 3), (1000, "b", 9))
        windows.run(until_caught_up=True)
    put(stream, (1800, "a", 5))  # Two sessions become one.
    with stream.windows(results.append, "own", **settings) as windows:
        windows.run(until_caught_up=True)
        windows.finish()
    assert sorted((r.key, r.count, r.fold) for r in results) == [("a", 3, (10.0, 2.0)), ("b", 1, (9.0, 9.0))]
    del windows, results[:]
    assert all(len(numbers) == 2 for numbers in kept) and kept[0].tolist() == [2.0, 2.0]

    with pytest.raises(ValueError, match="has a merge"):
        stream.windows(results.append, kind=WindowKind.SESSION, gap_ms=1, fold=Fold(add))
    with pytest.raises(libstream.InvalidArgumentError):
        stream.windows(results.append, size_ms=1, fold=Fold(add, count=10000))
    with pytest.raises(ValueError, match="bad typecode"):
        stream.windows(results.append, size_ms=1, fold=Fold(add, format="?"))


def test_what_a_function_raises_ends_the_call(stream: Stream) -> None:
    put(stream, *ROWS)

    def fail(*ignored: object) -> None:
        raise KeyError("mine")

    for functions in ({"on_result": fail}, {"time": fail}, {"key": fail}, {"value": fail}, {"on_left_over": fail},
                      {"fold": Fold(fail)}, {"fold": Fold(print, init=fail)}):
        given: Any = {"on_result": lambda result: None, "size_ms": 1000, "time": "at", **functions}
        with stream.windows(**given) as windows:
            with pytest.raises(KeyError, match="mine"):
                for batch in stream.iterator(records_max=1).batches():
                    windows.add(batch)
            with pytest.raises(libstream.WrongStateError, match="can only be closed"):
                windows.finish()
        if "on_result" not in functions and "on_left_over" not in functions:
            with stream.windows(**given) as windows, pytest.raises(KeyError, match="mine"):
                windows.run()  # Which has no end otherwise.


def test_what_a_function_answers_of_another_kind_is_raised(stream: Stream) -> None:
    put(stream, *ROWS)
    functions: List[Any] = [{"time": lambda record: "noon"}, {"time": lambda record: 1 << 64},
                            {"time": lambda record: 1, "key": lambda record: 7},
                            {"time": lambda record: 1, "value": lambda record: "x"}]
    for given in functions:
        results: List[WindowResult] = []
        with stream.windows(results.append, size_ms=1000, **given) as windows:
            with pytest.raises((TypeError, ValueError, OverflowError)):
                windows.run(until_caught_up=True)
        assert results == []


def test_a_run_is_stopped(stream: Stream) -> None:
    put(stream, *ROWS)
    told: List[BaseException] = []

    def result(result: WindowResult) -> None:
        for call in (windows.flush, windows.close, stream.close):
            try:
                call()
            except libstream.WrongStateError as error:
                told.append(error)
        windows.stop()

    with stream.windows(result, size_ms=1000, time="at") as windows:
        windows.run()  # Stopped by its function,
        assert len(told) >= 3 and not windows.closed
        threading.Timer(0.05, windows.stop).start()
        windows.run()  # by another thread,
        thread = threading.Timer(0.5, windows.close)  # Not before it runs.
        thread.start()
        windows.run()  # and by closing.
        thread.join()
    assert windows.closed
    with pytest.raises(libstream.InvalidArgumentError):
        stream.windows(result, size_ms=0)
