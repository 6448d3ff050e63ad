"""Terminals' tokens: 40 hex characters as seed 004 prints them. Pure; the time and the dice are arguments.

    4 bytes device id | 4 bytes expiry, Unix seconds | 4 bytes nonce | 8 bytes HMAC-SHA256 over the twelve, truncated

The nonce makes two tokens of one device two, so that each can be used up by itself (device_hub/spent.py); among the n
tokens that a device gets in one second two are equal with odds of n²/2³³, and then one of them is refused.

40 characters leave 64 bits for the tag: NIST SP 800-107 rev. 1 §5.3 lets a tag be cut to its leftmost bits and asks for
64 where guesses cannot be tried offline. Here they cannot: only a hub knows the secret. Whoever asks the hubs 10,000
times a second finds a good token every 58 million years.

Nothing else is in a token, so any hub checks any hub's token without asking anybody. It cannot be taken back: whoever
checks it must also look whether the device is still authorised, and device ids must never be used a second time.
"""

import hashlib
import hmac
import re
import struct
from dataclasses import dataclass

TOKEN = re.compile(r"[0-9a-f]{40}")
NONCE = 4
"""bytes"""
_PURPOSE = b"rollcall terminal token 2\0"
_CLAIMS = struct.Struct(f">II{NONCE}s")
_TAG = 8


class BadToken(Exception):
    """Not a token of ours. The message says why; it never quotes the token."""


class Expired(BadToken):
    """It was one, and its time is over."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    device_id: int
    expires: int
    nonce: bytes

    @property
    def name(self) -> str:
        """24 hex characters that stand for this token and are no token."""
        return _packed(self).hex()


def issue(secret: bytes, claims: Claims) -> str:
    """The token that says this."""
    packed = _packed(claims)
    return (packed + _tag(secret, packed)).hex()


def read(secret: bytes, token: str, now: float) -> Claims:
    """What the token says; raises BadToken if it was forged or altered, Expired."""
    if not TOKEN.fullmatch(token):
        raise BadToken("not 40 hex characters")
    raw = bytes.fromhex(token)
    packed, tag = raw[: _CLAIMS.size], raw[_CLAIMS.size :]
    if not hmac.compare_digest(tag, _tag(secret, packed)):
        raise BadToken("not issued here")
    claims = Claims(*_CLAIMS.unpack(packed))
    if claims.expires <= now:
        raise Expired("expired")
    return claims


def _packed(claims: Claims) -> bytes:
    return _CLAIMS.pack(claims.device_id, claims.expires, claims.nonce)


def _tag(secret: bytes, packed: bytes) -> bytes:
    return hmac.new(secret, _PURPOSE + packed, hashlib.sha256).digest()[:_TAG]
