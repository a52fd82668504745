"""Texts that are handed out and come back: shard iterators, and tokens for the next page.

They say everything themselves, so they outlive the process that gave them, and can be used any number of times; they
end 300 seconds after they were given. A sum tells a text that was changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any, Optional

LIFE_MS = 300_000
_MARK = bytes(7) + b"\x01"


def _sum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8, person=b"libstream").digest()


def make(kind: str, issued_ms: int, value: Any) -> str:
    """A text of some kind.

    >>> read("x", make("x", 17, ["a", 1]))
    (17, ['a', 1])
    """
    body = json.dumps([kind, issued_ms, value], separators=(",", ":")).encode()
    body += b" " * (-(len(body) + 8) % 16)  # Of the service's, all sizes are multiples of 16.
    return base64.b64encode(_MARK + _sum(body) + body).decode()


def read(kind: str, text: str) -> Optional[Any]:
    """When it was given and what it says; None when it is no text of this kind."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if raw[:8] != _MARK or _sum(raw[16:]) != raw[8:16]:
        return None
    found, issued_ms, value = json.loads(raw[16:])
    return (issued_ms, value) if found == kind else None
