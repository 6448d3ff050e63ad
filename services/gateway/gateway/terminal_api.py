"""`/faces/api/*` as seed 004 prints it. First slice: the token. Answers are HTTP 200 with the code in the body, as
clients of that API expect; only an outage (503) and a body without end (413) are also HTTP errors."""

import json
import string
import unicodedata
from collections.abc import Mapping
from typing import Final, Protocol

import structlog
from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from gateway.policies import open_to_all
from shared.bus import Bus
from shared.codes import DeviceCode
from shared.contracts.devices import IssuedToken, IssueToken
from shared.errors import DeviceRefused, Failed, RollcallError

MAX_BODY: Final = 65_536
MAX_FIELDS: Final = 32
LONGEST: Final = 64
"""characters of a device's name or serial number: see shared.contracts.devices"""

log = structlog.get_logger("terminal_api")


class AsksTheHub(Protocol):
    """What these routes need of the gateway."""

    @property
    def bus(self) -> Bus: ...


class BodyTooLong(DeviceRefused):
    """More than MAX_BODY bytes were sent."""

    code = "device_body_too_long"


def terminal_api(gateway: AsksTheHub) -> APIRouter:
    """The routes. Open to all: the name and the serial number are what is checked."""
    router = APIRouter(prefix="/faces/api", dependencies=[Depends(open_to_all)])

    @router.post("/token")
    async def token(request: Request) -> Response:
        try:
            asked = wanted_token(await read_fields(request))
            issued = await gateway.bus.ask(asked)
        except RollcallError as error:
            return refusal("token", error)
        return JSONResponse(_token_answer(issued), headers=_PRIVATE)

    return router


def _token_answer(issued: IssuedToken) -> dict[str, object]:
    """The token as seed 004 prints it; or, for a terminal with a secret, the challenge that it must answer first."""
    if issued.challenge:
        message = "Device permission denied: answer the challenge"
        return {
            "flag": "token",
            "code": int(DeviceCode.PERMISSION_DENIED),
            "message": message,
            "challenge": issued.challenge,
        }
    return {"flag": "token", "code": int(DeviceCode.SUCCESS), "token": issued.token}


_PRIVATE: Final = {"cache-control": "no-store"}


def refusal(flag: str, error: RollcallError) -> Response:
    """An error in the form of seed 004."""
    code = error.number if isinstance(error, DeviceRefused) else int(DeviceCode.UNKNOWN_ERROR)
    status, headers = 200, dict(_PRIVATE)
    if isinstance(error, Failed):
        log.warning("no token", reason=str(error))
        status, headers["retry-after"] = 503, "5"
    elif isinstance(error, BodyTooLong):
        status = 413
    return JSONResponse({"flag": flag, "code": code, "message": error.en}, status, headers)


def wanted_token(fields: Mapping[str, object]) -> IssueToken:
    """The request in these fields. Raises DeviceRefused: 9002, 9005, 9003, in this order."""
    given = [fields.get("deviceName"), fields.get("sn")]
    if given == [None, None]:
        raise _refused(DeviceCode.POST_PARAMETERS_NEEDED, "请提交参数", "You need post parameters: deviceName, sn")
    name, sn = (_text(value) for value in given)
    if not name or not sn:
        missing = "deviceName" if not name else "sn"
        raise _refused(DeviceCode.INCOMPLETE_PARAMETERS, f"参数不完整: {missing}", f"Incomplete parameters: {missing}")
    if not (_is_name(name) and _is_serial(sn)):
        raise _malformed("Serial number or device name post error")
    challenge, answer = (_hex(fields.get(field)) for field in ("challenge", "answer"))
    return IssueToken(name=name, sn=sn, challenge=challenge, answer=answer)


def _hex(value: object) -> str:
    """A challenge or its answer. Raises DeviceRefused if it cannot be one."""
    text = _text(value)
    if len(text) > LONGEST or not all(char in string.hexdigits for char in text):
        raise _malformed("challenge and answer must be hexadecimal")
    return text


def _text(value: object) -> str:
    """A field's text, stripped; empty if it is missing. Raises DeviceRefused if it is no text."""
    if value is not None and not isinstance(value, str):
        raise _malformed("deviceName and sn must be text")
    return (value or "").strip()


def _is_name(text: str) -> bool:
    """Not too long, without control, format or surrogate characters (Unicode category C), and without the mark that
    stands for bytes which are no UTF-8."""
    return len(text) <= LONGEST and not any(
        char == "\ufffd" or unicodedata.category(char).startswith("C") for char in text
    )


def _is_serial(text: str) -> bool:
    return len(text) <= LONGEST and all("!" <= char <= "~" for char in text)


def _refused(number: DeviceCode, zh: str, en: str) -> DeviceRefused:
    return DeviceRefused(zh, en, number=int(number))


def _malformed(en: str) -> DeviceRefused:
    return _refused(DeviceCode.NAME_OR_SERIAL_WRONG, "序列号或设备名称有误", en)


async def read_fields(request: Request) -> Mapping[str, object]:
    """The fields of a form, multipart or JSON body of at most MAX_BODY bytes. Raises DeviceRefused."""
    body = await _read_body(request)
    if not body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        return _read_json(body)
    return await _read_form(request, body)


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BodyTooLong(
                "提交的内容过长", f"at most {MAX_BODY} bytes", number=int(DeviceCode.NAME_OR_SERIAL_WRONG)
            )
    return bytes(body)


def _read_json(body: bytes) -> Mapping[str, object]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise _malformed("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise _malformed("the body is not a JSON object")
    return fields


async def _read_form(request: Request, body: bytes) -> Mapping[str, object]:
    """Starlette's parser, fed with what was read within the limit."""

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    again = Request(request.scope, replay)
    try:
        async with again.form(max_files=MAX_FIELDS, max_fields=MAX_FIELDS, max_part_size=MAX_BODY) as form:
            return dict(form)
    except (HTTPException, MultiPartException, ValueError, LookupError):
        raise _malformed("the body is not a form") from None
