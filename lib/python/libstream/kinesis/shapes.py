"""What arguments are, as botocore checks it before the service is asked: what is missing or unknown, of another type,
too short or too small. A name means the same in all operations."""

from __future__ import annotations

import importlib
import math
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from libstream.kinesis.errors import ParamValidationError


class Shape(NamedTuple):
    """What a value is."""

    types: Tuple[type, ...]
    least: Optional[int] = None  #: length, or value
    members: Optional[Dict[str, Any]] = None  #: of a structure
    needed: Tuple[str, ...] = ()  #: of them
    each: Any = None  #: of a list, or a map's values
    valid: Optional[str] = None  #: how the types are told, where not by themselves


_TEXT, _NAME = Shape((str,)), Shape((str,), 1)
_COUNT = Shape((int,), 1)
_BLOB = Shape((bytes, bytearray, memoryview, str), valid="%s, %s, file-like object" % (bytes, bytearray))
_TIME = Shape((datetime, int, float, str), valid="<class 'datetime.datetime'>, timestamp-string")
_SHAPES: Dict[str, Shape] = {
    "AdjacentShardToMerge": _NAME, "ConsumerARN": _NAME, "ConsumerName": _NAME, "Data": _BLOB, "EncryptionType": _TEXT,
    "EnforceConsumerDeletion": Shape((bool,)), "ExclusiveStartShardId": _NAME, "ExclusiveStartStreamName": _NAME,
    "ExclusiveStartTagKey": _NAME, "ExplicitHashKey": _TEXT, "KeyId": _NAME, "Limit": _COUNT,
    "MaxRecordSizeInKiB": Shape((int,), 1024), "MaxResults": _COUNT,
    "MinimumThroughputBillingCommitment": Shape((dict,), members={"Status": _TEXT}, needed=("Status",)),
    "NewStartingHashKey": _TEXT, "NextToken": _NAME, "PartitionKey": _NAME, "Policy": _TEXT,
    "Records": Shape((list, tuple), 1, each=Shape(
        (dict,), members={"Data": _BLOB, "ExplicitHashKey": _TEXT, "PartitionKey": _NAME},
        needed=("Data", "PartitionKey"))),
    "ResourceARN": _NAME, "RetentionPeriodHours": Shape((int,)), "ScalingType": _TEXT,
    "SequenceNumberForOrdering": _TEXT, "ShardCount": _COUNT,
    "ShardFilter": Shape((dict,), members={"ShardId": _NAME, "Timestamp": _TIME, "Type": _TEXT}, needed=("Type",)),
    "ShardId": _NAME, "ShardIterator": _NAME, "ShardIteratorType": _TEXT,
    "ShardLevelMetrics": Shape((list, tuple), 1, each=_TEXT), "ShardToMerge": _NAME, "ShardToSplit": _NAME,
    "StartingPosition": Shape((dict,), members={"SequenceNumber": _TEXT, "Timestamp": _TIME, "Type": _TEXT},
                              needed=("Type",)),
    "StartingSequenceNumber": _TEXT, "StreamARN": _NAME, "StreamCreationTimestamp": _TIME, "StreamId": _NAME,
    "StreamModeDetails": Shape((dict,), members={"StreamMode": _TEXT}, needed=("StreamMode",)), "StreamName": _NAME,
    "TagKeys": Shape((list, tuple), 1, each=_NAME), "Tags": Shape((dict,), each=_TEXT), "TargetShardCount": _COUNT,
    "Timestamp": _TIME, "WarmThroughputMiBps": Shape((int,), 0),
}


def time_of(text: str) -> Any:
    """What a text says of a time: seconds, or a `datetime`. `ValueError` when it is none. What botocore leaves to
    dateutil is left to it where that is installed; without it dates of ISO 8601, as Python knows it, and of mail.

    >>> time_of("2026-11-22T12:00:00Z").isoformat(), time_of("17.5")
    ('2026-11-22T12:00:00+00:00', 17.5)
    >>> time_of("Sat, 21 Nov 2026 00:00:00 GMT").isoformat()
    '2026-11-21T00:00:00+00:00'
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):
        pass
    try:
        return importlib.import_module("dateutil.parser").parse(text)
    except (ImportError, OverflowError, TypeError) as error:
        raise ValueError("%r is no time" % text) from error


def blob(data: Any) -> bytes:
    """What botocore takes for one. A file is read, which cannot be done twice."""
    if isinstance(data, str):
        return data.encode()
    return bytes(data) if not hasattr(data, "read") else blob(data.read())


def read_files(arguments: Dict[str, Any]) -> None:
    """Put what files have into their places: the call may be tried again, and its caller's own records stay as they
    are."""
    if "Data" in arguments:
        arguments["Data"] = blob(arguments["Data"])
    if "Records" in arguments:
        arguments["Records"] = [{**record, "Data": blob(record["Data"])} for record in arguments["Records"]]


def _is_of(value: Any, shape: Shape) -> bool:
    if shape is _BLOB and hasattr(value, "read"):
        return True
    if shape is _TIME and isinstance(value, (str, float)):
        try:
            found = time_of(value) if isinstance(value, str) else value
        except ValueError:
            return False
        return not isinstance(found, float) or math.isfinite(found)
    return isinstance(value, shape.types)


def _is_text(value: str) -> bool:
    try:
        value.encode()
        return True
    except UnicodeEncodeError:
        return False


def check(arguments: Dict[str, Any], known: List[str], needed: List[str]) -> None:
    """Raise `ParamValidationError` with everything that is wrong."""
    report: List[str] = []
    _members(arguments, {name: _SHAPES[name] for name in known}, needed, "", report)
    if report:
        raise ParamValidationError(report="\n".join(report))


def _members(given: Dict[str, Any], known: Dict[str, Shape], needed: Any, path: str, report: List[str]) -> None:
    for name in needed:
        if name not in given:
            report.append('Missing required parameter in %s: "%s"' % (path or "input", name))
    for name, value in given.items():
        if name in known:
            _value(value, known[name], "%s.%s" % (path, name) if path else name, report)
        else:
            report.append('Unknown parameter in %s: "%s", must be one of: %s' % (path or "input", name,
                                                                                 ", ".join(known)))


def _value(value: Any, shape: Shape, path: str, report: List[str]) -> None:
    if not _is_of(value, shape):
        report.append("Invalid type for parameter %s, value: %s, type: %s, valid types: %s" % (
            path, value, type(value), shape.valid or ", ".join(map(str, shape.types))))
        return
    if isinstance(value, str) and not _is_text(value):
        report.append("Invalid text for parameter %s, value: %s: half of a surrogate pair is no character" % (
            path, ascii(value)))
        return
    if shape.least is not None:
        is_number = shape.types == (int,)
        size = value if is_number else len(value)
        if size < shape.least:
            kind = "value" if is_number else "length"
            report.append("Invalid %s for parameter %s, value: %s, valid min %s: %d" % (
                kind, path, size, kind, shape.least))
    if shape.members is not None:
        _members(value, shape.members, shape.needed, path, report)
    elif shape.types == (dict,):
        for key, item in value.items():
            _value(key, _NAME, "%s (key: %s)" % (path, key), report)
            _value(item, shape.each, "%s.%s" % (path, key), report)
    elif shape.each is not None:
        for index, item in enumerate(value):
            _value(item, shape.each, "%s[%d]" % (path, index), report)
