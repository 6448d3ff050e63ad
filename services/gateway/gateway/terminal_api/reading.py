"""What was posted, whatever its form: fields and files of a form, a multipart form or a JSON object."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from gateway.body_limit import MAX_BODY
from gateway.origin import client_address
from gateway.terminal_api.refusals import refused
from shared.codes import DeviceCode
from shared.errors import DeviceRefused

MAX_FIELDS: Final = 32
SMALL: Final = 65_536
"""bytes of a body without a picture"""
LARGE: Final = MAX_BODY
"""bytes of one with: 10 MB are 13.4 MB of base64"""
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
JSON: Final = "application/json"
FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Sent:
    """The parameters of one call. `fields` are text, or what JSON has besides; null counts as not sent. `bearer` is
    the token of the Authorization header, `base` the address that the terminal called, with a slash at its end,
    `address` the one that it calls from."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    bearer: str = ""
    base: str = ""
    address: str = ""

    @property
    def names(self) -> frozenset[str]:
        """Of all that was sent."""
        return frozenset(self.fields) | frozenset(self.files)


async def read(request: Request, limit: int) -> Sent:
    """A body of at most `limit` bytes. Raises DeviceRefused: 2 (a parameter twice), 9, 9115."""
    body = await _body(request, limit)
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    caller = (bearer, str(request.base_url), client_address(request))
    if not body or kind not in (JSON, *FORMS):
        return Sent({}, {}, *caller)
    if kind == JSON:
        return Sent(_json(body), {}, *caller)
    fields, files = await _form(request, body, limit)
    return Sent(fields, files, *caller)


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise refused(DeviceCode.BUFFER_OVERFLOW, "提交的内容过长", f"this call takes at most {limit} bytes")
    return bytes(body)


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        sent = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise _unreadable("the body is not JSON") from None
    if not isinstance(sent, dict):
        raise _unreadable("the body is not a JSON object")
    return {name: value for name, value in sent.items() if value is not None}


async def _form(request: Request, body: bytes, limit: int) -> tuple[Mapping[str, str], Mapping[str, bytes]]:
    """Starlette's parser, fed with what was read within the limit."""

    if "multipart" not in request.headers["content-type"].lower():  # names typed as they are, not as %E4%B8%9C
        body = _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], body)

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    again = Request(request.scope, replay)
    try:
        async with again.form(max_files=MAX_FIELDS, max_fields=MAX_FIELDS, max_part_size=limit) as form:
            parts = _once(form.multi_items())
            files = {name: await part.read() for name, part in parts.items() if isinstance(part, UploadFile)}
    except (HTTPException, MultiPartException, ValueError, LookupError):
        raise _unreadable("the body is not a form") from None
    return {name: part for name, part in parts.items() if isinstance(part, str)}, files


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises DeviceRefused for a name that comes twice: whichever was meant, the other would be lost in silence."""
    found = dict(items)
    if len(found) < len(items):
        raise refused(DeviceCode.INVALID_PARAMETER, "参数重复", "a parameter was sent twice")
    return found


def _unreadable(en: str) -> DeviceRefused:
    return refused(DeviceCode.BODY_UNREADABLE, "无法读取提交的内容", en)
