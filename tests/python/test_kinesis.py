"""boto3's client over a store: shapes, numbers, iterators that end, errors by name, pages, waiters, fan-out."""

from __future__ import annotations

import io
import json
import pickle
import re
import subprocess
import sys
import threading
import time
from datetime import date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Tuple

import pytest

import libstream
import libstream.kinesis
from libstream import Clock, Store
from libstream.kinesis import Client, numbers, tokens
from service import MODEL, YOUNGER, Checked, operations, parameters, wrong_calls


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time_ns() // 1000)


@pytest.fixture
def kinesis(folder: str, clock: Clock) -> Iterator[Client]:
    with Store(folder + "/store", durability=libstream.Durability.KERNEL, clock=clock) as store:
        with Checked(store) as client:
            store.create_stream("orders").close()  # On demand, with one shard: reads are not limited.
            yield client


def start(kinesis: Client, kind: str = "TRIM_HORIZON", shard: str = "shardId-000000000000", **more: Any) -> str:
    answer = kinesis.get_shard_iterator(**{"StreamName": "orders", **more}, ShardId=shard, ShardIteratorType=kind)
    return str(answer["ShardIterator"])


def put(kinesis: Client, count: int) -> List[str]:
    answer = kinesis.put_records(StreamName="orders", Records=[
        {"Data": b"%d" % i, "PartitionKey": "key-%d" % i} for i in range(count)])
    assert answer["FailedRecordCount"] == 0
    return [record["SequenceNumber"] for record in answer["Records"]]


def refused(name: str, kinesis: Client, match: str = ".") -> Any:
    return pytest.raises(getattr(kinesis.exceptions, name), match=match)


# ---- numbers ----

def test_numbers_are_kinesis_s() -> None:
    for fields, text in (
            ((0, 0, 1700000000, 1700000000), "49646437577108476416916876405825929425585429676275269634"),
            ((0, 1, 1700000000, 1700000005), "49646437577108476416916876405827138351405044649047359490"),
            ((17, 1, 1700000000, 1700000005), "49646437577130777162115407028968674069677693010553340178"),
            ((0, numbers.END, 1700000000, 1700000100), "49646437577119626789516141717395488358902146099801227266"),
            ((1, 0, 1700000101, 1700000101), "49646437613168781402940894025689185872457837172112752658")):
        assert numbers.to_text(*fields) == text
        assert numbers.from_text(text) == fields
    live = numbers.from_text("49592592288669974188510550010873737925033238827737546754")
    assert live and (live.shard, live.seqno) == (0, 0)
    for wrong in ("", "1", "x" * 56, "0" * 56, "49646437577108476416916876405825929425585429676275269635", "9" * 56,
                  "1" + "0" * 55):
        assert numbers.from_text(wrong) is None


def test_numbers_and_names_are_those_of_lambda_s_event(kinesis: Client) -> None:
    mine = put(kinesis, 3)
    stream, seen = kinesis._store.stream("orders"), []
    arn = kinesis.describe_stream(StreamName="orders")["StreamDescription"]["StreamARN"]

    def handler(event: Dict[str, Any], context: Any) -> None:
        seen.extend(record["kinesis"]["sequenceNumber"] for record in event["Records"])
        assert {record["eventSourceARN"] for record in event["Records"]} == {arn}
        assert {record["awsRegion"] for record in event["Records"]} == {kinesis.meta.region_name}

    stream.on_batch("m", lambda_event=True)(handler).run(until_caught_up=True)
    assert seen == mine


# ---- data ----

def test_a_record_comes_back_with_the_number_it_was_given(kinesis: Client, clock: Clock) -> None:
    answers = []
    for i in range(5):
        answers.append(kinesis.put_record(StreamName="orders", Data=b"%d" % i, PartitionKey="k"))
        clock.advance(0.7)
    assert set(answers[0]) == {"ShardId", "SequenceNumber", "ResponseMetadata"}
    assert answers[0]["ResponseMetadata"]["HTTPStatusCode"] == 200
    got = kinesis.get_records(ShardIterator=start(kinesis))
    assert [r["SequenceNumber"] for r in got["Records"]] == [a["SequenceNumber"] for a in answers]
    assert [r["Data"] for r in got["Records"]] == [b"0", b"1", b"2", b"3", b"4"]
    first = got["Records"][0]
    assert set(first) == {"SequenceNumber", "ApproximateArrivalTimestamp", "Data", "PartitionKey"}
    assert first["ApproximateArrivalTimestamp"].tzinfo is not None and first["PartitionKey"] == "k"
    assert got["MillisBehindLatest"] == 0 and got["NextShardIterator"]
    texts = [a["SequenceNumber"] for a in answers]
    assert sorted(texts, key=int) == texts


def test_a_number_is_greater_than_one_of_the_past(kinesis: Client, clock: Clock) -> None:
    def put_after(text: str, key: str = "k") -> str:
        return str(kinesis.put_record(StreamName="orders", Data=b"", PartitionKey=key,
                                      SequenceNumberForOrdering=text)["SequenceNumber"])

    def wrong(text: str) -> None:
        with refused("InvalidArgumentException", kinesis, "ExclusiveMinimumSequenceNumber %s used in" % text):
            put_after(text)

    first = put(kinesis, 3)[-1]
    fields = numbers.from_text(first)
    assert fields is not None
    for changed in (fields._replace(record_seconds=fields.record_seconds + 60), fields._replace(seqno=1 << 40),
                    fields._replace(shard=7, record_seconds=1_900_000_000),
                    fields._replace(created_seconds=1_900_000_000)):
        wrong(numbers.to_text(*changed))
    wrong("1")
    last = put_after(first)
    assert int(last) > int(first)
    kinesis.split_shard(StreamName="orders", ShardToSplit="0", NewStartingHashKey=str(1 << 127))
    for shard in kinesis.list_shards(StreamName="orders")["Shards"]:
        for text in shard["SequenceNumberRange"].values():  # That is at once: children begin in the next second.
            if shard["ShardId"][-1] == "0":
                assert int(put_after(text)) > int(text)
            else:
                put_after(text)
    for i in range(10):  # Also in another shard, as programs number what they put.
        last = put_after(last, "key-%d" % i)
    before = fields._replace(created_seconds=fields.created_seconds - 1000, seqno=1 << 40)  # A stream that is gone.
    assert int(put_after(numbers.to_text(*before))) > 0
    clock.advance(-3600)
    last = put_after(last)
    assert int(put_after(last)) > int(last)


def test_a_shard_that_was_never_there_is_not_found(kinesis: Client) -> None:
    for call in (lambda: kinesis.split_shard(StreamName="orders", ShardToSplit="7", NewStartingHashKey="9"),
                 lambda: kinesis.merge_shards(StreamName="orders", ShardToMerge="0", AdjacentShardToMerge="x-7")):
        with refused("ResourceNotFoundException", kinesis, re.escape(
                "Could not find shard shardId-000000000007 in stream orders under account 000000000000.")):
            call()


def test_an_iterator_is_used_with_its_own_stream(kinesis: Client) -> None:
    kinesis.create_stream(StreamName="other", ShardCount=1)
    put(kinesis, 1)
    with refused("InvalidArgumentException", kinesis, "Invalid ShardIterator. It is of stream orders"):
        kinesis.get_records(ShardIterator=start(kinesis), StreamARN=arn(kinesis, "other"))
    assert len(kinesis.get_records(ShardIterator=start(kinesis), StreamARN=arn(kinesis))["Records"]) == 1


def test_numbers_are_right_when_others_put_in_between(kinesis: Client) -> None:
    producer = kinesis._store.stream("orders").producer()
    mine = []
    for i in range(4):
        mine.append(kinesis.put_record(StreamName="orders", Data=b"mine", PartitionKey="k")["SequenceNumber"])
        producer.put_many("k", [b"theirs" * 100] * (1000 * i))
    mine += put(kinesis, 3)
    found, iterator = [], start(kinesis)
    while True:
        got = kinesis.get_records(ShardIterator=iterator)
        found += [r["SequenceNumber"] for r in got["Records"] if not r["Data"].startswith(b"theirs")]
        if not got["Records"]:
            break
        iterator = got["NextShardIterator"]
    assert found == mine


def check_puts(kinesis: Client) -> List[str]:
    """Put by both operations, each of which must answer success: the numbers."""
    texts = []
    for _ in range(2):
        texts.append(kinesis.put_record(StreamName="orders", Data=b"mine", PartitionKey="k")["SequenceNumber"])
        texts += put(kinesis, 2)
    return texts


def test_what_was_put_is_answered_when_records_before_it_have_expired(folder: str, clock: Clock) -> None:
    with Store(folder + "/store", clock=clock, segment_bytes=1 << 16) as store, Client(store) as kinesis:
        with store.create_stream("orders") as stream, stream.producer() as producer:
            kinesis.put_record(StreamName="orders", Data=b"first", PartitionKey="k")
            producer.put_many("k", [b"x" * 10000] * 100)
        clock.advance(25 * 3600)
        store.maintain()
        texts = check_puts(kinesis)
        got = [r for r in kinesis.get_records(ShardIterator=start(kinesis))["Records"] if len(r["Data"]) < 10]
        assert [r["SequenceNumber"] for r in got][-len(texts):] == texts
        assert [r["Data"] for r in got][-len(texts):] == [b"mine", b"0", b"1"] * 2


