"""Deliveries: files of what was put, through functions, also one of Firehose's that is left as it is."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
import threading
import time
from typing import Any, Dict, List

import pytest

import libstream
from libstream import DeliveryObject, Stream, Transform


def files(folder: str) -> Dict[str, bytes]:
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                found[os.path.relpath(os.path.join(root, name), folder)] = file.read()
    return found


def fill(stream: Stream, *data: bytes) -> None:
    stream.producer().put_many("k", list(data))


def test_records_become_files(stream: Stream, folder: str) -> None:
    fill(stream, b"a", b"b")
    delivery = stream.create_delivery("files", directory=folder + "/out", delimiter="\n", prefix="raw/")
    delivery.run(until_caught_up=True)
    fill(stream, b"c")
    delivery.run(until_caught_up=True)
    found = files(folder + "/out")
    assert sorted(found.values()) == [b"a\nb\n", b"c\n"] and all(name.startswith("raw/") for name in found)


def test_settings_are_kept_and_changed(stream: Stream, folder: str) -> None:
    delivery = stream.create_delivery("d", directory=folder + "/out", partition=True, error_prefix="bad/",
                                      prefix="!{partitionKeyFromQuery:a}/", partition_keys={"a": ".x"})
    settings = delivery.describe().settings
    assert settings["partition"] and settings["partition_keys"] == {"a": ".x"}
    delivery.update(buffer_bytes=1 << 20)
    assert delivery.describe().settings == {**settings, "buffer_bytes": 1 << 20} and delivery.describe().version == 2
    assert delivery.describe().start == libstream.Position.TRIM_HORIZON
    with pytest.raises(libstream.WrongStateError):
        delivery.update(version=1, buffer_bytes=2 << 20)
    assert [d.name for d in stream.deliveries()] == ["d"] and stream.delivery("d").name == "d"
    with pytest.raises(TypeError, match="no setting"):
        stream.create_delivery("e", folder="x")
    with pytest.raises(libstream.InvalidArgumentError):
        stream.create_delivery("e", directory=folder, prefix="!{nothing}/")
    delivery.delete()
    with pytest.raises(libstream.NotFoundError):
        stream.delivery("d")


def test_a_function_says_what_becomes_of_each_record(stream: Stream, folder: str) -> None:
    fill(stream, b"keep", b"replace", b"drop", b"fail", b"forget")
    asked: List[Transform] = []

    def transform(what: Transform) -> None:
        asked.append(what)
        for index, record in enumerate(what.batch):
            if record.data == b"keep":
                what.keep(index)
            elif record.data == b"replace":
                what.replace(index, b"REPLACED")
            elif record.data == b"drop":
                what.drop(index)
            elif record.data == b"fail":
                what.fail(index, "no such price")
                with pytest.raises(libstream.WrongStateError):
                    what.keep(index)

    stream.create_delivery("d", directory=folder + "/out", delimiter="\n", transform=True, prefix="ok/",
                           error_prefix="bad/").run(transform=transform, until_caught_up=True)
    found = files(folder + "/out")
    assert [v for k, v in found.items() if k.startswith("ok/")] == [b"keep\nREPLACED\n"]
    errors = [json.loads(line) for k, v in found.items() if k.startswith("bad/") for line in v.splitlines()]
    assert sorted(base64.b64decode(e["rawData"]) for e in errors) == [b"fail", b"forget"]
    assert any(e["errorMessage"] == "no such price" for e in errors)
    with pytest.raises(libstream.WrongStateError, match="has returned"):
        asked[0].attempts


def firehose(event: Dict[str, Any], context: Any) -> Dict[str, Any]:
    output = []
    for record in event["records"]:
        try:
            data = json.loads(base64.b64decode(record["data"]))
            result = {"recordId": record["recordId"], "result": "Ok" if data["price"] else "Dropped",
                      "data": base64.b64encode(json.dumps({"price": data["price"]}).encode()).decode()}
        except Exception:
            result = {"recordId": record["recordId"], "result": "ProcessingFailed", "data": record["data"]}
        output.append(result)
    return {"records": output[::-1]}  # Their order does not matter.


def test_a_function_of_firehose_s_runs_unchanged(stream: Stream, folder: str) -> None:
    fill(stream, b'{"price": 1, "x": 2}', b"no json", b'{"price": 0}', b'{"price": 3}')
    stream.create_delivery("d", directory=folder + "/out", transform=True, prefix="ok/", error_prefix="bad/").run(
        lambda_transform=firehose, until_caught_up=True)
    found = files(folder + "/out")
    assert [v for k, v in found.items() if k.startswith("ok/")] == [b'{"price": 1}{"price": 3}']
    bad = [json.loads(v) for k, v in found.items() if k.startswith("bad/")]
    assert [base64.b64decode(e["rawData"]) for e in bad] == [b"no json"]


@pytest.mark.parametrize("answer", [
    None, {}, {"records": {}}, {"records": []}, {"records": [{"recordId": "other", "result": "Ok", "data": ""}]},
    {"records": "twice"}, {"records": "lower"}, {"records": "no data"}, {"records": "bad data"}])
def test_answers_that_break_a_rule_fail_the_batch(stream: Stream, folder: str, answer: Any) -> None:
    fill(stream, b"a")
    calls: List[int] = []

    def function(event: Dict[str, Any], context: Any) -> Any:
        calls.append(1)
        kind = answer and answer.get("records")
        if not isinstance(kind, str):
            return answer
        record = {"recordId": event["records"][0]["recordId"], "result": "Ok", "data": ""}
        return {"records": {"twice": [record, record], "lower": [{**record, "result": "ok"}],
                            "no data": [{"recordId": record["recordId"], "result": "Ok"}],
                            "bad data": [{**record, "data": "*"}]}[kind]}

    stream.create_delivery("d", directory=folder + "/out", transform=True, prefix="ok/", error_prefix="bad/",
                           transform_retries_max=1).run(lambda_transform=function, until_caught_up=True)
    (name, content), = files(folder + "/out").items()
    code = {"twice": "DuplicatedRecordId"}.get(str((answer or {}).get("records")), "JsonProcessingException")
    code = "MissingRecordId" if answer == {"records": []} else code
    assert calls == [1] and name.startswith("bad/")  # It is not asked again.
    assert json.loads(content)["errorCode"] == "Lambda." + code, content


def test_a_function_of_firehose_s_that_raises_is_asked_again(stream: Stream, folder: str) -> None:
    fill(stream, b'{"price": 1}')
    calls: List[Dict[str, Any]] = []

    def function(event: Dict[str, Any], context: Any) -> Any:
        calls.append(event)
        if len(calls) == 1:
            raise RuntimeError("not now")
        return firehose(event, context)

    stream.create_delivery("d", directory=folder + "/out", transform=True, prefix="ok/").run(
        lambda_transform=function, until_caught_up=True)
    assert list(files(folder + "/out").values()) == [b'{"price": 1}']
    assert {"invocationId", "deliveryStreamArn", "sourceKinesisStreamArn", "region", "records"} <= set(calls[1])
    metadata = calls[1]["records"][0]["kinesisRecordMetadata"]
    assert metadata["shardId"] == "shardId-000000000000" and len(metadata["sequenceNumber"]) == 56


def test_objects_go_to_a_function_until_it_takes_them(stream: Stream) -> None:
    fill(stream, b"a", b"b")
    taken: List[DeliveryObject] = []
    failed: List[str] = []

    def deliver(given: DeliveryObject) -> None:
        if not failed:
            failed.append(given.name)
            raise RuntimeError("not now")
        taken.append(given)

    stream.create_delivery("d", to_callback=True).run(deliver=deliver, until_caught_up=True)
    assert [(t.kind, t.name, t.content, t.record_count, t.shard) for t in taken] == [(1, failed[0], b"ab", 2, 0)]


def test_a_run_is_stopped(stream: Stream, folder: str) -> None:
    delivery = stream.create_delivery("d", directory=folder + "/out")
    threading.Timer(0.2, delivery.stop).start()
    delivery.run()
    runner = threading.Thread(target=delivery.run)
    runner.start()
    while not delivery._runs:
        time.sleep(0.01)
    with pytest.raises(libstream.WaitTimeoutError, match="a run of delivery 'd' has not ended"):
        delivery.wait(0.05)
    delivery.stop()
    delivery.wait(20)
    runner.join(20)
    closer = threading.Timer(0.2, stream.close)
    closer.start()
    delivery.run()
    closer.join()
    assert stream.closed


def test_a_transform_that_is_late_has_failed(stream: Stream) -> None:
    late: List[bool] = []

    def slow(asked: Transform) -> None:
        if asked.attempts == 0:
            time.sleep(0.4)
        late.append(asked.is_late)
        for index in range(len(asked.batch)):
            asked.replace(index, b"%d" % asked.attempts)

    got: List[bytes] = []
    fill(stream, b"x")
    stream.create_delivery("late", to_callback=True, transform=True).run(
        transform=slow, deliver=lambda it: got.append(it.content), until_caught_up=True, transform_timeout=0.3)
    assert late == [True, False] and got == [b"1"]


def test_a_run_gives_up_when_its_destination_fails_for_long(stream: Stream) -> None:
    def refuse(it: DeliveryObject) -> None:
        raise OSError("full")

    fill(stream, b"x")
    delivery = stream.create_delivery("failing", to_callback=True)
    began = time.monotonic()
    with pytest.raises(libstream.InputOutputError):
        delivery.run(deliver=refuse, until_caught_up=True, give_up=0.3)
    assert 0.3 <= time.monotonic() - began < 20
    got: List[bytes] = []
    delivery.run(deliver=lambda it: got.append(it.content), until_caught_up=True)
    assert got == [b"x"]


def test_a_function_that_is_no_plain_one_is_refused(stream: Stream, folder: str) -> None:
    async def later(*ignored: object) -> None: ...

    delivery = stream.create_delivery("d", to_callback=True)
    for what in ("deliver", "transform", "lambda_transform"):
        with pytest.raises(TypeError, match=what + " must be a plain function"):
            delivery.run(until_caught_up=True, **{what: later})  # type: ignore[arg-type]


def test_threads_of_a_function_take_turns(stream: Stream) -> None:
    fill(stream, *[b"%d." % i * 10 for i in range(1000)])
    delivery = stream.create_delivery("files", to_callback=True, transform=True, delimiter="\n")
    out: List[DeliveryObject] = []
    left: List[Transform] = []

    def shout(asked: Transform) -> None:
        left.append(asked)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: asked.replace(i, bytes(asked.batch[i].data) * 3), range(len(asked.batch))))

    delivery.run(transform=shout, deliver=out.append, until_caught_up=True)
    content = b"".join(o.content for o in out if o.kind == 1)
    assert content == b"".join(b"%d." % i * 30 + b"\n" for i in range(1000))
    with pytest.raises(libstream.WrongStateError, match="has returned"):
        left[0].keep(0)
