"""Terminals' tokens: stateless, 40 hex characters as seed 004 prints them. Pure; the time is an argument.

    4 bytes device id | 4 bytes expiry, Unix seconds | 12 bytes HMAC-SHA256 over both, truncated

The first 96 bits of an HMAC-SHA256 are a sound tag: NIST SP 800-107 rev. 1 §5.3 lets a tag be cut to its leftmost
bits and asks for 64 or more where guesses cannot be tried offline; 40 characters leave room for 96. Nothing else is
in a token, so any hub checks any hub's token without asking anybody. It cannot be taken back: whoever checks it
must also look whether the device is still authorised, and device ids must never be used a second time.
"""

import hashlib
import hmac
import re
import struct
from dataclasses import dataclass

TOKEN = re.compile(r"[0-9a-f]{40}")
_PURPOSE = b"rollcall terminal token 1\0"
_CLAIMS = struct.Struct(">II")
_TAG = 12


class BadToken(Exception):
    """Not a token of ours, or its time is over. The message says which; it never quotes the token."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    device_id: int
    expires: int


def issue(secret: bytes, device_id: int, expires: int) -> str:
    """A token for the device, good until `expires` (Unix seconds)."""
    claims = _CLAIMS.pack(device_id, expires)
    return (claims + _tag(secret, claims)).hex()


def read(secret: bytes, token: str, now: float) -> Claims:
    """What the token says; raises BadToken if it was forged, altered or has expired."""
    if not TOKEN.fullmatch(token):
        raise BadToken("not 40 hex characters")
    raw = bytes.fromhex(token)
    claims, tag = raw[: _CLAIMS.size], raw[_CLAIMS.size :]
    if not hmac.compare_digest(tag, _tag(secret, claims)):
        raise BadToken("not issued here")
    device_id, expires = _CLAIMS.unpack(claims)
    if expires <= now:
        raise BadToken("expired")
    return Claims(device_id, expires)


def _tag(secret: bytes, claims: bytes) -> bytes:
    return hmac.new(secret, _PURPOSE + claims, hashlib.sha256).digest()[:_TAG]
