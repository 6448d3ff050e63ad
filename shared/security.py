"""Encryption at rest and signed tickets, from `cryptography` and the standard library."""

import base64
import hashlib
import hmac
import os
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12
"""bytes; NIST SP 800-38D §5.2.1.1"""


class WrongKey(Exception):
    """Data that this key did not encrypt, or that was altered."""


class Vault:
    """AES-256-GCM for photos and embeddings at rest; `key_id` is stored beside each so keys can be changed."""

    def __init__(self, key_hex: str) -> None:
        key = bytes.fromhex(key_hex)
        if len(key) != 32:
            raise ValueError("the library key must be 64 hex characters")
        self._aead = AESGCM(key)
        self.key_id = hashlib.sha256(b"rollcall key id" + key).hexdigest()[:8]

    def seal(self, plain: bytes, bound_to: str) -> bytes:
        """nonce + ciphertext + tag; `bound_to` says whose it is, so rows cannot be swapped."""
        nonce = os.urandom(NONCE)
        return nonce + self._aead.encrypt(nonce, plain, bound_to.encode())

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """The plain bytes; raises WrongKey."""
        try:
            return self._aead.decrypt(sealed[:NONCE], sealed[NONCE:], bound_to.encode())
        except (InvalidTag, ValueError):  # ValueError: shorter than a nonce
            raise WrongKey(f"cannot decrypt {bound_to.split(':')[0]}") from None


def face_token(key: bytes, image: bytes) -> str:
    """32 hex characters that stay the same for the same image in one app, and say nothing without the app's key.
    They name the image's largest face."""
    return hmac.new(key, image, hashlib.sha256).hexdigest()[:32]


def further_face_token(key: bytes, first: str, number: int) -> str:
    """The name of another face of the image whose largest one is named `first`; `number` 1 is the second largest."""
    return hmac.new(key, f"{first}#{number}".encode(), hashlib.sha256).hexdigest()[:32]


def make_ticket(secret: str, purpose: str, lifetime_s: int) -> str:
    """A stateless pass for one purpose, e.g. the hall's live wall; URL-safe text."""
    expires = int(time.time()) + lifetime_s
    return f"{expires}.{_mac(secret, purpose, expires)}"


def ticket_holds(secret: str, purpose: str, ticket: str) -> bool:
    """Whether the ticket was made for this purpose with this secret and is not over."""
    expires, _, mac = ticket.partition(".")
    if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
        return False
    return hmac.compare_digest(mac.encode(), _mac(secret, purpose, int(expires)).encode()) and (
        int(expires) > time.time()
    )


def _mac(secret: str, purpose: str, expires: int) -> str:
    digest = hmac.new(secret.encode(), f"{purpose}|{expires}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
