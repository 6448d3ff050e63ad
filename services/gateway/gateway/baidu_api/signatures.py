"""Calls signed with `bce-auth-v1` (V3 §1.6): what exactly was signed.

Pure; the registry, who has the secret, checks it.

The body is not part of what is signed, but its MD5 may be (Content-MD5: the Java SDK's hex, the RFC's base64).
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

from gateway.baidu_api.refusals import refused
from shared.codes import FaceCode

MAX_AGE_S: Final = 1_800
"""A signature may ask for less, never for more."""
MAX_AHEAD_S: Final = 300
"""A caller's clock may be this fast."""
MAX_CANONICAL: Final = 16_384
USUAL: Final = frozenset({"host", "content-length", "content-type", "content-md5"})
"""Signed, with all x-bce-* headers, where the call names none."""
_SHAPE: Final = re.compile(
    r"(bce-auth-v1/([0-9A-Za-z_-]{1,128})/([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)/([0-9]{1,9}))"
    r"/([0-9A-Za-z_;-]{0,1024})/([0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Signed:
    """What the registry needs to check a signature."""

    api_key: str
    prefix: str
    canonical: str
    signature: str
    content_md5: str = ""
    """what the body must come to, if that was signed"""

    def covers(self, body: bytes) -> bool:
        """Whether the body is the one that was signed; True if none was."""
        digest = hashlib.md5(body, usedforsecurity=False)  # the protocol's choice
        fits = (digest.hexdigest(), base64.b64encode(digest.digest()).decode(), "")
        return any(hmac.compare_digest(self.content_md5.encode(), fit.encode()) for fit in fits)


def is_signed(authorization: str) -> bool:
    """Whether the header means to be one of these."""
    return authorization.startswith("bce-auth-v1/")


def read(
    authorization: str,
    method: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    now: datetime,
) -> Signed:
    """The signed text of a call; `path` and `query` decoded, `headers` by lower-case name. Raises 14."""
    found = _SHAPE.fullmatch(authorization)
    if not found:
        raise refused(FaceCode.SIGNATURE_WRONG)
    prefix, api_key, made, seconds, named, signature = found.groups()
    _check_time(made, int(seconds), now)
    names = set(named.split(";")) if named else {name for name in headers if _is_usual(name)}
    canonical = "\n".join((method, quote(path), _query(query), _headers(names, headers)))
    if "host" not in names or len(canonical) > MAX_CANONICAL:
        raise refused(FaceCode.SIGNATURE_WRONG)
    content_md5 = headers["content-md5"].strip() if "content-md5" in names else ""
    return Signed(api_key, prefix, canonical, signature, content_md5)


def _check_time(made: str, seconds: int, now: datetime) -> None:
    try:
        at = datetime.strptime(made, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise refused(FaceCode.SIGNATURE_WRONG) from None
    if not -MAX_AHEAD_S <= (now - at).total_seconds() <= min(seconds, MAX_AGE_S):
        raise refused(FaceCode.SIGNATURE_WRONG)


def _is_usual(name: str) -> bool:
    return name in USUAL or name.startswith("x-bce-")


def _query(query: Sequence[tuple[str, str]]) -> str:
    # The Python SDK writes a blank as +, the others as %20; no call has blanks in its query.
    return "&".join(sorted(urlencode([pair], quote_via=quote, safe="") for pair in query if pair[0] != "authorization"))


def _headers(names: set[str], headers: Mapping[str, str]) -> str:
    """Raises 14 when a header that was signed is not there."""
    missing = [name for name in names if name not in headers]
    if missing:
        raise refused(FaceCode.SIGNATURE_WRONG)
    return "\n".join(sorted(f"{quote(name, '')}:{quote(headers[name].strip(), '')}" for name in names))