def test_what_was_put_is_answered_when_records_before_it_are_sealed(folder: str) -> None:
    with Store(folder + "/store", key=lambda name: b"k" * 32) as sealing, Store(folder + "/store") as plain:
        with sealing.create_stream("orders") as stream, stream.producer() as producer, Client(plain) as kinesis:
            kinesis.put_record(StreamName="orders", Data=b"first", PartitionKey="k")
            stream.start_encryption("a")
            producer.put("k", b"secret")
            stream.stop_encryption()
            texts = check_puts(kinesis)
            mine = list(stream.iterator())[2:]
            fields = [numbers.from_text(text) for text in texts]
            assert [(f.seqno, f.record_seconds) for f in fields if f] == [
                (r.seqno, r.arrival_us // 1_000_000) for r in mine]


def test_what_was_put_is_answered_by_a_client_that_cannot_read(folder: str) -> None:
    with Store(folder + "/store") as store:
        store.create_stream("orders").close()
    before = time.time()
    with Store(folder + "/store", flags=libstream.StoreFlag.PRODUCE_ONLY) as store, Client(store) as kinesis:
        texts = check_puts(kinesis)
    with Store(folder + "/store") as store, store.stream("orders") as stream:
        assert [r.seqno for r in stream.iterator()] == [f.seqno for f in map(numbers.from_text, texts) if f]
        assert all(f and int(before) <= f.record_seconds <= time.time() for f in map(numbers.from_text, texts))


def test_what_was_put_is_answered_when_nothing_can_be_looked_at(kinesis: Client,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*ignored: Any, **more: Any) -> Any:
        raise libstream.InputOutputError("the disk is away")

    with monkeypatch.context() as broken:
        broken.setattr(libstream.Stream, "iterator", fail)
        broken.setattr(libstream.Stream, "shards", fail)
        texts = check_puts(kinesis)
    for text in texts:  # It can be used.
        got = kinesis.get_records(ShardIterator=start(kinesis, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=text))
        assert int(got["Records"][0]["SequenceNumber"]) >> 80 == int(text) >> 80
    assert len(kinesis.get_records(ShardIterator=start(kinesis))["Records"]) == len(texts)


@pytest.mark.parametrize("how", [{"read_only": True}, {"flags": libstream.StoreFlag.CONSUME_ONLY}])
def test_a_store_that_cannot_be_put_into_is_read(folder: str, how: Dict[str, Any]) -> None:
    with Client(folder + "/store") as kinesis:
        kinesis.create_stream(StreamName="orders", ShardCount=1)
        texts = put(kinesis, 2)
    with Store(folder + "/store", **how) as store, Client(store) as kinesis:
        assert len(kinesis.describe_stream(StreamName="orders")["StreamDescription"]["Shards"]) == 1
        got = kinesis.get_records(ShardIterator=start(kinesis))
        assert [r["SequenceNumber"] for r in got["Records"]] == texts
        with refused("AccessDeniedException", kinesis):
            kinesis.put_record(StreamName="orders", Data=b"", PartitionKey="k")


def test_text_and_files_are_data_too(kinesis: Client, tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(b"file")
    for data in ("text", bytearray(b"bytearray"), open(tmp_path / "file", "rb")):
        kinesis.put_record(StreamName="orders", Data=data, PartitionKey="k")
    got = kinesis.get_records(ShardIterator=start(kinesis))
    assert [r["Data"] for r in got["Records"]] == [b"text", b"bytearray", b"file"]


def test_a_file_is_read_once_however_often_the_put_is_tried(folder: str) -> None:
    with Store(folder + "/store", faults={"seed": 1, "throttled_per_1000": 400}) as store:
        store.create_stream("orders").close()
        with Client(store, retries=100) as kinesis:
            expected = []
            for i in range(10):
                kinesis.put_record(StreamName="orders", Data=io.BytesIO(b"one %d" % i), PartitionKey="k")
                records = [{"Data": io.BytesIO(b"of two %d" % i), "PartitionKey": "k"}]
                answer = kinesis.put_records(StreamName="orders", Records=records)
                expected += [b"one %d" % i] + [b"of two %d" % i] * (1 - answer["FailedRecordCount"])
                assert isinstance(records[0]["Data"], io.BytesIO)
            got = kinesis.get_records(ShardIterator=start(kinesis))
        assert [r["Data"] for r in got["Records"]] == expected and len(expected) > 10


def test_pages_of_a_shard(kinesis: Client, clock: Clock) -> None:
    producer = kinesis._store.stream("orders").producer()
    producer.put_many("k", [b"%d" % i for i in range(8786)])
    clock.advance(5)
    sizes, iterator, seen = [], start(kinesis), set()
    while True:
        got = kinesis.get_records(ShardIterator=iterator, Limit=1000)
        assert got["NextShardIterator"] not in seen or not got["Records"]
        seen.add(got["NextShardIterator"])
        if not got["Records"]:
            break
        assert got["MillisBehindLatest"] == (0 if len(got["Records"]) < 1000 else 5000)
        sizes.append(len(got["Records"]))
        iterator = got["NextShardIterator"]
    assert sizes == [1000] * 8 + [786]


def test_every_type_of_iterator(kinesis: Client, clock: Clock) -> None:
    texts = put(kinesis, 3)
    clock.advance(10)
    middle = datetime.fromtimestamp(clock.now_us / 1e6, timezone.utc)
    clock.advance(10)
    texts += put(kinesis, 2)

    def read(*arguments: Any, **more: Any) -> List[str]:
        got = kinesis.get_records(ShardIterator=start(kinesis, *arguments, **more))
        return [record["SequenceNumber"] for record in got["Records"]]

    assert read() == texts
    assert read("AT_SEQUENCE_NUMBER", StartingSequenceNumber=texts[3]) == texts[3:]
    assert read("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=texts[3]) == texts[4:]
    assert read("AT_TIMESTAMP", Timestamp=middle) == texts[3:]
    assert read("AT_TIMESTAMP", Timestamp=middle.timestamp()) == texts[3:]
    assert read("AT_TIMESTAMP", Timestamp=middle.astimezone(timezone(timedelta(hours=2))).isoformat()) == texts[3:]
    assert read("AT_TIMESTAMP", Timestamp=0) == texts
    assert read("LATEST") == []
    shard = kinesis.describe_stream(StreamName="orders")["StreamDescription"]["Shards"][0]
    first = shard["SequenceNumberRange"]["StartingSequenceNumber"]
    assert read("AT_SEQUENCE_NUMBER", StartingSequenceNumber=first) == texts
    assert read("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first) == texts
    latest = start(kinesis, "LATEST")
    put(kinesis, 1)
    for _ in range(2):  # Any number of times, and each gives the same.
        assert len(kinesis.get_records(ShardIterator=latest)["Records"]) == 1


def test_iterators_end_after_300_seconds(kinesis: Client, clock: Clock) -> None:
    put(kinesis, 1)
    iterator = start(kinesis)
    clock.advance(300)
    assert len(kinesis.get_records(ShardIterator=iterator)["Records"]) == 1
    clock.advance(0.001)
    with refused("ExpiredIteratorException", kinesis, r"tolerated delay of 300000 milliseconds"):
        kinesis.get_records(ShardIterator=iterator)
    assert len(iterator) <= 512 and re.fullmatch(r"AAAAAAAAAA[A-Za-z0-9+/]+=*", iterator)


def test_iterators_outlive_their_client(kinesis: Client) -> None:
    put(kinesis, 2)
    got = kinesis.get_records(ShardIterator=start(kinesis), Limit=1)
    with Client(kinesis._store) as other:
        assert [r["Data"] for r in other.get_records(ShardIterator=got["NextShardIterator"])["Records"]] == [b"1"]
    for wrong in ("x", "AAAA", got["NextShardIterator"][:-8] + "AAAAAAA=", tokens.make("streams", 0, "x")):
        with refused("InvalidArgumentException", kinesis, "Invalid ShardIterator"):
            kinesis.get_records(ShardIterator=wrong)


def test_an_iterator_of_a_stream_that_was_made_anew_is_refused(kinesis: Client) -> None:
    put(kinesis, 1)
    iterator = start(kinesis)
    kinesis.delete_stream(StreamName="orders")
    with refused("ResourceNotFoundException", kinesis):
        kinesis.get_records(ShardIterator=iterator)
    kinesis._store.create_stream("orders").close()
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException, match="Stream orders under account .* not found"):
        kinesis.get_records(ShardIterator=iterator)
    put(kinesis, 2)
    assert len(kinesis.get_records(ShardIterator=start(kinesis))["Records"]) == 2


def test_records_that_expired_are_skipped_silently(kinesis: Client, clock: Clock) -> None:
    texts = put(kinesis, 1)
    clock.advance(86_390)
    put(kinesis, 2)
    iterator = start(kinesis, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=texts[0])
    clock.advance(60)
    assert len(kinesis.get_records(ShardIterator=iterator)["Records"]) == 2


def test_the_end_of_a_closed_shard(kinesis: Client) -> None:
    put(kinesis, 3)
    kinesis.split_shard(StreamName="orders", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(1 << 127))
    iterator = start(kinesis)
    got = kinesis.get_records(ShardIterator=iterator, Limit=2)
    got = kinesis.get_records(ShardIterator=got["NextShardIterator"])
    if "ChildShards" not in got:
        got = kinesis.get_records(ShardIterator=got["NextShardIterator"])
    assert "NextShardIterator" not in got and got["MillisBehindLatest"] == 0
    assert got["ChildShards"] == [
        {"ShardId": "shardId-000000000001", "ParentShards": ["shardId-000000000000"],
         "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str((1 << 127) - 1)}},
        {"ShardId": "shardId-000000000002", "ParentShards": ["shardId-000000000000"],
         "HashKeyRange": {"StartingHashKey": str(1 << 127), "EndingHashKey": str((1 << 128) - 1)}}]
    shards = kinesis.list_shards(StreamName="orders")["Shards"]
    ending = int(shards[0]["SequenceNumberRange"]["EndingSequenceNumber"])
    assert all(int(s["SequenceNumberRange"]["StartingSequenceNumber"]) > ending for s in shards[1:])
    assert shards[1]["ParentShardId"] == "shardId-000000000000" and "EndingSequenceNumber" not in \
        shards[1]["SequenceNumberRange"]
    kinesis.merge_shards(StreamName="orders", ShardToMerge="1", AdjacentShardToMerge="x-2")
    last = kinesis.list_shards(StreamName="orders")["Shards"][-1]
    assert (last["ParentShardId"], last["AdjacentParentShardId"]) == ("shardId-000000000001", "shardId-000000000002")


# ---- what is refused ----

def test_errors_have_the_service_s_names_and_words(kinesis: Client) -> None:
    with refused("ResourceNotFoundException", kinesis) as caught:
        kinesis.put_record(StreamName="nothing", Data=b"", PartitionKey="k")
    assert str(caught.value) == ("An error occurred (ResourceNotFoundException) when calling the PutRecord operation: "
                                 "Stream nothing under account 000000000000 not found.")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert caught.value.operation_name == "PutRecord" and isinstance(caught.value, libstream.kinesis.ClientError)
    assert isinstance(caught.value, kinesis.exceptions.ClientError)
    with refused("ResourceInUseException", kinesis, "already exists"):
        kinesis.create_stream(StreamName="orders", ShardCount=1)
    with refused("ResourceNotFoundException", kinesis, "shardId-000000000007 in stream orders .* does not exist"):
        start(kinesis, shard="shardId-000000000007")
    with refused("ResourceNotFoundException", kinesis, "Could not find shard here"):
        start(kinesis, shard="here")
    with refused("InvalidArgumentException", kinesis, "and no StartingSequenceNumber"):
        start(kinesis, "AT_SEQUENCE_NUMBER")
    with refused("InvalidArgumentException", kinesis, "and also a StartingSequenceNumber"):
        start(kinesis, "LATEST", StartingSequenceNumber="1")
    with refused("InvalidArgumentException", kinesis, "timestampInMillis"):
        start(kinesis, "AT_TIMESTAMP")
    with refused("InvalidArgumentException", kinesis, "cannot be greater than"):
        start(kinesis, "AT_TIMESTAMP", Timestamp=time.time() + 3600)
    with refused("InvalidArgumentException", kinesis, "is invalid"):
        start(kinesis, "AT_SEQUENCE_NUMBER", StartingSequenceNumber="17")
    with refused("InvalidArgumentException", kinesis, "It encodes shardId-000000000017"):
        start(kinesis, "AT_SEQUENCE_NUMBER",
              StartingSequenceNumber="49646437577130777162115407028968674069677693010553340178")
    with refused("InvalidArgumentException", kinesis, "did not come from this stream"):
        start(kinesis, "AT_SEQUENCE_NUMBER",
              StartingSequenceNumber="49646437577108476416916876405827138351405044649047359490")
    with refused("ValidationException", kinesis, "enum value set"):
        start(kinesis, "FIRST")
    with refused("ValidationException", kinesis, "less than or equal to 256"):
        kinesis.put_record(StreamName="orders", Data=b"", PartitionKey="k" * 257)
    with refused("InvalidArgumentException", kinesis, "Specified value was 340282366920938463463374607431768211456"):
        kinesis.put_record(StreamName="orders", Data=b"", PartitionKey="k", ExplicitHashKey=str(1 << 128))
    with refused("ValidationException", kinesis, "1048576"):
        kinesis.put_record(StreamName="orders", Data=b"x" * (1 << 20), PartitionKey="k")
    with refused("ValidationException", kinesis, "less than or equal to 500"):
        put(kinesis, 501)
    with refused("ValidationException", kinesis, "value less than or equal to 10000"):
        kinesis.get_records(ShardIterator=start(kinesis), Limit=10001)
    with refused("InvalidArgumentException", kinesis, "not both greater than one plus"):
        kinesis.split_shard(StreamName="orders", ShardToSplit="0", NewStartingHashKey="1")
    with refused("InvalidArgumentException", kinesis, "Either StreamName or StreamARN"):
        kinesis.describe_stream()
    with refused("ResourceInUseException", kinesis):
        kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="c")
        kinesis.delete_stream(StreamName="orders")
    with pytest.raises(AttributeError, match="SomeException"):
        kinesis.exceptions.SomeException


def test_arguments_are_checked_as_botocore_checks_them(kinesis: Client) -> None:
    wrong = libstream.kinesis.ParamValidationError
    with pytest.raises(wrong, match='Missing required parameter in input: "PartitionKey"'):
        kinesis.put_record(StreamName="orders", Data=b"")
    with pytest.raises(wrong, match='Unknown parameter in input: "Stream"'):
        kinesis.describe_stream(Stream="orders")
    with pytest.raises(wrong, match="Invalid type for parameter PartitionKey"):
        kinesis.put_record(StreamName="orders", Data=b"", PartitionKey=float("nan"))
    with pytest.raises(wrong, match="valid min length: 1"):
        kinesis.put_record(StreamName="orders", Data=b"", PartitionKey="")
    with pytest.raises(wrong, match=r"Records\[1\]"):
        kinesis.put_records(StreamName="orders", Records=[{"Data": b"", "PartitionKey": "k"}, {"Data": b""}])
    with pytest.raises(wrong, match="Invalid type for parameter Data"):
        kinesis.put_record(StreamName="orders", Data=17, PartitionKey="k")
    with pytest.raises(TypeError):
        kinesis.put_record("orders", b"", "k")
    with pytest.raises(wrong, match="parameter ShardIterator, value: None") as caught:  # As of a shard that has ended.
        kinesis.get_records(ShardIterator=None, Limit=0)
    assert "Invalid value for parameter Limit, value: 0, valid min value: 1" in str(caught.value)
    with pytest.raises(wrong, match=r"parameter Tags \(key: 5\)"):
        kinesis.add_tags_to_stream(StreamName="orders", Tags={5: "x"})
    with pytest.raises(wrong, match=r"Unknown parameter in StartingPosition: \"Kind\""):
        kinesis.subscribe_to_shard(ConsumerARN="c", ShardId="0", StartingPosition={"Type": "LATEST", "Kind": "x"})
    with pytest.raises(wrong, match="Timestamp, value: noon"):
        start(kinesis, "AT_TIMESTAMP", Timestamp="noon")
    assert start(kinesis, "AT_TIMESTAMP", Timestamp="2026-01-02T03:04:05Z")
    kinesis.describe_stream(StreamName="orders", StreamId="reserved")


@pytest.mark.skipif(MODEL is None, reason="botocore is not installed")
def test_every_wrong_argument_is_refused_by_one_of_boto3_s_exceptions() -> None:
    """Whatever botocore refuses before it asks the service is refused in the same way, and nothing else is; what is
    left meets the service's own exceptions."""
    wrong, count = libstream.kinesis.ParamValidationError, 0
    with Client("memory:") as kinesis:
        kinesis.create_stream(StreamName="orders", ShardCount=1)
        for method, arguments, is_refused in wrong_calls():
            count += 1
            said: Any = None
            try:
                getattr(kinesis, method)(**arguments)
            except (wrong, kinesis.exceptions.ClientError) as error:
                said = error
            if isinstance(said, wrong) != is_refused:
                raise AssertionError("%s(%r): botocore refuses it: %s, and here: %r" % (method, arguments, is_refused,
                                                                                       said))
            if method in ("create_stream", "delete_stream"):
                for name in kinesis.list_streams()["StreamNames"]:
                    kinesis.delete_stream(StreamName=name)
                kinesis.create_stream(StreamName="orders", ShardCount=1)
    assert count > 1000


def test_limits_fail_records_one_by_one(kinesis: Client) -> None:
    stream = kinesis._store.create_stream("slow", mode=libstream.StreamMode.PROVISIONED, write_records_per_second=5)
    stream.close()
    answer: Dict[str, Any] = {}
    for _ in range(4):
        answer = kinesis.put_records(StreamName="slow", Records=[{"Data": b"", "PartitionKey": "k"}] * 5)
        if answer["FailedRecordCount"]:
            break
    assert answer["FailedRecordCount"] > 0 and len(answer["Records"]) == 5
    assert answer["Records"][-1]["ErrorCode"] == "ProvisionedThroughputExceededException"
    assert "shardId-000000000000 in stream slow" in answer["Records"][-1]["ErrorMessage"]
    with Client(kinesis._store, retries=0) as strict:
        for call in (lambda: strict.put_record(StreamName="slow", Data=b"", PartitionKey="k"),
                     lambda: strict.get_records(ShardIterator=start(strict, StreamName="slow"))):
            with pytest.raises(strict.exceptions.ProvisionedThroughputExceededException) as caught:
                for _ in range(10):
                    call()
            assert caught.value.response["Error"]["Message"] == (
                "Rate exceeded for shard shardId-000000000000 in stream slow under account 000000000000.")


def test_puts_take_no_reads_of_a_stream_that_became_provisioned(folder: str) -> None:
    """Others set the mode while the client has the stream open."""
    with Store(folder + "/store", durability=libstream.Durability.KERNEL) as store, Client(store) as kinesis:
        with store.create_stream("orders") as stream:
            texts = put(kinesis, 2)
            stream.set_mode(libstream.StreamMode.PROVISIONED)
            time.sleep(0.11)  # The client asks for the mode ten times in a second.
            for _ in range(3):
                texts += put(kinesis, 3)
            iterator = stream.iterator()
            for _ in range(5):  # As many as there are in a second.
                iterator.next_batch()
            stream.set_mode(libstream.StreamMode.ON_DEMAND)
            texts += put(kinesis, 2)
        got = kinesis.get_records(ShardIterator=start(kinesis))["Records"]
        assert [record["SequenceNumber"] for record in got] == texts


def test_what_limits_refuse_is_tried_again(folder: str) -> None:
    with Client(folder + "/store") as kinesis:
        kinesis.create_stream(StreamName="orders", ShardCount=1)
        texts = [kinesis.put_record(StreamName="orders", Data=b"%d" % i, PartitionKey="k")["SequenceNumber"]
                 for i in range(8)] + put(kinesis, 4)
        found, iterator = [], start(kinesis)
        for _ in range(8):  # More than five reads in a second.
            got = kinesis.get_records(ShardIterator=iterator, Limit=2)
            found += [r["SequenceNumber"] for r in got["Records"]]
            iterator = got["NextShardIterator"]
        assert found == texts


# ---- streams ----

def arn(kinesis: Client, name: str = "orders") -> str:
    return str(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"])


def test_descriptions_have_every_member(kinesis: Client) -> None:
    found = kinesis.describe_stream(StreamName="orders")["StreamDescription"]
    assert set(found) == {"StreamName", "StreamARN", "StreamStatus", "StreamModeDetails", "Shards", "HasMoreShards",
                          "RetentionPeriodHours", "StreamCreationTimestamp", "EnhancedMonitoring", "EncryptionType"}
    assert found["StreamStatus"] == "ACTIVE" and found["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert found["StreamARN"] == "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
    assert found["Shards"][0]["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str((1 << 128) - 1)}
    summary = kinesis.describe_stream_summary(StreamARN=found["StreamARN"])["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 1 and summary["ConsumerCount"] == 0 and "Shards" not in summary
    limits = kinesis.describe_limits()
    assert limits["OpenShardCount"] == 1 and limits["OnDemandStreamCount"] == 1


def test_streams_are_on_demand_with_four_shards_unless_told(kinesis: Client) -> None:
    kinesis.create_stream(StreamName="demand", Tags={"a": "1"})
    found = kinesis.describe_stream_summary(StreamName="demand")["StreamDescriptionSummary"]
    assert (found["OpenShardCount"], found["StreamModeDetails"]["StreamMode"]) == (4, "ON_DEMAND")
    assert kinesis.list_tags_for_stream(StreamName="demand")["Tags"] == [{"Key": "a", "Value": "1"}]
    with refused("InvalidArgumentException", kinesis, "ShardCount"):
        kinesis.create_stream(StreamName="x", StreamModeDetails={"StreamMode": "PROVISIONED"})
    with refused("InvalidArgumentException", kinesis, "ShardCount"):
        kinesis.create_stream(StreamName="x", ShardCount=2, StreamModeDetails={"StreamMode": "ON_DEMAND"})


def test_settings_are_changed(kinesis: Client) -> None:
    name = arn(kinesis)
    kinesis.increase_stream_retention_period(StreamName="orders", RetentionPeriodHours=48)
    with refused("InvalidArgumentException", kinesis, "can not be shorter than existing"):
        kinesis.increase_stream_retention_period(StreamName="orders", RetentionPeriodHours=24)
    with refused("InvalidArgumentException", kinesis, "too long"):
        kinesis.increase_stream_retention_period(StreamName="orders", RetentionPeriodHours=8761)
    with refused("InvalidArgumentException", kinesis, r"Minimum allowed retention period is 24 hours. Requested "
                 r"retention period \(12 hours\) is too short."):
        kinesis.decrease_stream_retention_period(StreamName="orders", RetentionPeriodHours=12)
    kinesis.decrease_stream_retention_period(StreamARN=name, RetentionPeriodHours=24)
    kinesis.update_stream_mode(StreamARN=name, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    kinesis.update_max_record_size(StreamARN=name, MaxRecordSizeInKiB=2048)
    found = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]
    assert (found["RetentionPeriodHours"], found["StreamModeDetails"]["StreamMode"], found["MaxRecordSizeInKiB"]) == \
        (24, "ON_DEMAND", 2048)
    answer = kinesis.update_shard_count(StreamName="orders", TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (1, 2)
    with refused("InvalidArgumentException", kinesis):
        kinesis.update_shard_count(StreamName="orders", TargetShardCount=9, ScalingType="UNIFORM_SCALING")
    with refused("KMSNotFoundException", kinesis):
        kinesis.start_stream_encryption(StreamName="orders", EncryptionType="KMS", KeyId="none")


def test_tags(kinesis: Client) -> None:
    kinesis.add_tags_to_stream(StreamName="orders", Tags={"b": "2", "a": "1", "c": "3"})
    page = kinesis.list_tags_for_stream(StreamName="orders", Limit=2)
    assert [tag["Key"] for tag in page["Tags"]] == ["a", "b"] and page["HasMoreTags"]
    page = kinesis.list_tags_for_stream(StreamName="orders", ExclusiveStartTagKey="b")
    assert page["Tags"] == [{"Key": "c", "Value": "3"}] and not page["HasMoreTags"]
    kinesis.remove_tags_from_stream(StreamName="orders", TagKeys=["a"])
    kinesis.tag_resource(ResourceARN=arn(kinesis), Tags={"d": "4"})
    kinesis.untag_resource(ResourceARN=arn(kinesis), TagKeys=["b"])
    assert [t["Key"] for t in kinesis.list_tags_for_resource(ResourceARN=arn(kinesis))["Tags"]] == ["c", "d"]


def test_consumers_have_no_tags(kinesis: Client) -> None:
    """And those of their stream stay as they are."""
    with refused("InvalidArgumentException", kinesis, "no tags of consumers"):
        kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="c", Tags={"a": "1"})
    consumer = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="c", Tags={})
    named = {"ResourceARN": consumer["Consumer"]["ConsumerARN"]}
    kinesis.add_tags_to_stream(StreamName="orders", Tags={"a": "1"})
    with refused("InvalidArgumentException", kinesis, "no tags of consumers"):
        kinesis.tag_resource(Tags={"b": "2"}, **named)
    kinesis.untag_resource(TagKeys=["a"], **named)
    assert kinesis.list_tags_for_resource(**named)["Tags"] == []
    assert kinesis.list_tags_for_resource(ResourceARN=arn(kinesis))["Tags"] == [{"Key": "a", "Value": "1"}]
    kinesis.deregister_stream_consumer(ConsumerARN=named["ResourceARN"])
    with refused("ResourceNotFoundException", kinesis):
        kinesis.list_tags_for_resource(**named)


def test_what_only_a_service_has_says_so(kinesis: Client) -> None:
    policy = {"ResourceARN": arn(kinesis)}
    monitoring = {"StreamName": "orders", "ShardLevelMetrics": ["ALL"]}
    for call, arguments in ((kinesis.enable_enhanced_monitoring, monitoring), (kinesis.get_resource_policy, policy),
                            (kinesis.disable_enhanced_monitoring, monitoring), (kinesis.delete_resource_policy, policy),
                            (kinesis.put_resource_policy, {**policy, "Policy": "{}"}),
                            (kinesis.update_account_settings,
                             {"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}})):
        with pytest.raises(kinesis.exceptions.ClientError, match="UnknownOperationException.*libstream cannot"):
            call(**arguments)
    assert kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"] == {"Status": "DISABLED"}
    warm = {"StreamARN": arn(kinesis), "WarmThroughputMiBps": 100}
    assert kinesis.update_stream_warm_throughput(**warm)["WarmThroughput"] == {"TargetMiBps": 100, "CurrentMiBps": 100}
    kinesis.create_stream(StreamName="warm", StreamModeDetails={"StreamMode": "ON_DEMAND"}, WarmThroughputMiBps=100)
    kinesis.update_stream_mode(StreamARN=arn(kinesis), StreamModeDetails={"StreamMode": "PROVISIONED"})
    with refused("InvalidArgumentException", kinesis, "is not"):
        kinesis.update_stream_warm_throughput(**warm)
    with refused("InvalidArgumentException", kinesis, "Provisioned mode"):
        kinesis.create_stream(StreamName="cold", ShardCount=1, WarmThroughputMiBps=100)


def test_pages_and_paginators(kinesis: Client, clock: Clock) -> None:
    for i in range(5):
        kinesis.create_stream(StreamName="s%d" % i, ShardCount=1)
    names = ["orders", "s0", "s1", "s2", "s3", "s4"]
    pages = list(kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 4}))
    assert [page["StreamNames"] for page in pages] == [names[:4], names[4:]]
    assert pages[0]["HasMoreStreams"] and pages[0]["StreamSummaries"][0]["StreamName"] == "orders"
    assert kinesis.list_streams(NextToken=pages[0]["NextToken"])["StreamNames"] == names[4:]
    kinesis.update_shard_count(StreamName="s0", TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    paginator = kinesis.get_paginator("list_shards")
    whole = paginator.paginate(StreamName="s0", PaginationConfig={"PageSize": 2}).build_full_result()
    assert [s["ShardId"][-1] for s in whole["Shards"]] == ["0", "1", "2"] and "NextToken" not in whole
    some = paginator.paginate(StreamName="s0", PaginationConfig={"MaxItems": 2, "PageSize": 1}).build_full_result()
    assert [s["ShardId"][-1] for s in some["Shards"]] == ["0", "1"]
    rest = paginator.paginate(StreamName="s0", PaginationConfig={"StartingToken": some["NextToken"]})
    assert [s["ShardId"][-1] for s in rest.build_full_result()["Shards"]] == ["2"] and rest.resume_token is None
    described = kinesis.get_paginator("describe_stream").paginate(StreamName="s0", PaginationConfig={"PageSize": 1})
    assert sum(len(page["StreamDescription"]["Shards"]) for page in described) == 3
    open_ones = kinesis.list_shards(StreamName="s0", ShardFilter={"Type": "AT_LATEST"})["Shards"]
    assert [s["ShardId"][-1] for s in open_ones] == ["1", "2"]
    assert kinesis.can_paginate("list_streams") and not kinesis.can_paginate("put_record")
    with pytest.raises(libstream.kinesis.OperationNotPageableError, match="cannot be paginated: put_record"):
        kinesis.get_paginator("put_record")
    for name in ("put_recod", "close", "can_paginate", "meta"):
        for ask in (kinesis.can_paginate, kinesis.get_paginator):
            with pytest.raises(KeyError, match=name):
                ask(name)
    token = kinesis.list_shards(StreamName="s0", MaxResults=1)["NextToken"]
    with refused("InvalidArgumentException", kinesis, "cannot be provided together"):
        kinesis.list_shards(StreamName="s0", NextToken=token)
    with refused("InvalidArgumentException", kinesis, "NextToken is invalid"):
        kinesis.list_shards(NextToken="x")
    clock.advance(301)
    with refused("ExpiredNextTokenException", kinesis):
        kinesis.list_shards(NextToken=token)


def test_a_token_for_the_next_page_stands_alone(kinesis: Client) -> None:
    kinesis.create_stream(StreamName="s", ShardCount=3)
    token = kinesis.list_shards(StreamName="s", MaxResults=1)["NextToken"]
    for name, value in (("StreamName", "s"), ("StreamARN", arn(kinesis, "s")), ("ExclusiveStartShardId", "0"),
                        ("StreamCreationTimestamp", 5)):
        with refused("InvalidArgumentException", kinesis, "NextToken and %s cannot be provided together" % name):
            kinesis.list_shards(NextToken=token, **{name: value})
    kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="a")
    kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="b")
    token = kinesis.list_stream_consumers(StreamARN=arn(kinesis), MaxResults=1)["NextToken"]
    with refused("InvalidArgumentException", kinesis, "NextToken is of stream orders, not of stream s"):
        kinesis.list_stream_consumers(StreamARN=arn(kinesis, "s"), NextToken=token)
    found = kinesis.list_stream_consumers(StreamARN=arn(kinesis), NextToken=token)["Consumers"]
    assert [consumer["ConsumerName"] for consumer in found] == ["b"]


def test_a_token_ends_with_its_stream(kinesis: Client) -> None:
    def tokens_of(client: Client) -> List[str]:
        for name in "ab":
            client.register_stream_consumer(StreamARN=arn(client, "s"), ConsumerName=name)
        return [client.list_shards(StreamName="s", MaxResults=1)["NextToken"],
                client.list_stream_consumers(StreamARN=arn(client, "s"), MaxResults=1)["NextToken"]]

    kinesis.create_stream(StreamName="s", ShardCount=2)
    shards, consumers = tokens_of(kinesis)
    with Client(kinesis._store) as other:
        other.delete_stream(StreamName="s", EnforceConsumerDeletion=True)
        with refused("ResourceNotFoundException", kinesis):
            kinesis.list_shards(NextToken=shards)
        other.create_stream(StreamName="s", ShardCount=3)
        for _ in range(2):
            with refused("ExpiredNextTokenException", kinesis, "made anew"):
                kinesis.list_shards(NextToken=shards)
            with refused("ExpiredNextTokenException", kinesis, "made anew"):
                kinesis.list_stream_consumers(StreamARN=arn(kinesis, "s"), NextToken=consumers)
        other.delete_stream(StreamName="s")
        other.create_stream(StreamName="s", ShardCount=4)
        shards, _ = tokens_of(other)
    assert len(kinesis.list_shards(NextToken=shards)["Shards"]) == 3  # It had the one before open.


def test_waiters(folder: str) -> None:
    with Store(folder + "/store", stream_transition_ms=300) as store, Client(store) as kinesis:
        kinesis.create_stream(StreamName="slow", ShardCount=1)
        with refused("ResourceNotFoundException", kinesis):
            kinesis.put_record(StreamName="slow", Data=b"", PartitionKey="k")
        kinesis.get_waiter("stream_exists").wait(StreamName="slow")
        kinesis.put_record(StreamName="slow", Data=b"", PartitionKey="k")
        with pytest.raises(libstream.kinesis.WaiterError, match="StreamNotExists failed: Max attempts exceeded"):
            kinesis.get_waiter("stream_not_exists").wait(StreamName="slow", WaiterConfig={
                "Delay": 0.01, "MaxAttempts": 3})
        kinesis.delete_stream(StreamName="slow")
        kinesis.get_waiter("stream_not_exists").wait(StreamName="slow")
        began = time.monotonic()
        with pytest.raises(libstream.kinesis.WaiterError, match=r"An error occurred \(ResourceNotFoundException\)"):
            kinesis.get_waiter("stream_exists").wait(StreamName="slow")  # As botocore: nothing will come of it.
        assert time.monotonic() - began < 60
        with pytest.raises(ValueError, match="does not exist"):
            kinesis.get_waiter("stream_sleeps")


def test_a_waiter_waits_as_long_as_botocore_s(kinesis: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks more often, unless somebody says how often; and it looks once at least."""
    waiter, slept = kinesis.get_waiter("stream_not_exists"), []
    monkeypatch.setattr(time, "sleep", slept.append)

    def wait(**config: float) -> tuple[int, float]:
        del slept[:]
        with pytest.raises(libstream.kinesis.WaiterError, match="Max attempts exceeded"):
            waiter.wait(StreamName="orders", WaiterConfig=config)
        return len(slept), round(sum(slept), 3)

    assert wait() == (1700, 170) and wait(MaxAttempts=4) == (300, 30)
    assert wait(MaxAttempts=1) == wait(MaxAttempts=0) == (0, 0)
    assert wait(Delay=10) == (17, 170) and wait(Delay=2, MaxAttempts=3) == (2, 4)
    waiter.config.max_attempts, waiter.config.delay = 3, 7
    assert wait() == (2, 14) and wait(MaxAttempts=2) == (1, 7) and wait(Delay=1) == (2, 2)
    kinesis.get_waiter("stream_exists").wait(StreamName="orders", WaiterConfig={"MaxAttempts": 0})


def test_what_is_being_created_cannot_be_changed_yet(folder: str) -> None:
    with Store(folder + "/store", stream_transition_ms=60_000) as store, Client(store) as kinesis:
        kinesis.create_stream(StreamName="slow", ShardCount=2)
        for call in (
                lambda: kinesis.split_shard(StreamName="slow", ShardToSplit="0", NewStartingHashKey="100"),
                lambda: kinesis.merge_shards(StreamName="slow", ShardToMerge="0", AdjacentShardToMerge="1"),
                lambda: kinesis.register_stream_consumer(StreamARN=arn(kinesis, "slow"), ConsumerName="c")):
            with refused("ResourceInUseException", kinesis,
                         "Stream slow under account 000000000000 not ACTIVE, instead in state CREATING"):
                call()


# ---- fan-out ----

def test_the_arn_of_a_consumer_that_is_gone_names_no_later_one(kinesis: Client, clock: Clock) -> None:
    old = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="a")["Consumer"]["ConsumerARN"]
    kinesis.deregister_stream_consumer(ConsumerARN=old)
    clock.advance(100)
    new = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="a")["Consumer"]["ConsumerARN"]
    latest = {"Type": "LATEST"}
    for call in (lambda: kinesis.describe_stream_consumer(ConsumerARN=old),
                 lambda: kinesis.deregister_stream_consumer(ConsumerARN=old),
                 lambda: kinesis.list_tags_for_resource(ResourceARN=old),
                 lambda: kinesis.subscribe_to_shard(ConsumerARN=old, ShardId="0", StartingPosition=latest)):
        with refused("ResourceNotFoundException", kinesis, "is deregistered"):
            call()
    assert kinesis.describe_stream_consumer(ConsumerARN=new)["ConsumerDescription"]["ConsumerARN"] == new
    assert kinesis.list_tags_for_resource(ResourceARN=new)["Tags"] == []


def test_consumers_are_registered_listed_and_subscribed(kinesis: Client) -> None:
    stream = arn(kinesis)
    made = kinesis.register_stream_consumer(StreamARN=stream, ConsumerName="c1")["Consumer"]
    assert made["ConsumerStatus"] == "ACTIVE" and made["ConsumerARN"].startswith(stream + "/consumer/c1:")
    kinesis.register_stream_consumer(StreamARN=stream, ConsumerName="c2")
    pages = kinesis.get_paginator("list_stream_consumers").paginate(StreamARN=stream, PaginationConfig={"PageSize": 1})
    assert [c["ConsumerName"] for page in pages for c in page["Consumers"]] == ["c1", "c2"]
    found = kinesis.describe_stream_consumer(ConsumerARN=made["ConsumerARN"])["ConsumerDescription"]
    assert found == {**made, "StreamARN": stream}
    with refused("ResourceInUseException", kinesis):
        kinesis.register_stream_consumer(StreamARN=stream, ConsumerName="c1")

    texts = put(kinesis, 3)
    shard = "shardId-000000000000"
    events = kinesis.subscribe_to_shard(ConsumerARN=made["ConsumerARN"], ShardId=shard, StartingPosition={
        "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": texts[0]})["EventStream"]
    threading.Timer(0.1, kinesis.split_shard, kwargs={
        "StreamName": "orders", "ShardToSplit": "0", "NewStartingHashKey": str(1 << 100)}).start()
    seen: List[bytes] = []
    last: Dict[str, Any] = {}
    for event in events:
        last = event["SubscribeToShardEvent"]
        seen += [record["Data"] for record in last["Records"]]
        assert ("ContinuationSequenceNumber" in last) != ("ChildShards" in last)
    assert seen == [b"1", b"2"] and len(last["ChildShards"]) == 2
    kinesis.deregister_stream_consumer(ConsumerARN=made["ConsumerARN"])
    with refused("ResourceNotFoundException", kinesis):
        kinesis.subscribe_to_shard(ConsumerARN=made["ConsumerARN"], ShardId=shard,
                                   StartingPosition={"Type": "LATEST"})


def test_an_event_without_records_says_where_the_subscription_stands(kinesis: Client, clock: Clock,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on from there gives what came since, and no record again."""
    monkeypatch.setattr(libstream.kinesis.consumers, "_HEARTBEAT_MS", 50)
    names = iter("abcdefghijklmnop")

    def subscribe(kind: str, **more: Any) -> Dict[str, Any]:
        consumer = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName=next(names))["Consumer"]
        events = kinesis.subscribe_to_shard(ConsumerARN=consumer["ConsumerARN"], ShardId="0", StartingPosition={
            "Type": kind, **more})["EventStream"]
        event: Dict[str, Any] = next(iter(events))["SubscribeToShardEvent"]
        events.close()
        return event

    first = subscribe("LATEST")  # Of a shard in which nothing is.
    texts = put(kinesis, 3)
    assert first["Records"] == []
    again = subscribe("AFTER_SEQUENCE_NUMBER", SequenceNumber=first["ContinuationSequenceNumber"])
    assert [r["SequenceNumber"] for r in again["Records"]] == texts
    clock.advance(1.5)
    last = numbers.from_text(texts[2])
    assert last is not None
    behind = numbers.to_text(*last._replace(seqno=1 << 40))
    for kind, more in (("LATEST", {}), ("AFTER_SEQUENCE_NUMBER", {"SequenceNumber": texts[2]}),
                       ("AT_TIMESTAMP", {"Timestamp": clock.now_us / 1e6 - 1})):
        event = subscribe(kind, **more)
        assert event["Records"] == [] and event["ContinuationSequenceNumber"] == texts[2], kind
    texts += put(kinesis, 2)
    again = subscribe("AFTER_SEQUENCE_NUMBER", SequenceNumber=event["ContinuationSequenceNumber"])
    assert [r["SequenceNumber"] for r in again["Records"]] == texts[3:]
    event = subscribe("AT_SEQUENCE_NUMBER", SequenceNumber=behind)
    left = numbers.from_text(event["ContinuationSequenceNumber"])
    assert event["Records"] == [] and left is not None and left.seqno == (1 << 40) - 1


def test_a_subscription_is_closed_early(kinesis: Client) -> None:
    consumer = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="c")["Consumer"]["ConsumerARN"]
    put(kinesis, 1)
    events = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="0",
                                        StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"]
    assert next(iter(events))["SubscribeToShardEvent"]["Records"][0]["Data"] == b"0"
    with refused("ResourceInUseException", kinesis):  # Within five seconds of the first.
        kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="0", StartingPosition={"Type": "LATEST"})
    events.close()
    events.close()
    kinesis.delete_stream(StreamName="orders", EnforceConsumerDeletion=True)


def test_a_subscription_that_is_taken_over_says_so(kinesis: Client) -> None:
    consumer = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="c")["Consumer"]["ConsumerARN"]
    latest = {"Type": "LATEST"}
    first = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="0", StartingPosition=latest)["EventStream"]
    time.sleep(5.2)  # For five seconds it cannot be.
    second = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="0", StartingPosition=latest)["EventStream"]
    with refused("ResourceInUseException", kinesis) as caught:
        list(first)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    second.close()


def test_a_subscription_begins_where_an_iterator_could(kinesis: Client) -> None:
    consumer = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="c")["Consumer"]["ConsumerARN"]
    text = put(kinesis, 1)[0]
    for position, why in (
            ({"Type": "AT_TIMESTAMP"}, "Must specify timestampInMillis"),
            ({"Type": "AT_TIMESTAMP", "Timestamp": 5, "SequenceNumber": text}, "also a StartingSequenceNumber"),
            ({"Type": "LATEST", "SequenceNumber": text}, "LATEST and also a StartingSequenceNumber"),
            ({"Type": "TRIM_HORIZON", "SequenceNumber": text}, "also a StartingSequenceNumber"),
            ({"Type": "AFTER_SEQUENCE_NUMBER"}, "no StartingSequenceNumber"),
            ({"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": "1"}, "is invalid")):
        with refused("InvalidArgumentException", kinesis, why):
            kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="0", StartingPosition=position)
    with refused("ValidationException", kinesis, "startingPosition.type"):
        kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="0", StartingPosition={"Type": "NOW"})


