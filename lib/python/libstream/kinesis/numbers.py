"""Kinesis's texts: sequence numbers of 56 digits, shard ids, hash keys, ARNs.

A sequence number is one number of 47 hexadecimal digits, from the left: 2; the second in which the shard was created, 9
digits; the low one of the shard's index; the library's own number, 16; two zeros; the second of the record, 9; the
shard's index, 8; 2. So nothing needs to be remembered, in either direction.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

_CREATED_END = 16025175000
END = 0x7FFFFFFFFFFFFFFF  #: the number at which a closed shard ends


class Fields(NamedTuple):
    """What is in a sequence number."""

    shard: int
    seqno: int
    created_seconds: int
    record_seconds: int


def _clamp(seconds: int, most: int) -> int:
    return min(max(seconds, 0), most)


def to_text(shard: int, seqno: int, created_seconds: int, record_seconds: int) -> str:
    """The text of a number.

    >>> to_text(17, 1, 1700000000, 1700000005)
    '49646437577130777162115407028968674069677693010553340178'
    """
    return str(2 << 184 | _clamp(created_seconds, _CREATED_END - 1) << 148 | (shard & 15) << 144 | seqno << 80
               | _clamp(record_seconds, (1 << 36) - 1) << 36 | shard << 4 | 2)


def from_text(text: str) -> Optional[Fields]:
    """What is in a text; None when it is none of Kinesis's numbers.

    >>> from_text("49646437577130777162115407028968674069677693010553340178")
    Fields(shard=17, seqno=1, created_seconds=1700000000, record_seconds=1700000005)
    """
    if not re.fullmatch(r"[1-9][0-9]{55}", text):
        return None
    number = int(text)
    fields = Fields(number >> 4 & 0xFFFFFFFF, number >> 80 & (1 << 64) - 1, number >> 148 & (1 << 36) - 1,
                    number >> 36 & (1 << 36) - 1)
    right = fields.created_seconds < _CREATED_END and fields.seqno <= END and to_text(*fields) == text
    return fields if right else None


def parse_shard_id(text: str) -> Optional[int]:
    """The index that is meant, read as leniently as the service does: what follows the first '-', or all of it.

    >>> parse_shard_id("shardId-000000000005"), parse_shard_id("5"), parse_shard_id("shardId-x")
    (5, 5, None)
    """
    digits = text.split("-", 1)[-1]
    return int(digits) if re.fullmatch(r"[0-9]+", digits) and int(digits) <= 0x7FFFFFFF else None


def parse_hash_key(text: str) -> Optional[int]:
    """The number of a hash key; None when it is none below 2**128."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,38}", text) or int(text) >> 128:
        return None
    return int(text)
