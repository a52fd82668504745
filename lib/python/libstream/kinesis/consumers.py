"""Registered consumers: Kinesis's enhanced fan-out, with SubscribeToShard."""

from __future__ import annotations

import threading
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import libstream.errors as plain
from libstream._native import lib
from libstream.kinesis.base import _ARN, Opened, action, page_of
from libstream.kinesis.errors import Refusal, answer, constraint, invalid, translate
from libstream.kinesis.records import Records, check_start, record_shapes
from libstream.kinesis.streams import Streams
from libstream.kinesis import tokens
from libstream.subscription import Subscription
from libstream.values import ConsumerInfo, Position, StreamStatus, from_us

_STATUSES = {lib.LS_CONSUMER_ACTIVE: "ACTIVE", lib.LS_CONSUMER_CREATING: "CREATING",
             lib.LS_CONSUMER_DELETING: "DELETING"}
_LIFE_S = 300.0
_HEARTBEAT_MS = 5000
_NO_TAGS = "libstream keeps no tags of consumers: tag the stream."


class Meant(NamedTuple):
    """A consumer that a call names."""

    stream: str
    name: str
    created_seconds: Optional[int]  #: of its ARN: one that is registered anew has another; None: no ARN was given

    def find(self, opened: Opened) -> ConsumerInfo:
        """It; `NotFoundError` when there is none, or but a later one of that name."""
        info = opened.stream.describe_consumer(self.name)
        if self.created_seconds not in (None, info.created_us // 1_000_000):
            raise plain.NotFoundError("consumer '%s' of stream '%s' that was registered in second %s is deregistered"
                                      % (self.name, self.stream, self.created_seconds))
        return info


class Consumers(Records, Streams):
    """Consumers and their subscriptions."""

    def _consumer_shape(self, stream: str, info: ConsumerInfo) -> Dict[str, Any]:
        return {"ConsumerName": info.name, "ConsumerARN": "%s/consumer/%s:%d" % (
                    self._arn(stream), info.name, info.created_us // 1_000_000),
                "ConsumerStatus": _STATUSES[info.status], "ConsumerCreationTimestamp": from_us(info.created_us)}

    def _consumer(self, StreamARN: Optional[str], ConsumerName: Optional[str],
                  ConsumerARN: Optional[str]) -> Meant:
        """The consumer that is meant."""
        if ConsumerARN is not None:
            match = _ARN.fullmatch(ConsumerARN)
            if match is None or match.group(2) is None:
                raise constraint(ConsumerARN, "consumerARN", "Member must satisfy regular expression pattern: "
                                 "^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/"
                                 "[a-zA-Z0-9_.-]+:[0-9]+")
            return Meant(match.group(1), match.group(2), int(match.group(3)))
        if StreamARN is None or ConsumerName is None:
            raise invalid("Either ConsumerARN or both StreamARN and ConsumerName should be provided.")
        return Meant(self._name(None, StreamARN), ConsumerName, None)

    @action
    def register_stream_consumer(self, *, StreamARN: str, ConsumerName: str,
                                 Tags: Optional[Dict[str, str]] = None) -> Dict[str, Any]:
        """Register a consumer, which has no tags. It is ACTIVE at once."""
        name = self._name(None, StreamARN)
        if Tags:
            raise invalid(_NO_TAGS)

        def register(opened: Opened) -> Dict[str, Any]:
            try:
                info = opened.stream.register_consumer(ConsumerName)
            except plain.WrongStateError as error:
                if opened.stream.describe().status in (StreamStatus.CREATING, StreamStatus.DELETING):
                    self._check_active(name, opened)
                raise Refusal("LimitExceededException", str(error)) from error
            return answer(Consumer=self._consumer_shape(name, info))

        return dict(self._with(name, register))

    @action
    def deregister_stream_consumer(self, *, StreamARN: Optional[str] = None, ConsumerName: Optional[str] = None,
                                   ConsumerARN: Optional[str] = None) -> Dict[str, Any]:
        """Deregister a consumer; its subscriptions end."""
        meant = self._consumer(StreamARN, ConsumerName, ConsumerARN)

        def deregister(opened: Opened) -> Dict[str, Any]:
            opened.stream.deregister_consumer(meant.find(opened).name)
            return answer()

        return dict(self._with(meant.stream, deregister))

    @action
    def describe_stream_consumer(self, *, StreamARN: Optional[str] = None, ConsumerName: Optional[str] = None,
                                 ConsumerARN: Optional[str] = None) -> Dict[str, Any]:
        """Look at one consumer."""
        meant = self._consumer(StreamARN, ConsumerName, ConsumerARN)

        def describe(opened: Opened) -> Dict[str, Any]:
            shape = self._consumer_shape(meant.stream, meant.find(opened))
            return answer(ConsumerDescription={**shape, "StreamARN": self._arn(meant.stream)})

        return dict(self._with(meant.stream, describe))

    @action
    def list_stream_consumers(self, *, StreamARN: str, NextToken: Optional[str] = None,
                              MaxResults: Optional[int] = None,
                              StreamCreationTimestamp: Any = None) -> Dict[str, Any]:
        """The consumers of a stream, by name."""
        name = self._name(None, StreamARN)
        after, made = "", None
        if NextToken is not None:
            of, made, after = self._token("consumers", NextToken)
            if of != name:
                raise invalid("NextToken is of stream %s, not of stream %s." % (of, name))

        def listing(opened: Opened) -> Dict[str, Any]:
            self._check_made(opened, made)
            infos, has_more = page_of((i for i in opened.stream.consumers() if i.name > after),
                                      min(MaxResults or 100, 100))
            members: Dict[str, Any] = {"Consumers": [self._consumer_shape(name, info) for info in infos]}
            if has_more:
                members["NextToken"] = tokens.make("consumers", self._now_ms(), [name, opened.id, infos[-1].name])
            return answer(**members)

        return dict(self._with(name, listing))

    # ---- tags of what an ARN names ----

    def _tagged(self, ResourceARN: str, of_stream: Any, of_consumer: Any) -> Dict[str, Any]:
        """What is done with a stream's tags, or answered of a consumer, which has none."""
        match = _ARN.fullmatch(ResourceARN)
        meant = None if match is None or match.group(2) is None else self._consumer(None, None, ResourceARN)

        def work(opened: Opened) -> Dict[str, Any]:
            if meant is not None:
                meant.find(opened)
                return dict(of_consumer())
            return dict(of_stream(opened.stream))

        return dict(self._with(self._name(None, ResourceARN), work))

    @action
    def tag_resource(self, *, ResourceARN: str, Tags: Dict[str, str]) -> Dict[str, Any]:
        """As add_tags_to_stream, of a stream."""
        def add(stream: Any) -> Dict[str, Any]:
            stream.add_tags(Tags)
            return answer()

        def refuse() -> Dict[str, Any]:
            raise invalid(_NO_TAGS)

        return self._tagged(ResourceARN, add, refuse)

    @action
    def untag_resource(self, *, ResourceARN: str, TagKeys: List[str]) -> Dict[str, Any]:
        """As remove_tags_from_stream, of a stream; of a consumer there are none."""
        def remove(stream: Any) -> Dict[str, Any]:
            stream.remove_tags(TagKeys)
            return answer()

        return self._tagged(ResourceARN, remove, answer)

    @action
    def list_tags_for_resource(self, *, ResourceARN: str) -> Dict[str, Any]:
        """As list_tags_for_stream, all of them; of a consumer none."""
        def show(stream: Any) -> Dict[str, Any]:
            return answer(Tags=[{"Key": key, "Value": value} for key, value in stream.tags().items()])

        return self._tagged(ResourceARN, show, lambda: answer(Tags=[]))

    # ---- subscriptions ----

    @action
    def subscribe_to_shard(self, *, ConsumerARN: str, ShardId: str,
                           StartingPosition: Dict[str, Any]) -> Dict[str, Any]:
        """Records of a shard as they come, for five minutes: `for event in answer["EventStream"]`. Closing the stream
        of events ends it before."""
        meant = self._consumer(None, None, ConsumerARN)
        name, kind = meant.stream, StartingPosition["Type"]
        number, since = StartingPosition.get("SequenceNumber"), StartingPosition.get("Timestamp")
        check_start(kind, number, since)

        def subscribe(opened: Opened) -> Dict[str, Any]:
            consumer = meant.find(opened).name
            shard = self._shard(name, opened, ShardId)
            latest = next((s for s in opened.stream.describe().shards if s.shard == shard.shard), shard)
            tip, stand = latest.latest_seqno or 0, 0  # An event without records says where the subscription stands.
            if number is not None:
                seqno = self._seqno(name, opened, shard, number)
                start = Position.TRIM_HORIZON if seqno == 0 else \
                    Position.at(seqno) if kind[1] == "T" else Position.after(seqno)
                stand = max(seqno - (kind[1] == "T"), 0)
            elif kind == "AT_TIMESTAMP":
                since_us = self._timestamp_us(since)
                start = Position.at_time(since_us)
                stand = tip if (latest.latest_arrival_us or 0) < since_us else 0
            elif kind == "LATEST":  # What comes from now on: the same as after the record that is the last one now.
                start, stand = Position.after(tip) if tip else Position.LATEST, tip
            else:
                start = Position.TRIM_HORIZON
            subscription = opened.stream.subscribe(consumer, shard.shard, start, heartbeat_ms=_HEARTBEAT_MS,
                                                   bytes_max=2 << 20)
            stand_us = latest.latest_arrival_us if 0 < stand == tip else None
            return answer(EventStream=EventStream(self, opened, subscription, opened.text(
                shard.shard, stand, stand_us or shard.created_us)))

        return dict(self._with(name, subscribe))


class EventStream:
    """The events of a subscription. An iterator that is closed at its end, with its client, or by `close`."""

    def __init__(self, client: Consumers, opened: Opened, subscription: Subscription, continuation: str) -> None:
        self._client, self._opened, self._subscription = client, opened, subscription
        self._continuation = continuation
        self._timer = threading.Timer(_LIFE_S, subscription.close)
        self._timer.daemon = True
        self._timer.start()

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        while True:
            try:
                batch = next(self._subscription, None)
            except plain.Error as error:
                self.close()
                raise translate(error, "SubscribeToShard") from error
            if batch is None:
                break
            event: Dict[str, Any] = {"Records": record_shapes(self._opened, batch),
                                     "MillisBehindLatest": batch.millis_behind_latest}
            if event["Records"]:
                self._continuation = event["Records"][-1]["SequenceNumber"]
            if batch.is_shard_end:
                event["ChildShards"] = self._client._children(self._opened, batch)
            else:
                event["ContinuationSequenceNumber"] = self._continuation
            yield {"SubscribeToShardEvent": event}
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_timer"):
            self._timer.cancel()  # Which has the subscription, too: nobody else refers to it then.

    def close(self) -> None:
        """End the subscription."""
        self._timer.cancel()
        self._subscription.close()
