"""`/oauth/2.0/token` and `/rest/2.0/face/v3/*` (V3 §1.8 rows 1–16, §2). Answers are HTTP 200 with the code in the body:
Baidu's SDKs give up on anything else."""

import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway.baidu_api.face_api import FaceApi, OnFields, OnItems
from gateway.baidu_api.reading import Fields, read_fields, read_items
from gateway.baidu_api.refusals import LAST_GATEWAY_CODE, code_of, refused, text_of
from gateway.baidu_api.tokens import LIFETIME_S
from gateway.origin import client_address
from gateway.policies import key_holder, open_to_all
from gateway.site import TheSite
from gateway.throttle import TooFast
from shared.codes import FaceCode
from shared.contracts.library import App
from shared.errors import NotAllowed, RollcallError, Unavailable

log = structlog.get_logger("face_api")

PREFIX: Final = "/rest/2.0/face/v3"
SCOPE: Final = "public brain_all_scope"
"""Without brain_all_scope the Python SDK signs its calls instead of using the token (V3 §1.3)."""
UNKNOWN_KEY: Final = "unknown client id"
WRONG_SECRET: Final = "Client authentication failed"  # noqa: S105 - an answer

TheApp = Annotated[App, Depends(key_holder)]
Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class FaceRoute(APIRoute):
    """A route whose errors are answered in Baidu's form, those of its policy and of its body included."""

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except RollcallError as error:
                return _refusal(request, error)
            except ClientDisconnect:
                raise
            except Exception:
                log.exception("call failed", path=request.url.path)
                return envelope(FaceCode.UNKNOWN)

        return answered


def face_api(api: FaceApi) -> APIRouter:
    """The routes. An address that is none of them gets code 3."""
    router = APIRouter(route_class=FaceRoute)
    for path, call in api.on_fields.items():
        router.add_api_route(PREFIX + path, _with_fields(call), methods=["POST"])
    for path, call_items in api.on_items.items():
        router.add_api_route(PREFIX + path, _with_items(call_items), methods=["POST"])
    router.add_api_route("/oauth/2.0/token", token, methods=["GET", "POST"], dependencies=[Depends(open_to_all)])
    router.add_api_route(
        "/rest/2.0/{path:path}",
        unsupported,
        methods=["GET", "POST", "PUT", "DELETE", "PATCH"],
        dependencies=[Depends(open_to_all)],
    )
    return router


def _with_fields(call: OnFields) -> Callable[..., Awaitable[Response]]:
    async def answer(request: Request, app: TheApp) -> Response:
        return envelope(result=await call(app, read_fields(await request.body(), request.query_params)))

    return answer


def _with_items(call: OnItems) -> Callable[..., Awaitable[Response]]:
    async def answer(request: Request, app: TheApp) -> Response:
        return envelope(result=await call(app, read_items(await request.body(), request.query_params)))

    return answer


async def unsupported(request: Request) -> Response:
    """Any other address or method."""
    raise refused(FaceCode.UNSUPPORTED_METHOD)


async def token(request: Request, site: TheSite) -> Response:
    """An access token for a key. Wrong keys: 401, as OAuth has it (RFC 6749 §5.2)."""
    sent = read_fields(await request.body(), request.query_params)
    if sent.get("grant_type") != "client_credentials":
        return _oauth_error(400, "unsupported_grant_type", "The grant_type must be client_credentials")
    try:
        issued = await _issued(site.gateway.face_api, sent, client_address(request))
    except NotAllowed as error:
        return _oauth_error(401, "invalid_client", WRONG_SECRET if error.field == "secret_key" else UNKNOWN_KEY)
    except Unavailable:
        return _oauth_error(503, "temporarily_unavailable", "Try again", {"Retry-After": "1"})
    except TooFast as error:
        return _oauth_error(429, "slow_down", "Too many wrong keys", {"Retry-After": str(error.number)})
    return JSONResponse(
        {
            "access_token": issued,
            "expires_in": LIFETIME_S,
            "scope": SCOPE,
            "refresh_token": "",
            "session_key": "",
            "session_secret": "",
        }
    )


async def _issued(api: FaceApi, sent: Fields, address: str) -> str:
    api_key, secret_key = sent.get("client_id"), sent.get("client_secret")
    if not isinstance(api_key, str):
        raise NotAllowed("没有这个 API Key", UNKNOWN_KEY, field="api_key")
    if not isinstance(secret_key, str):
        raise NotAllowed("Secret Key 不对", WRONG_SECRET, field="secret_key")
    return await api.callers.issue(api_key.strip(), secret_key.strip(), address)


def _oauth_error(status: int, error: str, description: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status, headers)


def envelope(code: FaceCode | None = None, name: str = "", result: dict[str, Any] | None = None) -> Response:
    """Six keys; code and text alone for what Baidu's gateway says. `name` is the parameter at fault."""
    said = {"error_code": int(code or 0), "error_msg": text_of(code, name) if code else "SUCCESS"}
    if code and code <= LAST_GATEWAY_CODE:
        return JSONResponse(said)
    log_id = secrets.randbelow(2**53)  # what JavaScript can hold
    return JSONResponse({**said, "log_id": log_id, "timestamp": int(time.time()), "cached": 0, "result": result})


def _refusal(request: Request, error: RollcallError) -> Response:
    code = code_of(error)
    if code in (FaceCode.UNKNOWN, FaceCode.UNAVAILABLE):
        log.warning("call failed", path=request.url.path, code=error.code, reason=str(error))
    return envelope(code, error.field)
