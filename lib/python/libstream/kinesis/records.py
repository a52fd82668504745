"""Putting and reading: PutRecord, PutRecords, GetShardIterator, GetRecords."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Sequence, Tuple

import libstream.errors as plain
from libstream.batch import Batch
from libstream.kinesis import numbers, shapes, tokens
from libstream.kinesis.base import Base, Opened, Reader, action
from libstream.kinesis.errors import Refusal, answer, invalid
from libstream.values import Position, from_us, shard_id, to_us

_REQUEST_BYTES_MAX = 10 << 20
_RECORDS_MAX = 10_000


def _hash_key(text: Optional[str]) -> Optional[int]:
    if text is None:
        return None
    value = numbers.parse_hash_key(text)
    if value is None:
        raise invalid("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value "
                      "was %s" % text)
    return value


def _shard_of(opened: Opened, key: str, hash_key: Optional[int]) -> int:
    """The shard that a record goes to now."""
    if hash_key is None:
        hash_key = int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest(), "big")
    return next((shard.shard for shard in opened.stream.describe().open_shards
                 if shard.first_hash_key <= hash_key <= shard.last_hash_key), 0)


def check_start(kind: str, number: Optional[str], timestamp: Any) -> None:
    """Refuse where to begin that lacks what it needs, or has what it does not."""
    by_number = kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")
    if by_number != (number is not None):
        raise invalid("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber "
                      "or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and %s "
                      "StartingSequenceNumber." % (kind, "no" if by_number else "also a"))
    if kind == "AT_TIMESTAMP" and timestamp is None:
        raise invalid("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has "
                      "no timestamp parameter.")


def _is_ahead(least: numbers.Fields, opened: Opened, now_seconds: int) -> bool:
    """Whether a number that a new one is to be greater than has a time in the future, or is of an open shard that has
    not come to it yet. A clock that was set back leaves times of its own in the future: they are no reason."""
    for shard in opened.stream.describe().shards:
        if shard.shard == least.shard and shard.created_us // 1_000_000 == least.created_seconds:
            times = (shard.created_us, shard.latest_arrival_us or 0, shard.closed_us or 0)
            if shard.is_open and shard.latest_seqno is not None and least.seqno > shard.latest_seqno:
                return True
            return least.record_seconds > max(now_seconds, *(us // 1_000_000 for us in times))
    return max(least.created_seconds, least.record_seconds) > now_seconds


class Records(Base):
    """The data plane."""

    @action
    def put_record(self, *, Data: Any, PartitionKey: str, StreamName: Optional[str] = None,
                   StreamARN: Optional[str] = None, ExplicitHashKey: Optional[str] = None,
                   SequenceNumberForOrdering: Optional[str] = None) -> Dict[str, Any]:
        """Put one record: ShardId and SequenceNumber, which is greater than those before it in the shard and in the
        shard's ancestors. SequenceNumberForOrdering must be one of the past; giving it costs a look at the stream."""
        name = self._name(StreamName, StreamARN)
        hash_key = _hash_key(ExplicitHashKey)
        least = None
        if SequenceNumberForOrdering not in (None, "0"):  # 0: of who has put nothing yet.
            least = numbers.from_text(str(SequenceNumberForOrdering))
            if least is None:
                raise self._not_before(name, str(SequenceNumberForOrdering))

        def put(opened: Opened) -> Dict[str, Any]:
            now_us = self._now_us()
            if least is not None and _is_ahead(least, opened, now_us // 1_000_000):
                raise self._not_before(name, str(SequenceNumberForOrdering))
            try:
                at = opened.producer.put(PartitionKey, Data, hash_key)
            except plain.ThrottledError as error:
                raise self._rate_exceeded(name, _shard_of(opened, PartitionKey, hash_key), error) from error
            arrival = opened.arrivals(at.shard, at.seqno, at.seqno, now_us)(at.seqno)
            return answer(ShardId=shard_id(at.shard), SequenceNumber=opened.text_of_put(at.shard, at.seqno, arrival),
                          **opened.encryption)

        return dict(self._with(name, put))

    def _rate_exceeded(self, name: str, shard: int, error: plain.ThrottledError) -> plain.ThrottledError:
        """The same in the service's words."""
        return plain.ThrottledError("Rate exceeded for shard %s in stream %s under account %s."
                                    % (shard_id(shard), name, self._account), retry_after=error.retry_after)

    def _not_before(self, name: str, text: str) -> Refusal:
        return invalid("ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid."
                       % (text, name, self._account))

    @action
    def put_records(self, *, Records: Sequence[Dict[str, Any]], StreamName: Optional[str] = None,
                    StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Put 1..500 records; each has its result, and FailedRecordCount says how many were not put."""
        name = self._name(StreamName, StreamARN)
        rows: List[Tuple[str, bytes]] = [(record["PartitionKey"], record["Data"]) for record in Records]
        hash_keys = [_hash_key(record.get("ExplicitHashKey")) for record in Records]
        if sum(len(data) + len(key.encode()) for key, data in rows) > _REQUEST_BYTES_MAX:
            raise invalid("Records size exceeds 10 MB limit")

        def put(opened: Opened) -> Dict[str, Any]:
            now_us = self._now_us()
            results = opened.producer.put_batch(rows, explicit_hash_keys=hash_keys, partial_ok=True)
            spans: Dict[int, List[int]] = {}
            for at in results:
                if at is not None:
                    spans.setdefault(at.shard, []).append(at.seqno)
            arrivals = {shard: opened.arrivals(shard, seqnos[0], seqnos[-1], now_us) for shard, seqnos in spans.items()}
            statuses = results.statuses
            entries = []
            for index, at in enumerate(results):
                if at is not None:
                    text = opened.text_of_put(at.shard, at.seqno, arrivals[at.shard](at.seqno))
                    entries.append({"SequenceNumber": text, "ShardId": shard_id(at.shard)})
                elif plain.failure(statuses[index], "").status == plain.ThrottledError.status:
                    entries.append({"ErrorCode": "ProvisionedThroughputExceededException",
                                    "ErrorMessage": "Rate exceeded for shard %s in stream %s under account %s." % (
                                        shard_id(results._results[index].shard), name, self._account)})
                else:
                    entries.append({"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure."})
            return answer(FailedRecordCount=results.failed, Records=entries, **opened.encryption)

        return dict(self._with(name, put))

    @action
    def get_shard_iterator(self, *, ShardId: str, ShardIteratorType: str, StreamName: Optional[str] = None,
                           StreamARN: Optional[str] = None, StartingSequenceNumber: Optional[str] = None,
                           Timestamp: Any = None) -> Dict[str, Any]:
        """Where to read a shard from: a text that can be used for 300 seconds, any number of times."""
        name = self._name(StreamName, StreamARN)
        check_start(ShardIteratorType, StartingSequenceNumber, Timestamp)

        def start(opened: Opened) -> Dict[str, Any]:
            shard = self._shard(name, opened, ShardId)
            position = Position.LATEST if ShardIteratorType == "LATEST" else Position.TRIM_HORIZON
            if StartingSequenceNumber is not None:
                seqno = self._seqno(name, opened, shard, StartingSequenceNumber)
                if seqno > 0:  # 0 is the shard's StartingSequenceNumber: from the beginning, at it and after it.
                    position = Position.after(seqno) if ShardIteratorType[1] == "F" else Position.at(seqno)
            elif Timestamp is not None and ShardIteratorType == "AT_TIMESTAMP":
                position = Position.at_time(self._timestamp_us(Timestamp))
            iterator = opened.stream.iterator(shard.shard, position)
            place = iterator.place
            self._keep_reader(place, Reader(iterator, opened.stream))
            return answer(ShardIterator=self._iterator_text(name, opened, shard.shard, place))

        return dict(self._with(name, start))

    def _timestamp_us(self, given: Any) -> int:
        """Microseconds of what boto3 takes for a time: a datetime (without a zone: UTC), a number, a text."""
        if isinstance(given, str):
            given = shapes.time_of(given)
        us = to_us(given if given.tzinfo else given.replace(tzinfo=timezone.utc)) if isinstance(given, datetime) else \
            round(given * 1_000_000)
        now = self._now_ms()
        if us > now * 1000 + 999:
            raise invalid("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
                          "timestampInMillis: %d, currentTimestampInMillis: %d" % (us // 1000, now))
        return int(max(us, 0))

    def _iterator_text(self, name: str, opened: Opened, shard: int, place: str) -> str:
        return tokens.make("iterator", self._now_ms(), [name, opened.id, shard, place])

    @action
    def get_records(self, *, ShardIterator: str, Limit: Optional[int] = None,
                    StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """The next records of a shard, at most `Limit` (10,000) and 10 MiB. NextShardIterator is absent at the end of a
        closed shard; then ChildShards are there."""
        found = tokens.read("iterator", ShardIterator)
        if found is None:
            raise invalid("Invalid ShardIterator.")
        issued_ms, (name, stream, shard, place) = found
        now_ms = self._now_ms()
        if now_ms - issued_ms > tokens.LIFE_MS:
            raise Refusal("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while "
                          "right now it is %s which is further in the future than the tolerated delay of %d "
                          "milliseconds."
                          % (_time_text(issued_ms), _time_text(now_ms), tokens.LIFE_MS))

        if StreamARN is not None and self._name(None, StreamARN) != name:
            raise invalid("Invalid ShardIterator. It is of stream %s, while it was used with StreamARN %s."
                          % (name, StreamARN))

        def read(opened: Opened) -> Dict[str, Any]:
            if opened.id != stream:
                raise plain.NotFoundError("Stream %s under account %s not found." % (name, self._account))
            iterator = self._take_reader(place, opened.stream)
            while True:
                try:
                    batch = iterator.next_batch(0.0, records_max=Limit or _RECORDS_MAX, bytes_max=10 << 20)
                    break
                except plain.TrimmedError:  # The service skips what has expired, and says nothing.
                    continue
                except plain.ThrottledError as error:
                    raise self._rate_exceeded(name, shard, error) from error
            members: Dict[str, Any] = {"Records": record_shapes(opened, batch),
                                       "MillisBehindLatest": batch.millis_behind_latest}
            if batch.is_shard_end:
                iterator.close()
                members["ChildShards"] = self._children(opened, batch)
            else:
                after = iterator.place
                self._keep_reader(after, Reader(iterator, opened.stream))
                members["NextShardIterator"] = self._iterator_text(name, opened, shard, after)
            return answer(**members)

        return dict(self._with(name, read))

    def _children(self, opened: Opened, batch: Batch) -> List[Dict[str, Any]]:
        shapes = []
        for child in opened.stream.shards():
            if child.shard in batch.children:
                shapes.append({
                    "ShardId": child.shard_id,
                    "ParentShards": [shard_id(p) for p in (child.parent, child.adjacent_parent) if p is not None],
                    "HashKeyRange": {"StartingHashKey": str(child.first_hash_key),
                                     "EndingHashKey": str(child.last_hash_key)}})
        return shapes


def record_shapes(opened: Opened, batch: Batch) -> List[Dict[str, Any]]:
    """The records as boto3 shows them: EncryptionType is there when it is KMS."""
    shown: List[Dict[str, Any]] = [
        {"SequenceNumber": opened.text(batch.shard, seqno, arrival),
         "ApproximateArrivalTimestamp": from_us(arrival), "Data": data, "PartitionKey": key}
        for seqno, arrival, data, key in zip(batch.seqnos, batch.arrivals_us, batch.data_list(), batch.key_list())]
    for index in batch._encrypted():
        shown[index]["EncryptionType"] = "KMS"
    return shown


def _time_text(ms: int) -> str:
    return from_us(ms * 1000).strftime("%a %b %d %H:%M:%S UTC %Y")
