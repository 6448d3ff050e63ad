"""Challenges that a terminal answers with its secret, and proofs of the moment, for one that knows our time: they spare
a fleet that comes back one of its two requests. Stateless and pure: any hub can check what another one issued.

A challenge is 56 hex characters: when it expires (4 bytes), 12 random bytes, and 12 bytes of HMAC-SHA256 over both
with the hubs' own secret. The answer is HMAC-SHA256(the terminal's secret as text, the challenge as text), in hex. An
answer that somebody overheard opens the door for CHALLENGE_S at most, and only to a token of that terminal.

A proof of the moment is HMAC-SHA512(the terminal's secret as text, Unix milliseconds as text), in hex, and holds for
as long. Another hash than the challenges', so that nobody gets one for a moment to come by asking it as a challenge.
"""

import hashlib
import hmac
import secrets
import struct

CHALLENGE_S = 60
"""a terminal on a slow line has this long to answer, in seconds"""
MOMENT_S = CHALLENGE_S / 2
"""how far the time of a proof of the moment may be from ours, either way, in seconds"""
_EXPIRES = struct.Struct(">I")
LONGEST_MOMENT = 16
"""digits"""
_NONCE, _TAG = 12, 12
_PURPOSE = b"rollcall terminal challenge"


def issue(hub_secret: bytes, now: float) -> str:
    """A challenge that holds for CHALLENGE_S."""
    body = _EXPIRES.pack(int(now) + CHALLENGE_S) + secrets.token_bytes(_NONCE)
    return (body + _tag(hub_secret, body)).hex()


def answered(hub_secret: bytes, device_secret: bytes, challenge: str, answer: str, now: float) -> bool:
    """Whether the challenge is ours and still holds, and the answer is the device's."""
    if not device_secret or not holds(hub_secret, challenge, now):
        return False
    right = answer_to(device_secret, challenge)
    return hmac.compare_digest(right.encode(), answer.lower().encode())


def answer_to(device_secret: bytes, challenge: str) -> str:
    """What the terminal says: 64 hex characters."""
    return hmac.new(device_secret, challenge.encode(), hashlib.sha256).hexdigest()


def proves(device_secret: bytes, at_ms: str, proof: str) -> bool:
    """Whether the device proved that it knows its secret at that moment; whether that is this one, `is_now` says."""
    right = proof_at(device_secret, at_ms)
    return bool(device_secret) and hmac.compare_digest(right.encode(), proof.lower().encode())


def proof_at(device_secret: bytes, at_ms: str) -> str:
    """What the terminal says: 128 hex characters."""
    return hmac.new(device_secret, at_ms.encode(), hashlib.sha512).hexdigest()


def is_now(at_ms: str, now: float) -> bool:
    """Whether these Unix milliseconds are within MOMENT_S of `now`, Unix seconds."""
    plain = at_ms.isascii() and at_ms.isdecimal() and len(at_ms) <= LONGEST_MOMENT
    return plain and abs(int(at_ms) / 1e3 - now) <= MOMENT_S


def holds(hub_secret: bytes, challenge: str, now: float) -> bool:
    """Whether one of these hubs issued it, less than CHALLENGE_S ago."""
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