def test_a_deletion_that_is_refused_ends_no_subscription(kinesis: Client) -> None:
    consumer = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="c")["Consumer"]["ConsumerARN"]
    events = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="0",
                                        StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"]
    with refused("ResourceInUseException", kinesis):
        kinesis.delete_stream(StreamName="orders")
    put(kinesis, 1)
    assert next(iter(events))["SubscribeToShardEvent"]["Records"][0]["Data"] == b"0"
    events.close()


def test_a_subscription_that_nobody_closes_ends_with_its_client(folder: str) -> None:
    client = Client(folder + "/store")
    client.create_stream(StreamName="orders", ShardCount=1)
    consumer = client.register_stream_consumer(StreamARN=arn(client), ConsumerName="c")["Consumer"]["ConsumerARN"]
    events = client.subscribe_to_shard(ConsumerARN=consumer, ShardId="0",
                                       StartingPosition={"Type": "LATEST"})["EventStream"]
    client.close()
    assert list(events) == []


def test_events_that_nobody_refers_to_end(kinesis: Client) -> None:
    consumer = kinesis.register_stream_consumer(StreamARN=arn(kinesis), ConsumerName="c")["Consumer"]["ConsumerARN"]
    answer = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId="0", StartingPosition={"Type": "LATEST"})
    assert [thread.name for thread in threading.enumerate()].count("libstream-push") == 1
    del answer
    deadline = time.monotonic() + 10
    while "libstream-push" in [thread.name for thread in threading.enumerate()]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_end_of_a_closed_shard_is_a_place_to_begin(kinesis: Client) -> None:
    put(kinesis, 3)
    kinesis.split_shard(StreamName="orders", ShardToSplit="0", NewStartingHashKey="1000")
    shards = kinesis.list_shards(StreamName="orders")["Shards"]
    ending = shards[0]["SequenceNumberRange"]["EndingSequenceNumber"]
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        read = kinesis.get_records(ShardIterator=start(kinesis, kind, StartingSequenceNumber=ending))
        assert read["Records"] == [] and len(read["ChildShards"]) == 2 and "NextShardIterator" not in read
    fields = numbers.from_text(shards[1]["SequenceNumberRange"]["StartingSequenceNumber"])
    assert fields is not None
    with refused("InvalidArgumentException", kinesis):  # An open one has none.
        start(kinesis, "AFTER_SEQUENCE_NUMBER", shards[1]["ShardId"], StartingSequenceNumber=numbers.to_text(
            *fields._replace(seqno=numbers.END)))


