"""What the service itself asks of arguments before it looks at a stream: lengths, values, patterns and words, which
botocore leaves to it but for the least lengths. All that is wrong is told at once, up to ten."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from libstream.kinesis.errors import Refusal

_ERRORS_MAX = 10


class Rule(NamedTuple):
    """What a value has to be."""

    most: Optional[int] = None  #: length, or value
    pattern: Optional[str] = None  #: of the whole text
    words: Tuple[str, ...] = ()
    each: Optional["Rule"] = None  #: of a list
    members: Optional[Dict[str, "Rule"]] = None  #: of a structure
    is_tags: bool = False


_NAME = Rule(128, "[a-zA-Z0-9_.-]+")
_ARN = Rule(2048, r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+")
_HASH_KEY = Rule(pattern=r"0|([1-9]\d{0,38})")
_NUMBER = Rule(pattern=r"0|([1-9]\d{0,128})")
_START = Rule(words=("AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"))
_DATA, _KEY, _PAGE, _TAGS = Rule(10 << 20), Rule(256), Rule(10_000), Rule(200, is_tags=True)
_RULES: Dict[str, Rule] = {
    "AdjacentShardToMerge": _NAME,
    "ConsumerARN": Rule(2048, r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/"
                              r"[a-zA-Z0-9_.-]+:[0-9]+"),
    "ConsumerName": _NAME, "Data": _DATA, "EncryptionType": Rule(words=("KMS", "NONE")), "ExclusiveStartShardId": _NAME,
    "ExclusiveStartStreamName": _NAME, "ExclusiveStartTagKey": Rule(128), "ExplicitHashKey": _HASH_KEY,
    "KeyId": Rule(2048), "Limit": _PAGE, "MaxRecordSizeInKiB": Rule(10_240), "MaxResults": _PAGE,
    "MinimumThroughputBillingCommitment": Rule(members={"Status": Rule(words=("ENABLED", "DISABLED"))}),
    "NewStartingHashKey": _HASH_KEY, "NextToken": Rule(1 << 20), "PartitionKey": _KEY,
    "Records": Rule(500, each=Rule(members={"Data": _DATA, "ExplicitHashKey": _HASH_KEY, "PartitionKey": _KEY})),
    "ResourceARN": Rule(2048, r"arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+"),
    "ScalingType": Rule(words=("UNIFORM_SCALING",)), "SequenceNumberForOrdering": _NUMBER,
    "ShardFilter": Rule(members={"ShardId": _NAME, "Type": Rule(words=(
        "AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP"))}),
    "ShardId": _NAME, "ShardIterator": Rule(512), "ShardIteratorType": _START,
    "ShardLevelMetrics": Rule(7, each=Rule(words=(
        "IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords", "WriteProvisionedThroughputExceeded",
        "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds", "ALL"))),
    "ShardToMerge": _NAME, "ShardToSplit": _NAME,
    "StartingPosition": Rule(members={"SequenceNumber": _NUMBER, "Type": _START}),
    "StartingSequenceNumber": _NUMBER, "StreamARN": _ARN,
    "StreamModeDetails": Rule(members={"StreamMode": Rule(words=("PROVISIONED", "ON_DEMAND"))}), "StreamName": _NAME,
    "TagKeys": Rule(50, each=Rule(128)), "Tags": _TAGS,
}
_OF_OPERATION = {("ListTagsForStream", "Limit"): Rule(50)}
_NEED_A_TAG = ("AddTagsToStream", "TagResource")


def check(arguments: Dict[str, Any], operation: str) -> None:
    """Refuse with `ValidationException` what breaks a rule. Types are right, and texts are not empty."""
    found: List[str] = []
    for name, value in arguments.items():
        rule = _OF_OPERATION.get((operation, name)) or _RULES.get(name)
        if rule is not None:
            found.extend(_broken(value, rule, _path(name)))
        if name == "Tags" and not value and operation in _NEED_A_TAG:
            found.append(_said(value, "tags", "Member must have length greater than or equal to 1"))
    if found:
        raise Refusal("ValidationException", "%d validation error%s detected: %s" % (
            len(found), "" if len(found) == 1 else "s", "; ".join(found[:_ERRORS_MAX])))


def _path(name: str) -> str:
    return name[:1].lower() + name[1:]


def _said(value: Any, path: str, rule: str) -> str:
    shown = "[%d bytes]" % len(value) if isinstance(value, bytes) else \
        "[%d members]" % len(value) if isinstance(value, (list, tuple, dict)) else value
    return "Value '%s' at '%s' failed to satisfy constraint: %s" % (shown, path, rule)


def _broken(value: Any, rule: Rule, path: str) -> Iterator[str]:
    """The rules that a value breaks."""
    if rule.most is not None and (value if isinstance(value, int) else len(value)) > rule.most:
        yield _said(value, path, "Member must have %s less than or equal to %d" % (
            "value" if isinstance(value, int) else "length", rule.most))
    if rule.pattern is not None and re.fullmatch(rule.pattern, value, re.ASCII) is None:
        yield _said(value, path, "Member must satisfy regular expression pattern: " + rule.pattern)
    if rule.words and value not in rule.words:
        yield _said(value, path, "Member must satisfy enum value set: [%s]" % ", ".join(rule.words))
    if rule.each is not None:
        for index, item in enumerate(value):
            yield from _broken(item, rule.each, "%s.%d.member" % (path, index + 1))
    for name, one in (rule.members or {}).items():
        if value.get(name) is not None:
            yield from _broken(value[name], one, "%s.%s" % (path, _path(name)))
    if rule.is_tags:
        if any(len(key) > 128 for key in value):
            yield _said(value, path, "Map keys must satisfy constraint: [Member must have length less than or equal to "
                        "128, Member must have length greater than or equal to 1]")
        if any(len(text) > 256 for text in value.values()):
            yield _said(value, path, "Map value must satisfy constraint: [Member must have length less than or equal "
                        "to 256, Member must have length greater than or equal to 0]")
