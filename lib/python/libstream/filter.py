"""Filters: which records are wanted, in the language of AWS Lambda's event filters. A mapping has them by its
`filters`; here they are by themselves. `filter.h` has the language."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Dict, Iterable, Optional, Union

from libstream._handle import Handle
from libstream._native import ffi, lib
from libstream.batch import Record
from libstream.errors import check
from libstream.values import c_text, hash_key_to_c, options

if TYPE_CHECKING:
    from libstream.stream import Stream


class Filter(Handle):
    """Up to five patterns (`patterns_max`: ten at most), texts or objects, of which a record has to match one; without
    any, each matches. Patterns that ask for the sequence number need the `stream`; `event_source_arn`,
    `invoke_identity_arn` and `aws_region` are what events have besides. Any thread may use it; threads take turns.

    >>> store = Store("memory:")
    >>> stream = store.create_stream("orders")
    >>> stream.producer().put_many("k", [b'{"price": 7}', b'{"price": 700}']).failed
    0
    >>> dear = Filter([{"data": {"price": [{"numeric": [">", 100]}]}}])
    >>> [record.data for record in stream.iterator() if dear.matches(record)]
    [b'{"price": 700}']
    >>> store.close()
    """

    __slots__ = ("_turn",)

    _noun = "filter"
    _close_call = lib.ls_filter_close

    def __init__(self, patterns: Iterable[Union[str, Dict[str, Any]]], stream: Optional["Stream"] = None, *,
                 patterns_max: int = 0, event_source_arn: Optional[str] = None,
                 invoke_identity_arn: Optional[str] = None, aws_region: Optional[str] = None) -> None:
        texts = [ffi.new("char[]", c_text(p if isinstance(p, str) else json.dumps(p), "pattern")) for p in patterns]
        self._turn = threading.RLock()
        out = ffi.new("ls_filter **")
        named = {"event_source_arn": event_source_arn, "invoke_identity_arn": invoke_identity_arn,
                 "aws_region": aws_region}
        settings = options("ls_filter_options", patterns_max=patterns_max)
        kept = [ffi.new("char[]", c_text(text, "filter's text")) for text in named.values() if text is not None]
        for name, memory in zip((name for name, text in named.items() if text is not None), kept):
            setattr(settings, name, memory)
        given = ffi.new("const char *[]", texts)
        if stream is None:
            self._own(None, out, lib.ls_filter_open, given, len(texts), settings, out)
            return
        of = stream

        def open_for(pointer: Any) -> None:
            settings.stream = pointer
            self._own(None, out, lib.ls_filter_open, given, len(texts), settings, out)
            self._belong(of)

        of._gate.run(None, open_for)

    def matches(self, record: Record) -> bool:
        """Whether a record matches."""
        key, data = record.partition_key_bytes, ffi.from_buffer(record.view)
        made = ffi.new("ls_record *")
        made.partition_key, made.data = (ffi.from_buffer(key), len(key)), (data, len(data))
        made.seqno, made.arrival_us, made.shard = record.seqno, record.arrival_us, record.shard
        if record.explicit_hash_key is not None:
            made.explicit_hash_key = hash_key_to_c(record.explicit_hash_key)[0]
            made.flags = lib.LS_RECORD_EXPLICIT_HASH_KEY
        if record.sub_seqno is not None:
            made.flags |= lib.LS_RECORD_AGGREGATED
            made.sub_seqno, made.sub_count = record.sub_seqno, record.sub_count
        out = ffi.new("int32_t *")
        check(self._gate.run(self._turn, lib.ls_filter_matches, made, out))
        return bool(out[0])

    @property
    def not_json(self) -> int:
        """How many records did not match while their data, which a pattern asks for, was not JSON."""
        return int(self._gate.run(self._turn, lib.ls_filter_not_json))
