"""Metrics are counted and shown, rules on records and metrics call back."""

from __future__ import annotations

import math
from typing import List

import pytest

import libstream
from libstream import Alert, Comparison, MetricType, Store, Stream


def test_what_the_store_counts_is_shown(store: Store) -> None:
    stream = store.create_stream("orders")
    stream.producer().put_many("k", [b"12345"] * 7)
    samples = {(s.name, s.labels.get("stream")): s for s in store.metrics()}
    put = next(s for (_, of), s in samples.items() if of == "orders" and s.type == MetricType.COUNTER and s.count == 7)
    assert put.name.startswith("libstream_") and put.name.endswith("_total") and put.help and put.value == 7.0
    assert any(s.cloudwatch_name == "IncomingRecords" and s.cloudwatch_unit == "Count" for s in samples.values())
    line = '%s{stream="orders"} 7' % put.name
    assert any(found.startswith(put.name) and found.endswith(" 7") for found in store.metrics_text().splitlines()), line


def test_metrics_of_the_application(store: Store, folder: str) -> None:
    counter = store.define_metric("served_total", MetricType.COUNTER, "Served.", ["shop", "day"], series_max=2)
    gauge = store.define_metric("waiting", MetricType.GAUGE, "Waiting.")
    times = store.define_metric("took_seconds", MetricType.HISTOGRAM, "Took.", bounds=[0.5, 1, 2])
    counter.series("north", "1").add()
    counter.series("north", "1").add(4)
    for day in ("2", "3", "4"):
        counter.series("north", day).add()
    gauge.series().set(-2.5)
    for took in (0.1, 0.5, 1.5, 9):
        times.series().observe(took)
    found = {(s.name, *s.labels.values()): s for s in store.metrics() if not s.name.startswith("libstream_")}
    assert found["served_total", "north", "1"].count == 5 and found["served_total", "other", "other"].count == 2
    assert found["waiting",].value == -2.5 and found["waiting",].type == MetricType.GAUGE
    seen = found["took_seconds",]
    assert (seen.count, seen.bounds, seen.buckets) == (4, (0.5, 1.0, 2.0), (2, 2, 3, 4))
    assert math.isclose(seen.sum, 11.1)
    store.write_metrics(folder + "/x.prom")
    with open(folder + "/x.prom", encoding="utf-8") as file:
        assert 'served_total{shop="north",day="1"} 5' in file.read().splitlines()
    with pytest.raises(ValueError, match="1 values for 2 labels"):
        counter.series("north")
    with pytest.raises(libstream.InvalidArgumentError):
        gauge.series().add()
    with pytest.raises(libstream.InvalidArgumentError):
        store.define_metric("no_total", MetricType.GAUGE, "Wrong.")
    with pytest.raises(libstream.ExistsError):
        store.define_metric("waiting", MetricType.HISTOGRAM, "Wrong.")
    series = gauge.series()
    store.close()
    for call in (lambda: series.set(1), lambda: gauge.series(), store.metrics, store.metrics_text):
        with pytest.raises(libstream.WrongStateError, match="store is closed"):
            call()


def test_rules_on_records_fire_once(stream: Stream) -> None:
    stream.create_alert("fast", Comparison.GREATER, 130, field="car.speed", count_min=2, window_ms=86_400_000)
    stream.create_alert("word", Comparison.EQUAL, field="kind", text="truck")
    stream.create_alert("never", Comparison.LESS, 0, field="car.speed", observed_min=3)
    with pytest.raises(libstream.ExistsError):
        stream.create_alert("fast", Comparison.LESS, 1, field="x")
    with pytest.raises(libstream.InvalidArgumentError):
        stream.create_alert("both", Comparison.LESS, 1, field="x", metric="y")
    with pytest.raises(TypeError, match="'colour' is no setting"):
        stream.create_alert("wrong", Comparison.LESS, colour="red")
    rows = [b'{"car": {"speed": %d}, "kind": "%s"}' % (speed, kind) for speed, kind in
            ((150, b"car"), (100, b"car"), (160, b"truck"))]
    ids = list(stream.producer().put_many("k", rows))
    told: List[Alert] = []
    with stream.watch(told.append) as alerts:
        for _ in range(2):  # Each record counts once, however often it is shown.
            for batch in stream.iterator().batches():
                alerts.observe(batch)
        alerts.check()
    assert sorted((a.name, a.cannot_fire) for a in told) == [("fast", False), ("never", True), ("word", False)]
    fast = next(a for a in told if a.name == "fast")
    assert (fast.value, fast.count, fast.first, fast.record, fast.stream) == (160.0, 2, ids[0], ids[2], "orders")
    found = {a.name: a for a in stream.alerts()}
    assert list(found) == ["fast", "never", "word"] and found["never"].cannot_fire
    assert (found["fast"].passed_count, found["fast"].fired_count) == (2, 1)
    assert found["fast"].settings["field"] == "car.speed" and found["fast"].settings["count_min"] == 2
    stream.update_alert("fast", threshold=10)
    assert stream.describe_alert("fast").settings == {**found["fast"].settings, "threshold": 10.0}
    assert stream.describe_alert("fast").fired_count == 0
    stream.delete_alert("fast")
    with pytest.raises(libstream.NotFoundError):
        stream.describe_alert("fast")


def test_what_a_function_refuses_is_told_again(stream: Stream) -> None:
    stream.create_alert("any", Comparison.GREATER, 0, field="n")
    stream.producer().put("k", b'{"n": 1}')
    told: List[str] = []

    def tell(alert: Alert) -> None:
        told.append(alert.name)
        if len(told) == 1:
            raise KeyError("mine")

    alerts, iterator = stream.watch(tell), stream.iterator()
    batch = iterator.next_batch()
    with pytest.raises(KeyError, match="mine"):
        alerts.observe(batch)
    alerts.observe(batch)
    alerts.observe(batch)
    assert told == ["any", "any"]
    iterator.next_batch()
    with pytest.raises(libstream.WrongStateError, match="this batch is over"):
        alerts.observe(batch)
    del iterator
    with pytest.raises(libstream.WrongStateError, match="this batch is over"):
        alerts.observe(batch)


def test_a_mapping_s_function_shows_its_batches(stream: Stream) -> None:
    stream.create_alert("any", Comparison.GREATER, 0, field="n")
    stream.producer().put_many("k", [b'{"n": 1}', b"no JSON"])
    told: List[Alert] = []
    kept: List[libstream.Batch] = []
    with stream.watch(told.append) as alerts:
        @stream.on_batch("m")
        def observe(batch: libstream.Batch) -> None:
            alerts.observe(batch)
            kept.append(batch)

        observe.run(until_caught_up=True)
        with pytest.raises(libstream.WrongStateError, match="over|returned"):
            alerts.observe(kept[0])
    assert [a.name for a in told] == ["any"]


def test_rules_on_metrics_look_when_asked(store: Store, stream: Stream) -> None:
    gauge = store.define_metric("heat", MetricType.GAUGE, "Heat.", ["room"])
    stream.create_alert("hot", Comparison.GREATER_OR_EQUAL, 30, metric="heat", labels={"room": "a"})
    told: List[Alert] = []
    with stream.watch(told.append) as alerts:
        for room, heat in (("b", 99), ("a", 29), ("a", 30)):
            gauge.series(room).set(heat)
            alerts.check()
    assert [(a.name, a.value, a.record) for a in told] == [("hot", 30.0, None)]
    assert stream.describe_alert("hot").settings["labels"] == {"room": "a"}
