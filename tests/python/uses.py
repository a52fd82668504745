"""A sample of uses, for mypy --strict: not run."""

from __future__ import annotations

from array import array
from typing import List, Optional

from libstream import (NO_LIMIT, Answer, Batch, Context, DeliveryObject, Durability, Error, Fold, GroupEvent, Outcome,
                       Position, Record, RecordId, Store, Stream, ThrottledError, Transform, WindowRecord, WindowResult,
                       aio)
from libstream.kinesis import Client


def put(stream: Stream) -> List[RecordId]:
    with stream.producer() as producer:
        first: RecordId = producer.put("key", b"data", durability=Durability.SYNC)
        results = producer.put_batch([("key", b"a"), (b"key", bytearray(b"b"))], partial_ok=True)
        one: Optional[RecordId] = results[0]
        rest: List[Optional[RecordId]] = [one] + results[1:]
        producer.put("key", array("i", [1, 2]))
        producer.put_many("key", [array("d", [0.5]), memoryview(b"c")])
        producer.put_many("key", (b"%d" % i for i in range(3)))
        return [first] + [at for at in rest if at is not None]


def read(stream: Stream) -> int:
    size = 0
    for record in stream.iterator(0, Position.after(17), timeout=None):
        size += len(record.view) + len(record.partition_key)
    batch: Batch = stream.iterator().next_batch(1.5)
    first: Record = batch[0]
    several: List[Record] = batch[1:]
    return size + len(first.data) + len(several) + batch.seqnos[0]


def put_without_waiting(stream: Stream) -> RecordId:
    lost: List[Outcome] = []

    def tell(outcome: Outcome) -> None:
        if outcome.error is not None:
            lost.append(outcome)

    with stream.async_producer(tell, linger_ms=NO_LIMIT, aggregate=True) as producer:
        tickets = producer.put_many("key", [b"a", b"b"], timeout=1.5)
        return producer.wait(tickets[0])


def gather(stream: Stream) -> List[WindowResult]:
    found: List[WindowResult] = []

    def add(numbers: "array[float]", record: WindowRecord) -> None:
        numbers[0] = max(numbers[0], len(record.data))

    with stream.windows(found.append, size_ms=1000, fold=Fold(add, format="d")) as windows:
        windows.run(until_caught_up=True)
    return found


def work(stream: Stream) -> Optional[int]:
    with stream.group("group") as group:
        event: Optional[GroupEvent] = group.next(1.0)
        if event is None:
            return None
        for record in event.lease.iterator():
            event.lease.prepare(record, state=b"about to")
            event.lease.checkpoint(record)
        return event.lease.describe().pending_seqno


def handle(stream: Stream) -> None:
    @stream.on_batch("counter", records_max=1000)
    def count(batch: Batch, context: Context) -> Answer:
        return Answer.RETRY if context.is_late else Answer.DONE

    def change(asked: Transform) -> None:
        for index, record in enumerate(asked.batch):
            asked.replace(index, record.data.upper())

    def deliver(it: DeliveryObject) -> None:
        print(it.name, len(it.content))

    count.run(until_caught_up=True)
    delivery = stream.create_delivery("files", to_callback=True, transform=True)
    delivery.run(transform=change, deliver=deliver, give_up=1.5)


async def wait(stream: Stream) -> bytes:
    async with aio.Producer(stream) as producer, aio.AsyncProducer(stream, linger_ms=1) as soon:
        at: RecordId = await producer.put("key", b"data")
        then: RecordId = await soon.put("key", b"data")
    async with aio.Iterator(stream.iterator(at.shard, Position.after(then.seqno), timeout=None)) as iterator:
        async for record in iterator:
            return record.data
        batch: Batch = await iterator.next_batch(1.5)
        return b"".join(batch.data_list())


def ask(kinesis: Client) -> str:
    try:
        answer = kinesis.put_record(StreamName="orders", Data=b"tea", PartitionKey="k")
    except kinesis.exceptions.ResourceNotFoundException as error:
        return str(error.response["Error"]["Message"])
    return str(answer["SequenceNumber"])


def main() -> float:
    with Store("memory:", clock=None) as store:
        try:
            return float(read(store.create_stream("orders", shard_count=2, write_records_per_second=5)))
        except ThrottledError as error:
            return error.retry_after
        except Error as error:
            return float(error.status)
