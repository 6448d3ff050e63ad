"""`/faces/api/*`: a call is its path, its flag, its parameters and what answers it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from fastapi import APIRouter, Depends
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway.decoding import Decoding
from gateway.policies import open_to_all, shows_a_token
from gateway.settings import GatewaySettings
from gateway.terminal_api import parameters
from gateway.terminal_api.callers import Callers
from gateway.terminal_api.faces import Enrols, Faces
from gateway.terminal_api.feedback import Feedback
from gateway.terminal_api.looking import Looking, LooksOnce, Room
from gateway.terminal_api.reading import LARGE, SMALL, Sent, read
from gateway.terminal_api.refusals import STATUSES, Status, code_of
from shared.bus import Bus
from shared.codes import DeviceCode
from shared.errors import Failed, Internal, NotFound, RollcallError

PREFIX: Final = "/faces/api"
PRIVATE: Final = {"cache-control": "no-store"}

log = structlog.get_logger("terminal_api")


class Host(Protocol):
    """What these routes need of the gateway."""

    @property
    def bus(self) -> Bus: ...
    @property
    def frames(self) -> LooksOnce: ...
    @property
    def decoding(self) -> Decoding: ...
    @property
    def recognition(self) -> Enrols: ...
    @property
    def settings(self) -> GatewaySettings: ...


@dataclass(frozen=True, slots=True)
class Call:
    """`takes` are its parameters besides those that say who calls; `limit`: bytes of its body."""

    path: str
    flag: str
    answer: Callable[[Sent], Awaitable[dict[str, Any]]]
    takes: tuple[str, ...] = ()
    limit: int = SMALL


def calls(callers: Callers, looking: Looking, faces: Faces, feedback: Feedback) -> tuple[Call, ...]:
    """Seed 004's, spelled as it spells them; the two that it misspells also by their right names."""
    in_box = ("image", *parameters.BOX)
    registered = ("username", "faceName", "picBase64", "faceData", "className", "gender")
    reported = ("faceName", "time", "seq")
    return (
        Call("/token", "token", callers.issue, ("challenge", "answer")),
        Call("/faceDetect", "facedetect", looking.detect, ("image",), LARGE),
        Call("/faceAge", "faceage", looking.age, in_box, LARGE),
        Call("/faceGender", "facegender", looking.gender, in_box, LARGE),
        Call("/faceFeature", "facefeature", looking.feature, in_box, LARGE),
        Call("/faceRecognize", "facerecognize", looking.recognize, ("pending", "original")),
        Call("/getDbs", "getDbs", faces.listed, ("since", "limit")),
        Call("/regFace", "regFace", faces.register, registered, LARGE),
        Call("/clinetFeedback", "clinetfeedback", feedback.report, reported),
        Call("/clientFeedback", "clientfeedback", feedback.report, reported),
        Call("/clinetWebResult", "clinetwebresult", feedback.last),
        Call("/clientWebResult", "clientwebresult", feedback.last),
    )


def terminal_api(gateway: Host) -> APIRouter:
    """The routes."""
    callers, room, settings = Callers(gateway.bus), Room(), gateway.settings
    faces = Faces(
        gateway.bus,
        callers,
        gateway.recognition,
        room,
        settings.secret.get_secret_value(),
        settings.terminal_class,
        settings.terminal_gender,
    )
    router = APIRouter(prefix=PREFIX)
    looking = Looking(callers, gateway.frames, room, gateway.decoding)
    for call in calls(callers, looking, faces, Feedback(gateway.bus, callers)):
        policy = open_to_all if call.flag == "token" else shows_a_token
        router.add_api_route(call.path, _answering(call), methods=["POST"], dependencies=[Depends(policy)])

    @router.get("/photo/{device_id}/{student_id}", dependencies=[Depends(shows_a_token)])
    async def photo(device_id: int, student_id: int, ticket: str = "") -> Response:
        try:
            return Response(await faces.photo(device_id, student_id, ticket), 200, PRIVATE, "image/jpeg")
        except RollcallError as error:
            status = 404 if isinstance(error, NotFound) else STATUSES.get(code_of(error), Status(403)).number
            return refusal("photo", error, status)

    return router


def _answering(call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            sent = await read(request, call.limit)
            parameters.check_names(sent, {*parameters.WHO, *call.takes})
            content = await call.answer(sent)
        except RollcallError as error:
            return refusal(call.flag, error)
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("call failed", call=call.flag)
            return refusal(call.flag, Internal("内部错误", "internal error"))
        return JSONResponse({"flag": call.flag, "code": int(DeviceCode.SUCCESS), **content}, headers=PRIVATE)

    return answer


def refusal(flag: str, error: RollcallError, http: int = 0) -> Response:
    """An error in the form of seed 004; `http` is HTTP's word where the code has none of its own."""
    code = code_of(error)
    status = STATUSES.get(code, Status(http or 200))
    if isinstance(error, Failed):
        log.warning("not answered", call=flag, reason=str(error))
    headers = {**PRIVATE, "retry-after": str(status.retry_after_s)} if status.retry_after_s else PRIVATE
    return JSONResponse({"flag": flag, "code": int(code), "message": error.en}, status.number, headers)
