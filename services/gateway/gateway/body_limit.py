"""No request body is larger than MAX_BODY, whatever its Content-Length says."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Refused

MAX_BODY = 16 * 2**20
DRAINED = 48 * 2**20
"""How much more is read and thrown away: a browser that is cut off in mid-upload shows a network error instead of
our answer."""


class BodyTooLarge(Refused):
    """The request's body goes beyond MAX_BODY."""

    code = "body_too_large"


class BodyLimit:
    """Counts what is received and raises BodyTooLarge in the route that reads it."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = _Counted(receive, self._limit, _announced(scope)).receive
        await self._app(scope, receive, send)


class _Counted:
    """One request's body."""

    def __init__(self, receive: Receive, limit: int, announced: int) -> None:
        self._receive, self._limit = receive, limit
        self._announced, self._taken = announced, 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if message["type"] == "http.request" and max(self._taken, self._announced) > self._limit:
            await self._drain(message)
            raise too_large(self._limit)
        return message

    async def _drain(self, message: Message) -> None:
        while message.get("more_body") and self._taken < self._limit + DRAINED:
            message = await self._receive()
            self._taken += len(message.get("body", b""))


def too_large(limit: int) -> BodyTooLarge:
    """The refusal, in words. `number` is Baidu's code for a picture that is too large."""
    mib = limit // 2**20
    return BodyTooLarge(
        f"提交的内容超过 {mib} MB，请换小一些的照片", f"More than {mib} MB; please use a smaller picture", number=222304
    )


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length[:19]) if length.isascii() and length.isdigit() else 0
