"""Errors as pages or JSON, by what the client reads; nothing leaves without words."""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway.body_limit import BodyTooLarge, BodyTooSlow
from gateway.policies import LoginNeeded
from gateway.site import site_of
from gateway.throttle import TooFast
from shared.errors import Conflict, Failed, Gone, InvalidInput, NotAllowed, NotFound, RollcallError, Unavailable

log = structlog.get_logger("web")

STATUS: Final[dict[type[RollcallError], int]] = {
    InvalidInput: 400,
    NotAllowed: 403,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    BodyTooSlow: 408,
    BodyTooLarge: 413,
    TooFast: 429,
    Unavailable: 503,
    Failed: 500,
}


def status_of(error: RollcallError) -> int:
    """The HTTP status of an error; 400 for a refusal without one of its own."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 400)


def wants_json(request: Request) -> bool:
    """Whether the client is a program: it says so, or it talks JSON itself."""
    accept = request.headers.get("accept", "")
    talks = request.headers.get("content-type", "").startswith("application/json")
    return ("application/json" in accept or talks) and "text/html" not in accept


def answer(request: Request, status: int, words: str, number: int = 0) -> Response:
    """An error in the form the client reads; `number` goes into errno, else the HTTP status does."""
    if wants_json(request):
        return JSONResponse({"errno": number or status, "errmsg": words}, status)
    return site_of(request).page(request, "mishap.html", status, number=status, explanation=words)


def error_handlers() -> dict[Any, Any]:
    """The app's handlers, by what they handle."""
    return {RollcallError: _rollcall, LoginNeeded: _login, HTTPException: _http, RequestValidationError: _malformed}


async def _rollcall(request: Request | WebSocket, error: RollcallError) -> Response | None:
    if isinstance(request, WebSocket):
        await _turn_away(request)
        return None
    status = status_of(error)
    if status >= 500:
        log.warning("failed", path=request.url.path, code=error.code, reason=str(error))
    response = answer(request, status, site_of(request).words(request).of(error), error.number)
    if isinstance(error, TooFast):
        response.headers["Retry-After"] = str(error.number)
    return response


async def _login(request: Request | WebSocket, error: LoginNeeded) -> Response | None:
    if isinstance(request, WebSocket):
        await _turn_away(request)
        return None
    if wants_json(request):
        return answer(request, 401, site_of(request).words(request)("login.needed"))
    back = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return RedirectResponse(f"/office/login?next={quote(back if request.method == 'GET' else '/office')}", 303)


async def _turn_away(socket: WebSocket) -> None:
    """A WebSocket that was not accepted yet ends in HTTP 403; its page asks itself why."""
    await socket.close(1008)


async def _http(request: Request, error: HTTPException) -> Response:
    words = site_of(request).words(request)
    text = words.table.get(f"http.{error.status_code}") or HTTPStatus(error.status_code).phrase
    response = answer(request, error.status_code, text)
    response.headers.update(error.headers or {})
    return response


async def _malformed(request: Request, _: RequestValidationError) -> Response:
    return answer(request, 400, site_of(request).words(request)("http.400"))


class LastResort:
    """A bug becomes a page in words and a traceback in the log. Sits inside the security headers, unlike
    Starlette's own handler for 500, so that this page has them too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            log.exception("page failed", path=scope["path"])
            if started:
                raise
            await _apology(Request(scope, receive))(scope, receive, send)


def _apology(request: Request) -> Response:
    return answer(request, 500, site_of(request).words(request)("http.500"))
