"""Making, changing and describing streams and their shards."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import libstream.errors as plain
from libstream.kinesis import numbers, tokens
from libstream.kinesis.base import Base, Opened, action, page_of
from libstream.kinesis.errors import Refusal, answer, invalid
from libstream.values import Shard, ShardFilter, StreamDescription, StreamMode, StreamStatus, from_us, shard_id

_ON_DEMAND_SHARDS = 4
_RETENTION_LEAST, _RETENTION_MAX = 24, 8760  # hours


def _mode(details: Optional[Dict[str, Any]], otherwise: StreamMode) -> StreamMode:
    return otherwise if details is None else StreamMode[details["StreamMode"]]


def _check_warm(mode: StreamMode, warm: Optional[int]) -> None:
    """On demand nothing is throttled, so that any warm throughput is there."""
    if warm and mode != StreamMode.ON_DEMAND:
        raise invalid("WarmThroughputMiBps must not be given for a stream in Provisioned mode.")


class Streams(Base):
    """The control plane."""

    @action
    def create_stream(self, *, StreamName: str, ShardCount: Optional[int] = None,
                      StreamModeDetails: Optional[Dict[str, Any]] = None, Tags: Optional[Dict[str, str]] = None,
                      MaxRecordSizeInKiB: Optional[int] = None,
                      WarmThroughputMiBps: Optional[int] = None) -> Dict[str, Any]:
        """Create a stream: provisioned with ShardCount shards, or on demand with four. It is ACTIVE at once."""
        mode = _mode(StreamModeDetails, StreamMode.ON_DEMAND if ShardCount is None else StreamMode.PROVISIONED)
        if mode == StreamMode.PROVISIONED and ShardCount is None:
            raise invalid("ShardCount must be given for a stream in Provisioned mode.")
        if mode == StreamMode.ON_DEMAND and ShardCount is not None:
            raise invalid("ShardCount must not be given for a stream in On-Demand mode.")
        _check_warm(mode, WarmThroughputMiBps)
        try:
            self._store.create_stream(StreamName, shard_count=ShardCount or _ON_DEMAND_SHARDS, mode=mode, tags=Tags,
                                      record_bytes_max=(MaxRecordSizeInKiB or 0) * 1024).close()
        except plain.ExistsError as error:
            raise Refusal("ResourceInUseException", "Stream %s under account %s already exists."
                          % (StreamName, self._account)) from error
        return answer()

    @action
    def delete_stream(self, *, StreamName: Optional[str] = None, StreamARN: Optional[str] = None,
                      EnforceConsumerDeletion: bool = False) -> Dict[str, Any]:
        """Delete a stream with its records."""
        name = self._name(StreamName, StreamARN)
        self._open(name)  # For the service's words when there is none.
        self._store.delete_stream(name, consumers=EnforceConsumerDeletion)
        self._forget(name)
        return answer()

    @action
    def list_streams(self, *, Limit: Optional[int] = None, ExclusiveStartStreamName: Optional[str] = None,
                     NextToken: Optional[str] = None) -> Dict[str, Any]:
        """Names and summaries of streams, by name."""
        after = ExclusiveStartStreamName or ""
        if NextToken is not None:
            after = self._token("streams", NextToken)
        names, has_more = page_of(self._store.streams(after), min(Limit or 100, 100))
        summaries = []
        for name in names:
            try:
                found = self._with(name, lambda opened: opened.stream.describe())
            except (Refusal, plain.NotFoundError):  # Deleted meanwhile.
                continue
            summaries.append({**self._common(found), "StreamName": name})
        members: Dict[str, Any] = {"StreamNames": names, "HasMoreStreams": has_more, "StreamSummaries": summaries}
        if has_more:
            members["NextToken"] = tokens.make("streams", self._now_ms(), names[-1])
        return answer(**members)

    def _token(self, kind: str, text: str) -> Any:
        found = tokens.read(kind, text)
        if found is None:
            raise invalid("NextToken is invalid.")
        if self._now_ms() - found[0] > tokens.LIFE_MS:
            raise Refusal("ExpiredNextTokenException", "NextToken has expired.")
        return found[1]

    @staticmethod
    def _check_made(opened: Opened, made: Optional[int]) -> None:
        """Refuse a token of a stream that was deleted, and made anew since."""
        if made not in (None, opened.id):
            if opened.is_gone:  # Perhaps it is of the one that is there now.
                raise plain.NotFoundError("the stream was deleted")
            raise Refusal("ExpiredNextTokenException", "NextToken has expired: the stream was deleted and made anew.")

    def _common(self, found: StreamDescription) -> Dict[str, Any]:
        return {"StreamName": found.name, "StreamARN": self._arn(found.name), "StreamStatus": found.status.name,
                "StreamModeDetails": {"StreamMode": found.mode.name},
                "StreamCreationTimestamp": from_us(found.created_us)}

    def _settings(self, found: StreamDescription) -> Dict[str, Any]:
        members = {**self._common(found), "RetentionPeriodHours": found.retention_hours,
                   "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
                   "EncryptionType": "NONE" if found.key_id is None else "KMS"}
        if found.key_id is not None:
            members["KeyId"] = found.key_id
        return members

    @action
    def describe_stream(self, *, StreamName: Optional[str] = None, StreamARN: Optional[str] = None,
                        Limit: Optional[int] = None,
                        ExclusiveStartShardId: Optional[str] = None) -> Dict[str, Any]:
        """A stream with its shards, at most 100 in a page."""
        def describe(opened: Opened) -> Dict[str, Any]:
            found = opened.stream.describe()
            after = -1 if ExclusiveStartShardId is None else numbers.parse_shard_id(ExclusiveStartShardId)
            if after is None:
                raise invalid("Invalid ExclusiveStartShardId %s" % ExclusiveStartShardId)
            shards, has_more = page_of(iter([s for s in found.shards if s.shard > after]), min(Limit or 100, 100))
            return answer(StreamDescription={
                **self._settings(found), "HasMoreShards": has_more,
                "Shards": [self._shard_shape(opened, shard) for shard in shards]})

        return dict(self._with(self._name(StreamName, StreamARN), describe))

    @action
    def describe_stream_summary(self, *, StreamName: Optional[str] = None,
                                StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """A stream without its shards, with their number."""
        def describe(opened: Opened) -> Dict[str, Any]:
            found = opened.stream.describe()
            return answer(StreamDescriptionSummary={
                **self._settings(found), "OpenShardCount": len(found.open_shards),
                "ConsumerCount": len(opened.stream.consumers()),
                "MaxRecordSizeInKiB": found.record_bytes_max // 1024})

        return dict(self._with(self._name(StreamName, StreamARN), describe))

    @action
    def describe_limits(self) -> Dict[str, Any]:
        """How many there are. There is no account, so the limits are the library's own."""
        shards = on_demand = 0
        for name in self._store.streams():
            try:
                found = self._with(name, lambda opened: opened.stream.describe())
            except (Refusal, plain.NotFoundError):  # Deleted meanwhile.
                continue
            shards += len(found.open_shards)
            on_demand += found.mode == StreamMode.ON_DEMAND
        return answer(ShardLimit=65536, OpenShardCount=shards, OnDemandStreamCount=on_demand,
                      OnDemandStreamCountLimit=65536)

    # ---- shards ----

    @action
    def list_shards(self, *, StreamName: Optional[str] = None, StreamARN: Optional[str] = None,
                    NextToken: Optional[str] = None, ExclusiveStartShardId: Optional[str] = None,
                    MaxResults: Optional[int] = None, StreamCreationTimestamp: Any = None,
                    ShardFilter: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """Shards, at most 1,000 in a page."""
        after, made = -1, None
        if NextToken is not None:
            for other, given in (("StreamName", StreamName), ("StreamARN", StreamARN),
                                 ("ExclusiveStartShardId", ExclusiveStartShardId),
                                 ("StreamCreationTimestamp", StreamCreationTimestamp)):
                if given is not None:
                    raise invalid("NextToken and %s cannot be provided together." % other)
            name, made, after, ShardFilter = self._token("shards", NextToken)
        elif StreamName is None and StreamARN is None:
            raise invalid("Either NextToken or StreamName should be provided.")
        else:
            name = self._name(StreamName, StreamARN)
            if ExclusiveStartShardId is not None:
                start = numbers.parse_shard_id(ExclusiveStartShardId)
                if start is None:
                    raise invalid("Invalid ExclusiveStartShardId %s" % ExclusiveStartShardId)
                after = start

        def listing(opened: Opened) -> Dict[str, Any]:
            self._check_made(opened, made)
            shown = (s for s in self._filtered(opened, ShardFilter) if s.shard > after)
            shards, has_more = page_of(shown, min(MaxResults or 1000, 1000))
            members: Dict[str, Any] = {"Shards": [self._shard_shape(opened, shard) for shard in shards]}
            if has_more:
                kept = ShardFilter and {**ShardFilter}
                if kept and kept.get("Timestamp") is not None:
                    kept["Timestamp"] = self._time_us(kept["Timestamp"]) / 1_000_000
                members["NextToken"] = tokens.make("shards", self._now_ms(), [name, opened.id, shards[-1].shard,
                                                                                 kept])
            return answer(**members)

        return dict(self._with(name, listing))

    def _time_us(self, given: Any) -> int:
        return int(self._timestamp_us(given))  # type: ignore[attr-defined]

    def _filtered(self, opened: Opened, shard_filter: Optional[Dict[str, Any]]) -> Any:
        if shard_filter is None:
            return opened.stream.shards()
        kind: str = shard_filter["Type"]
        timestamp_us = after = 0
        if kind in ("AT_TIMESTAMP", "FROM_TIMESTAMP"):
            if shard_filter.get("Timestamp") is None:
                raise invalid("Timestamp must be given with filter %s." % kind)
            timestamp_us = self._time_us(shard_filter["Timestamp"])
        if kind == "AFTER_SHARD_ID":
            found = numbers.parse_shard_id(shard_filter.get("ShardId") or "")
            if found is None:
                raise invalid("ShardId must be given with filter AFTER_SHARD_ID.")
            after = found
        return opened.stream.shards(ShardFilter[kind], timestamp_us=timestamp_us, after_shard=after)

    @action
    def split_shard(self, *, ShardToSplit: str, NewStartingHashKey: str, StreamName: Optional[str] = None,
                    StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Split an open shard at a hash key."""
        name = self._name(StreamName, StreamARN)

        def split(opened: Opened) -> Dict[str, Any]:
            self._check_active(name, opened)
            shard = self._open_shard(name, opened, ShardToSplit)
            key = numbers.parse_hash_key(NewStartingHashKey)
            if key is None or not shard.first_hash_key + 1 < key < shard.last_hash_key:
                raise invalid("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is "
                              "not both greater than one plus the shard's StartingHashKey %d and less than the shard's "
                              "EndingHashKey %d." % (NewStartingHashKey, shard.shard_id, name, self._account,
                                                     shard.first_hash_key, shard.last_hash_key))
            opened.stream.split(shard.shard, key)
            return answer()

        return dict(self._with(name, split))

    @action
    def merge_shards(self, *, ShardToMerge: str, AdjacentShardToMerge: str, StreamName: Optional[str] = None,
                     StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Merge two open shards whose hash keys follow one another."""
        name = self._name(StreamName, StreamARN)

        def merge(opened: Opened) -> Dict[str, Any]:
            self._check_active(name, opened)
            lower = self._open_shard(name, opened, ShardToMerge)
            upper = self._open_shard(name, opened, AdjacentShardToMerge)
            if lower.last_hash_key + 1 != upper.first_hash_key:
                raise invalid("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards "
                              "eligible for merging" % (lower.shard_id, upper.shard_id, name, self._account))
            opened.stream.merge(lower.shard, upper.shard)
            return answer()

        return dict(self._with(name, merge))

    def _check_active(self, name: str, opened: Opened) -> None:
        status = opened.stream.describe().status
        if status != StreamStatus.ACTIVE:
            raise Refusal("ResourceInUseException", "Stream %s under account %s not ACTIVE, instead in state %s"
                          % (name, self._account, status.name))

    def _open_shard(self, name: str, opened: Opened, text: str) -> Shard:
        index = numbers.parse_shard_id(text)
        if index is not None and all(shard.shard < index for shard in opened.stream.shards()):
            raise self._no_shard(name, shard_id(index))
        shard = self._shard(name, opened, text)
        if not shard.is_open:
            raise invalid("Shard %s in stream %s under account %s has already been merged or split, and thus is not "
                          "eligible for merging or splitting." % (shard.shard_id, name, self._account))
        return shard

    @action
    def update_shard_count(self, *, TargetShardCount: int, ScalingType: str, StreamName: Optional[str] = None,
                           StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Split and merge until there are so many open shards of equal width."""
        name = self._name(StreamName, StreamARN)

        def scale(opened: Opened) -> Dict[str, Any]:
            before = len(opened.stream.describe().open_shards)
            opened.stream.update_shard_count(TargetShardCount, kinesis_limits=True)
            return answer(StreamName=name, StreamARN=self._arn(name), CurrentShardCount=before,
                          TargetShardCount=TargetShardCount)

        return dict(self._with(name, scale))

    # ---- settings ----

    def _change(self, StreamName: Optional[str], StreamARN: Optional[str], work: Any) -> Dict[str, Any]:
        def change(opened: Opened) -> Dict[str, Any]:
            work(opened.stream)
            return answer()

        return dict(self._with(self._name(StreamName, StreamARN), change))

    def _retention(self, name: str, hours: int, longer: bool) -> Dict[str, Any]:
        if hours < _RETENTION_LEAST:
            raise invalid("Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too "
                          "short." % (_RETENTION_LEAST, hours))
        if hours > _RETENTION_MAX:
            raise invalid("Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too "
                          "long." % (_RETENTION_MAX, hours))

        def change(stream: Any) -> None:
            now = stream.describe().retention_hours
            if hours != now and longer != (hours > now):
                raise invalid("Requested retention period (%d hours) for stream %s can not be %s than existing "
                              "retention period (%d hours). Use %sRetentionPeriod API." % (
                                  hours, name, "shorter" if longer else "longer", now,
                                  "Decrease" if longer else "Increase"))
            (stream.increase_retention if longer else stream.decrease_retention)(hours)

        return self._change(name, None, change)

    @action
    def increase_stream_retention_period(self, *, RetentionPeriodHours: int, StreamName: Optional[str] = None,
                                         StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Keep records for longer."""
        return self._retention(self._name(StreamName, StreamARN), RetentionPeriodHours, True)

    @action
    def decrease_stream_retention_period(self, *, RetentionPeriodHours: int, StreamName: Optional[str] = None,
                                         StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Keep records for less long."""
        return self._retention(self._name(StreamName, StreamARN), RetentionPeriodHours, False)

    @action
    def update_stream_mode(self, *, StreamARN: str, StreamModeDetails: Dict[str, Any],
                           WarmThroughputMiBps: Optional[int] = None) -> Dict[str, Any]:
        """Set the capacity mode."""
        mode = _mode(StreamModeDetails, StreamMode.ON_DEMAND)
        _check_warm(mode, WarmThroughputMiBps)
        return self._change(None, StreamARN, lambda stream: stream.set_mode(mode))

    @action
    def update_max_record_size(self, *, MaxRecordSizeInKiB: int,
                               StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Set how large a record may be: 1024..10240 KiB."""
        return self._change(None, StreamARN, lambda stream: stream.set_record_bytes_max(MaxRecordSizeInKiB * 1024))

    @action
    def start_stream_encryption(self, *, EncryptionType: str, KeyId: str, StreamName: Optional[str] = None,
                                StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Encrypt what is put from now on, with the key that the store's `key` gives for KeyId."""
        return self._encrypt(StreamName, StreamARN, EncryptionType, lambda stream: stream.start_encryption(KeyId))

    @action
    def stop_stream_encryption(self, *, EncryptionType: str, KeyId: str, StreamName: Optional[str] = None,
                               StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Encrypt no more from now on."""
        return self._encrypt(StreamName, StreamARN, EncryptionType, lambda stream: stream.stop_encryption())

    def _encrypt(self, StreamName: Optional[str], StreamARN: Optional[str], kind: str, work: Any) -> Dict[str, Any]:
        name = self._name(StreamName, StreamARN)
        if kind != "KMS":
            raise invalid("EncryptionType must be KMS to start or stop encryption: it is %s." % kind)

        def change(opened: Opened) -> Dict[str, Any]:
            work(opened.stream)
            opened.ask_anew()
            return answer()

        return dict(self._with(name, change))

    # ---- tags ----

    @action
    def add_tags_to_stream(self, *, Tags: Dict[str, str], StreamName: Optional[str] = None,
                           StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Add tags; one replaces another of equal key."""
        return self._change(StreamName, StreamARN, lambda stream: stream.add_tags(Tags))

    @action
    def remove_tags_from_stream(self, *, TagKeys: List[str], StreamName: Optional[str] = None,
                                StreamARN: Optional[str] = None) -> Dict[str, Any]:
        """Remove tags; keys that are not there are ignored."""
        return self._change(StreamName, StreamARN, lambda stream: stream.remove_tags(TagKeys))

    @action
    def list_tags_for_stream(self, *, StreamName: Optional[str] = None, StreamARN: Optional[str] = None,
                             ExclusiveStartTagKey: Optional[str] = None,
                             Limit: Optional[int] = None) -> Dict[str, Any]:
        """The stream's tags, by key."""
        def listing(opened: Opened) -> Dict[str, Any]:
            tags = ({"Key": key, "Value": value} for key, value in opened.stream.tags().items()
                    if ExclusiveStartTagKey is None or key > ExclusiveStartTagKey)
            page, has_more = page_of(tags, Limit or 50)
            return answer(Tags=page, HasMoreTags=has_more)

        return dict(self._with(self._name(StreamName, StreamARN), listing))