def test_times_are_what_boto3_takes_for_them(kinesis: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from libstream.kinesis.shapes import time_of

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert kinesis._timestamp_us(datetime(2020, 1, 1)) == 1577836800_000_000  # UTC.
        assert kinesis._timestamp_us("2020-01-01T00:00:00") == 1577836800_000_000
    finally:
        monkeypatch.undo()
        time.tzset()
    assert time_of("Sat, 21 Nov 2026 00:00:00 GMT") == datetime(2026, 11, 21, tzinfo=timezone.utc)
    start(kinesis, "AT_TIMESTAMP", Timestamp=datetime.min)
    for wrong in (date(2020, 1, 1), float("nan"), float("inf"), "nan", "x", None, b"2020"):
        with pytest.raises(libstream.kinesis.ParamValidationError, match="Invalid type for parameter Timestamp"):
            start(kinesis, "AT_TIMESTAMP", Timestamp=wrong)


def test_waiters_and_pages_take_what_boto3_s_take(kinesis: Client) -> None:
    kinesis.get_waiter("stream_exists").wait(StreamName="orders", Limit=1, ExclusiveStartShardId="0")
    kinesis.create_stream(StreamName="second", ShardCount=1)
    pages = kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": "1"})
    assert [page["StreamNames"] for page in pages] == [["orders"], ["second"]]
    assert kinesis.exceptions.from_code("ExpiredIteratorException") is kinesis.exceptions.ExpiredIteratorException
    assert kinesis.exceptions.from_code("Nothing") is libstream.kinesis.ClientError
    assert kinesis.meta.config.region_name == kinesis.meta.region_name == "us-east-1"


def test_sessions_make_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    import libstream.kinesis as boto3

    monkeypatch.delenv("LIBSTREAM_STORE", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with boto3.session.Session(region_name="eu-north-1", store="memory:").client("kinesis") as kinesis:
        assert kinesis.meta.region_name == "eu-north-1" and kinesis.list_streams()["StreamNames"] == []
    with pytest.raises(ValueError, match="where is the store"):
        boto3.client("kinesis")
    boto3.setup_default_session(region_name="eu-west-1", store="memory:", profile_name="ignored")
    with boto3.client("kinesis") as kinesis:
        assert kinesis.meta.region_name == "eu-west-1"
    with boto3.client("kinesis", "us-west-2") as kinesis:
        assert kinesis.meta.region_name == "us-west-2"


def test_sessions_and_clients_take_what_boto3_s_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """In boto3's order, too: what comes first of a session is no region. A word that boto3 does not know is told."""
    import libstream.kinesis as boto3

    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", None, "eu-north-1", store="memory:")
    assert (session.region_name, boto3.Session("AKIAIOSFODNN7EXAMPLE").region_name) == ("eu-north-1", None)
    with session.client("kinesis", "eu-west-1", "2013-12-02", True, False, "http://localhost:4567", "AKIA", "secret",
                        aws_session_token="token", config=None, aws_account_id="123456789012") as kinesis:
        assert kinesis.meta.region_name == "eu-west-1"
    for make in (lambda: boto3.Session(reigon_name="eu-west-1"), lambda: boto3.client("kinesis", stroe="memory:")):
        with pytest.raises(TypeError):
            make()


@pytest.mark.parametrize("asked, attempts", [({}, 5), ({"max_attempts": 0}, 1), ({"max_attempts": 2}, 3),
                                             ({"total_max_attempts": 2}, 2), ({"mode": "standard"}, 3)])
def test_a_configuration_says_how_often_a_call_is_tried(asked: Dict[str, Any], attempts: int) -> None:
    import libstream.kinesis as boto3

    config = SimpleNamespace(retries=asked, region_name="eu-west-1")
    with boto3.client("kinesis", store="memory:", config=config) as kinesis:
        assert kinesis.meta.config.retries == {"total_max_attempts": attempts}
        assert kinesis.meta.region_name == "eu-west-1"


def test_exceptions_go_to_other_processes(kinesis: Client) -> None:
    def fail() -> None:
        kinesis.describe_stream(StreamName="nothing")

    def wait() -> None:
        kinesis.get_waiter("stream_exists").wait(StreamName="nothing", WaiterConfig={"Delay": 0, "MaxAttempts": 1})

    def err() -> None:
        kinesis.describe_stream(StreamNam="nothing")  # type: ignore[call-arg]

    for call, kind in ((fail, kinesis.exceptions.ResourceNotFoundException), (wait, libstream.kinesis.WaiterError),
                       (err, libstream.kinesis.ParamValidationError)):
        with pytest.raises(kind) as caught:
            call()
        again = pickle.loads(pickle.dumps(caught.value))
        assert type(again) is type(caught.value) and str(again) == str(caught.value)
        for name in ("response", "operation_name", "last_response", "kwargs"):
            assert getattr(again, name, None) == getattr(caught.value, name, None)


def test_exceptions_without_botocore_go_to_other_processes() -> None:
    program = ("import sys, pickle; sys.modules['botocore'] = sys.modules['botocore.exceptions'] = None\n"
               "from libstream.kinesis import *\n"
               "k, seen = Client('memory:'), []\n"
               "for call in (lambda: k.describe_stream(StreamName='x'), lambda: k.describe_stream(Nam='x'),\n"
               "             lambda: k.get_paginator('put_record'), lambda:\n"
               "             k.get_waiter('stream_exists').wait(StreamName='x', WaiterConfig={'MaxAttempts': 1})):\n"
               "    try:\n"
               "        call()\n"
               "    except (ClientError, OperationNotPageableError, ParamValidationError, WaiterError) as error:\n"
               "        again = pickle.loads(pickle.dumps(error))\n"
               "        assert type(again) is type(error) and str(again) == str(error)\n"
               "        seen.append(type(again).__name__)\n"
               "print(seen)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == ("['ResourceNotFoundException', 'ParamValidationError', "
                                   "'OperationNotPageableError', 'WaiterError']"), done.stderr


# ---- the service's own description ----

@pytest.mark.skipif(MODEL is None, reason="botocore is not installed")
def test_operations_take_what_the_service_takes() -> None:
    assert len(operations()) >= 23
    for name, operation in operations().items():
        theirs = set(operation.input_shape.members) if operation.input_shape else set()
        mine = parameters(name)
        # What only a service has: consumers' tags, promises of throughput, and trying without doing.
        absent = theirs - set(mine) - {"StreamId", "DryRun", "WarmThroughputMiBps", "Tags",
                                       "RecordDistributionStrategy"}
        assert not absent, "%s does not take %s" % (name, absent)
        assert set(mine) <= theirs | YOUNGER | {"StreamARN", "ResourceARN", "Tags"}, name
        needed = set(operation.input_shape.required_members) if operation.input_shape else set()
        assert needed - {"StreamName"} <= {member for member, is_needed in mine.items() if is_needed}, name


@pytest.mark.skipif(MODEL is None, reason="botocore is not installed")
def test_exceptions_are_botocore_s(kinesis: Client) -> None:
    from botocore.exceptions import ClientError, OperationNotPageableError, ParamValidationError, WaiterError

    with pytest.raises(ClientError) as caught:
        kinesis.describe_stream(StreamName="nothing")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert isinstance(caught.value, kinesis.exceptions.ResourceNotFoundException)
    with pytest.raises(ParamValidationError, match="Parameter validation failed"):
        kinesis.describe_stream(Name="orders")
    with pytest.raises(WaiterError):
        kinesis.get_waiter("stream_exists").wait(StreamName="nothing", WaiterConfig={"Delay": 0.01, "MaxAttempts": 1})
    with pytest.raises(OperationNotPageableError):
        kinesis.get_paginator("put_record")
    described = {shape.name for operation in operations().values() for shape in operation.error_shapes}
    assert described - {"DryRunOperationException"} <= set(dir(kinesis.exceptions))


@pytest.mark.skipif(MODEL is None, reason="botocore is not installed")
def test_paginators_and_waiters_do_what_botocore_s_do(kinesis: Client) -> None:
    from botocore.exceptions import WaiterError
    from botocore.paginate import Paginator
    from botocore.session import get_session
    from botocore.waiter import NormalizedOperationMethod, Waiter

    for i in range(4):
        kinesis.create_stream(StreamName="s%d" % i, ShardCount=1)
    kinesis.update_shard_count(StreamName="s0", TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    kinesis.update_shard_count(StreamName="s0", TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    model = get_session().get_paginator_model("kinesis")
    # Not of list_shards: botocore's gives StreamName with NextToken, which the service refuses, and the client, too.
    for name, arguments in (("list_streams", {}), ("describe_stream", {"StreamName": "s0"})):
        operation = operations()[name]
        theirs = Paginator(getattr(kinesis, name), model.get_paginator(operation.name), operation)
        mine = kinesis.get_paginator(name)
        for config in ({}, {"PageSize": 2}, {"PageSize": 2, "MaxItems": 3}, {"MaxItems": 2, "PageSize": 2},
                       {"MaxItems": 100, "PageSize": 5}, {"MaxItems": 1}):
            results = []
            for paginator in (theirs, mine):
                pages = paginator.paginate(PaginationConfig=config, **arguments)
                whole = pages.build_full_result()
                rest = whole.pop("NextToken", None)
                again = None
                if rest is not None:
                    assert isinstance(rest, str)
                    again = paginator.paginate(PaginationConfig={"StartingToken": rest, **config},
                                               **arguments).build_full_result()
                    again.pop("NextToken", None)
                results.append([_shown(name, whole), None if again is None else _shown(name, again)])
            assert results[0] == results[1], (name, config)
    found = kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 2}).search("StreamNames[]")
    assert list(found) == ["orders", "s0", "s1", "s2", "s3"]
    whole = kinesis.get_paginator("list_streams").paginate(
        PaginationConfig={"PageSize": 2, "MaxItems": 3}).build_full_result()
    assert [summary["StreamName"] for summary in whole["StreamSummaries"]] == ["orders", "s0", "s1"]
    waiter = get_session().get_waiter_model("kinesis")
    assert set(kinesis.waiter_names) <= {re.sub("(?!^)([A-Z])", r"_\1", n).lower() for n in waiter.waiter_names}
    assert {kinesis.get_waiter(name).name for name in kinesis.waiter_names} <= set(waiter.waiter_names)
    for own in map(kinesis.get_waiter, kinesis.waiter_names):
        theirs = waiter.get_waiter(own.name)
        assert (own.config.delay, own.config.max_attempts) == (theirs.delay, theirs.max_attempts)
    for name, stream in (("stream_exists", "s0"), ("stream_not_exists", "s0"), ("stream_exists", "none"),
                         ("stream_not_exists", "none")):
        own, said = kinesis.get_waiter(name), []
        theirs = Waiter(own.name, waiter.get_waiter(own.name), NormalizedOperationMethod(kinesis.describe_stream))
        for one in (own, theirs):
            try:
                one.wait(StreamName=stream, WaiterConfig={"Delay": 0, "MaxAttempts": 2})
                said.append("")
            except WaiterError as error:
                said.append(str(error))
        assert said[0] == said[1]


def _shown(name: str, whole: Dict[str, Any]) -> List[str]:
    """What a paginator found."""
    if name == "list_streams":
        return list(whole["StreamNames"])
    return [shard["ShardId"] for shard in whole["StreamDescription"]["Shards"]]


# ---- the module stands in boto3's place ----

def test_the_import_is_all_that_changes(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import libstream.kinesis as boto3

    monkeypatch.setenv("LIBSTREAM_STORE", folder + "/store")
    with boto3.client("kinesis", region_name="eu-west-1") as kinesis:
        kinesis.create_stream(StreamName="amazon-books", ShardCount=1)
        response = kinesis.put_record(StreamName="amazon-books", Data=json.dumps({"Price": 1}), PartitionKey="t")
        assert response["ShardId"] == "shardId-000000000000" and kinesis.meta.region_name == "eu-west-1"
        assert "eu-west-1" in arn(kinesis, "amazon-books")
    with boto3.Session(region_name="us-west-2").client("kinesis", store=folder + "/store") as kinesis:
        assert kinesis.list_streams()["StreamNames"] == ["amazon-books"]
    with pytest.raises(ValueError, match="'s3' is no service"):
        boto3.client("s3")
    monkeypatch.delenv("LIBSTREAM_STORE")
    with pytest.raises(ValueError, match="where is the store"):
        boto3.client("kinesis")


def test_texts_that_c_would_cut_are_refused(kinesis: Client) -> None:
    arn = kinesis.describe_stream(StreamName="orders")["StreamDescription"]["StreamARN"]
    for call in (lambda: kinesis.delete_stream(StreamName="orders\0-copy"),
                 lambda: kinesis.create_stream(StreamName="new\0"), lambda: kinesis.register_stream_consumer(
                     StreamARN=arn, ConsumerName="c\0"), lambda: kinesis.list_streams(ExclusiveStartStreamName="\0")):
        with refused("ValidationException", kinesis, "regular expression"):
            call()
    with refused("InvalidArgumentException", kinesis, "has a NUL"):
        kinesis.tag_resource(ResourceARN=arn, Tags={"a\0": "b"})
    assert kinesis.list_streams()["StreamNames"] == ["orders"]
    for key, data in (("\ud800", b""), ("k", "\udfff")):
        with pytest.raises(libstream.kinesis.ParamValidationError, match="half of a surrogate pair"):
            kinesis.put_record(StreamName="orders", Data=data, PartitionKey=key)
        with pytest.raises(libstream.kinesis.ParamValidationError, match="half of a surrogate pair"):
            kinesis.put_records(StreamName="orders", Records=[{"Data": data, "PartitionKey": key}])


@pytest.fixture
def remade(folder: str) -> Iterator[Client]:
    """A client that has a stream open which others have deleted and made anew."""
    with Client(folder + "/store") as client:
        client.create_stream(StreamName="orders", ShardCount=1)
        client.put_record(StreamName="orders", Data=b"old", PartitionKey="k")
        with Store(folder + "/store") as other:
            other.delete_stream("orders")
            with other.create_stream("orders") as stream:
                stream.register_consumer("c")
                stream.producer().put("k", b"new")
        yield client


def test_batches_go_to_a_stream_that_was_made_anew(remade: Client) -> None:
    records = [{"Data": b"more", "PartitionKey": "k"}] * 2
    assert remade.put_records(StreamName="orders", Records=records)["FailedRecordCount"] == 0
    read = remade.get_records(ShardIterator=start(remade))
    assert [record["Data"] for record in read["Records"]] == [b"new", b"more", b"more"]
    with Store(remade._store.location) as other:
        other.delete_stream("orders", consumers=True)
    with refused("ResourceNotFoundException", remade, "Stream orders under account 000000000000 not found"):
        remade.put_records(StreamName="orders", Records=records)


def test_lists_see_a_stream_that_was_made_anew(remade: Client) -> None:
    assert [one["StreamName"] for one in remade.list_streams()["StreamSummaries"]] == ["orders"]


def test_limits_see_a_stream_that_was_made_anew(remade: Client) -> None:
    assert remade.describe_limits()["OpenShardCount"] == 1


def test_a_stream_that_was_made_anew_is_subscribed_to(remade: Client) -> None:
    with Store(remade._store.location) as other, other.stream("orders") as stream:
        created = stream.describe_consumer("c").created_us // 1_000_000
    answer = remade.subscribe_to_shard(
        ConsumerARN="arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/c:%d" % created,
        ShardId="shardId-000000000000", StartingPosition={"Type": "TRIM_HORIZON"})
    event = next(iter(answer["EventStream"]))["SubscribeToShardEvent"]
    assert [record["Data"] for record in event["Records"]] == [b"new"]
    answer["EventStream"].close()


def test_a_batch_whose_key_is_missing_is_refused_as_a_put_is(folder: str) -> None:
    with Store(folder + "/store", key=lambda name: b"a" * 32) as store, store.create_stream("orders") as stream:
        stream.start_encryption("a")
    with Client(folder + "/store") as kinesis:
        with refused("KMSNotFoundException", kinesis):
            kinesis.put_record(StreamName="orders", Data=b"x", PartitionKey="k")
        with refused("KMSNotFoundException", kinesis):
            kinesis.put_records(StreamName="orders", Records=[{"Data": b"x", "PartitionKey": "k"}] * 2)


def test_who_puts_while_another_thread_deletes_is_told_so() -> None:
    seen: List[Exception] = []
    with Client("memory:") as kinesis:
        for _ in range(20):
            kinesis.create_stream(StreamName="d", ShardCount=1)
            begun = threading.Event()

            def put_until_it_fails() -> None:
                try:
                    for _ in range(1000):
                        kinesis.put_records(StreamName="d", Records=[{"Data": b"x", "PartitionKey": "k"}] * 10)
                        begun.set()
                except Exception as error:
                    seen.append(error)

            thread = threading.Thread(target=put_until_it_fails)
            thread.start()
            begun.wait(10)
            kinesis.delete_stream(StreamName="d")
            thread.join()
        kind = kinesis.exceptions.ResourceNotFoundException
        assert len(seen) == 20 and all(isinstance(error, kind) for error in seen), seen


def test_threads_share_a_client(kinesis: Client) -> None:
    numbers_of: Dict[int, List[str]] = {}

    def work(who: int) -> None:
        numbers_of[who] = [kinesis.put_record(StreamName="orders", Data=b"%d" % who, PartitionKey="k")[
            "SequenceNumber"] for _ in range(30)]

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = kinesis.get_records(ShardIterator=start(kinesis))["Records"]
    for who in range(4):
        assert [r["SequenceNumber"] for r in got if r["Data"] == b"%d" % who] == numbers_of[who]


NAMES = "'a b' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: "
RULES: List[Tuple[str, Dict[str, Any], str]] = [
    ("put_record", {"StreamName": "a b", "Data": b"", "PartitionKey": "k"}, NAMES % "streamName"),
    ("create_stream", {"StreamName": "a" * 129}, "'streamName' failed to satisfy constraint: Member must have length "
                                                 "less than or equal to 128"),
    ("put_record", {"StreamName": "none", "Data": b"", "PartitionKey": "k", "ExplicitHashKey": "01"},
     "'01' at 'explicitHashKey'"),
    ("put_records", {"StreamName": "none", "Records": [{"Data": b"", "PartitionKey": "k"},
                                                       {"Data": b"", "PartitionKey": "k" * 257}]},
     "'records.2.member.partitionKey' failed to satisfy constraint: Member must have length less than or equal to 256"),
    ("put_record", {"StreamName": "none", "Data": bytes((10 << 20) + 1), "PartitionKey": "k"},
     "'data' failed to satisfy constraint: Member must have length less than or equal to 10485760"),
    ("split_shard", {"StreamName": "none", "ShardToSplit": "0", "NewStartingHashKey": "x"}, "'newStartingHashKey'"),
    ("get_shard_iterator", {"StreamName": "none", "ShardId": "a b", "ShardIteratorType": "LATEST"}, NAMES % "shardId"),
    ("get_shard_iterator", {"StreamName": "none", "ShardId": "0", "ShardIteratorType": "AT_SEQUENCE_NUMBER",
                            "StartingSequenceNumber": "-1"}, "'startingSequenceNumber'"),
    ("get_records", {"ShardIterator": "x" * 513}, "length less than or equal to 512"),
    ("list_tags_for_stream", {"StreamName": "none", "Limit": 51}, "'limit' .* value less than or equal to 50"),
    ("describe_stream", {"StreamName": "none", "Limit": 10001}, "value less than or equal to 10000"),
    ("list_shards", {"StreamName": "none", "MaxResults": 10001}, "'maxResults'"),
    ("list_shards", {"StreamName": "none", "ShardFilter": {"Type": "NOW"}}, "'shardFilter.type'"),
    ("register_stream_consumer", {"StreamARN": "arn:aws:kinesis:r:000000000000:stream/s", "ConsumerName": "a b"},
     NAMES % "consumerName"),
    ("describe_stream_summary", {"StreamARN": "nothing"}, "'nothing' at 'streamARN'"),
    ("list_tags_for_resource", {"ResourceARN": "nothing"}, "'nothing' at 'resourceARN'"),
    ("add_tags_to_stream", {"StreamName": "none", "Tags": {}}, "'tags' .* length greater than or equal to 1"),
    ("add_tags_to_stream", {"StreamName": "none", "Tags": {str(i): "" for i in range(201)}},
     "'tags' .* length less than or equal to 200"),
    ("create_stream", {"StreamName": "a", "Tags": {"k" * 129: ""}}, "Map keys must satisfy constraint: .* 128"),
    ("tag_resource", {"ResourceARN": "arn:aws:kinesis:r:000000000000:stream/s", "Tags": {"k": "v" * 257}},
     "Map value must satisfy constraint: .* 256"),
    ("remove_tags_from_stream", {"StreamName": "none", "TagKeys": ["k"] * 51}, "length less than or equal to 50"),
    ("start_stream_encryption", {"StreamName": "none", "EncryptionType": "AES", "KeyId": "k"},
     r"enum value set: \[KMS, NONE\]"),
    ("create_stream", {"StreamName": "a", "ShardCount": 1, "MaxRecordSizeInKiB": 10241}, "'maxRecordSizeInKiB'"),
    ("enable_enhanced_monitoring", {"StreamName": "none", "ShardLevelMetrics": ["ALL", "Some"]},
     "'shardLevelMetrics.2.member'"),
]


@pytest.mark.parametrize("call,arguments,said", RULES, ids=["%d-%s" % (i, rule[0]) for i, rule in enumerate(RULES)])
def test_what_breaks_a_rule_of_the_service_is_refused_before_the_stream_is_looked_for(
        kinesis: Client, call: str, arguments: Dict[str, Any], said: str) -> None:
    with refused("ValidationException", kinesis, "1 validation error detected: Value .*" + said):
        getattr(kinesis, call)(**arguments)


def test_all_that_breaks_a_rule_is_told_at_once(kinesis: Client) -> None:
    with refused("ValidationException", kinesis, "2 validation errors detected: Value 'a b' at 'streamName' .*; Value "
                                                 "'x' at 'explicitHashKey'"):
        kinesis.put_record(StreamName="a b", Data=b"", PartitionKey="k", ExplicitHashKey="x")
    with pytest.raises(kinesis.exceptions.ValidationException) as caught:
        kinesis.put_records(StreamName="orders", Records=[{"Data": b"", "PartitionKey": "k" * 257}] * 12)
    message = caught.value.response["Error"]["Message"]
    assert message.startswith("12 validation errors detected: ") and message.count("; ") == 9


def test_answers_of_an_encrypted_stream_say_so(folder: str) -> None:
    entry = {"Data": b"", "PartitionKey": "k"}
    with Store(folder + "/store", key=lambda name: bytes(32)) as store, Client(store) as kinesis:
        kinesis.create_stream(StreamName="orders", ShardCount=1)
        with refused("InvalidArgumentException", kinesis, "must be KMS"):
            kinesis.start_stream_encryption(StreamName="orders", EncryptionType="NONE", KeyId="k")
        assert "EncryptionType" not in kinesis.put_record(StreamName="orders", **entry)
        kinesis.start_stream_encryption(StreamName="orders", EncryptionType="KMS", KeyId="k")
        assert kinesis.put_record(StreamName="orders", **entry)["EncryptionType"] == "KMS"
        assert kinesis.put_records(StreamName="orders", Records=[entry])["EncryptionType"] == "KMS"
        kinesis.stop_stream_encryption(StreamName="orders", EncryptionType="KMS", KeyId="k")
        assert "EncryptionType" not in kinesis.put_records(StreamName="orders", Records=[entry])
        shard = kinesis.list_shards(StreamName="orders")["Shards"][0]["ShardId"]
        text = kinesis.get_shard_iterator(StreamName="orders", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        consumer = kinesis.register_stream_consumer(StreamARN=kinesis.describe_stream_summary(StreamName="orders")[
            "StreamDescriptionSummary"]["StreamARN"], ConsumerName="c")["Consumer"]["ConsumerARN"]
        events = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition={
            "Type": "TRIM_HORIZON"})["EventStream"]
        for records in (kinesis.get_records(ShardIterator=text["ShardIterator"])["Records"],
                        next(iter(events))["SubscribeToShardEvent"]["Records"]):
            assert [record.get("EncryptionType") for record in records] == [None, "KMS", "KMS", None]
            assert all(len(record) == 4 + ("EncryptionType" in record) for record in records)
        events.close()


def test_what_ends_a_block_goes_on_whatever_closing_tells(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a client, and of a transaction."""
    def fail(self: Store) -> None:
        raise libstream.InputOutputError("the disk is gone")

    client = Client(folder + "/store")
    with monkeypatch.context() as patched:
        patched.setattr(Store, "close", fail)
        with pytest.raises(KeyError) as caught, client:
            raise KeyError("mine")
    assert isinstance(caught.value.__context__, libstream.InputOutputError)
    client.close()
    with Store(folder + "/store") as store, store.create_stream("orders") as stream:
        transaction = store.transaction()
        with monkeypatch.context() as patched:
            patched.setattr(libstream.Transaction, "_release", fail)
            with pytest.raises(KeyError) as caught, transaction:
                transaction.put(stream, "k", b"x")
                raise KeyError("mine")
        assert isinstance(caught.value.__context__, libstream.InputOutputError)
        transaction.close()
        assert list(stream.iterator()) == []


def test_whoever_has_put_nothing_yet_puts_after_0(kinesis: Client) -> None:
    text = "0"
    for _ in range(3):
        text = kinesis.put_record(StreamName="orders", Data=b"", PartitionKey="k",
                                  SequenceNumberForOrdering=text)["SequenceNumber"]
