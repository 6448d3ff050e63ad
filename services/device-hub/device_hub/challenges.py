"""Challenges that a terminal answers with its secret. Stateless and pure: any hub can check what another one issued.

A challenge is 56 hex characters: when it expires (4 bytes), 12 random bytes, and 12 bytes of HMAC-SHA256 over both
with the hubs' own secret. The answer is HMAC-SHA256(the terminal's secret as text, the challenge as text), in hex. An
answer that somebody overheard opens the door for CHALLENGE_S at most, and only to a token of that terminal.
"""

import hashlib
import hmac
import secrets
import struct

CHALLENGE_S = 60
"""a terminal on a slow line has this long to answer, in seconds"""
_EXPIRES = struct.Struct(">I")
_NONCE, _TAG = 12, 12
_PURPOSE = b"rollcall terminal challenge"


def issue(hub_secret: bytes, now: float) -> str:
    """A challenge that holds for CHALLENGE_S."""
    body = _EXPIRES.pack(int(now) + CHALLENGE_S) + secrets.token_bytes(_NONCE)
    return (body + _tag(hub_secret, body)).hex()


def answered(hub_secret: bytes, device_secret: bytes, challenge: str, answer: str, now: float) -> bool:
    """Whether the challenge is ours and still holds, and the answer is the device's."""
    if not device_secret or not _ours(hub_secret, challenge, now):
        return False
    right = answer_to(device_secret, challenge)
    return hmac.compare_digest(right.encode(), answer.lower().encode())


def answer_to(device_secret: bytes, challenge: str) -> str:
    """What the terminal says: 64 hex characters."""
    return hmac.new(device_secret, challenge.encode(), hashlib.sha256).hexdigest()


def _ours(hub_secret: bytes, challenge: str, now: float) -> bool:
    try:
        raw = bytes.fromhex(challenge)
    except ValueError:
        return False
    body, tag = raw[:-_TAG], raw[-_TAG:]
    if len(body) != _EXPIRES.size + _NONCE or not hmac.compare_digest(tag, _tag(hub_secret, body)):
        return False
    (expires,) = _EXPIRES.unpack_from(body)
    return bool(expires > now)


def _tag(hub_secret: bytes, body: bytes) -> bytes:
    return hmac.new(hub_secret, _PURPOSE + body, hashlib.sha256).digest()[:_TAG]
