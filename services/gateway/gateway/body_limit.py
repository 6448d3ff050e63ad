"""What request bodies may cost: none is larger than MAX_BODY, whatever its Content-Length says, none is read for
longer than BODY_S, and all together have so many bytes."""

import asyncio
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Refused, Unavailable

MAX_BODY = 16 * 2**20
DRAINED = 48 * 2**20
"""How much more is read and thrown away: a browser that is cut off in mid-upload shows a network error instead of
our answer."""
BODY_S: Final = 60.0
"""seconds from a request's head to its body's end: 10 MB over 2 Mbit/s take 40"""


class BodyTooLarge(Refused):
    """The request's body goes beyond MAX_BODY."""

    code = "body_too_large"


class BodyTooSlow(Refused):
    """The request's body is not there after BODY_S."""

    code = "body_too_slow"


class BodiesTooMany(Unavailable):
    """Together they would go beyond what the process has for them."""

    code = "bodies_too_many"


class BodyLimit:
    """Counts what is received and raises BodyTooLarge, BodyTooSlow or BodiesTooMany in the route that reads it.
    `total`: bytes of all bodies that are being read, or whose requests are not answered yet."""

    def __init__(self, app: ASGIApp, total: int, limit: int = MAX_BODY, seconds: float = BODY_S) -> None:
        self._app, self._limit, self._seconds = app, limit, seconds
        self.free = total
        """bytes; what is in work may be several times as large for a moment (text, base64, picture)"""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Counted(self, receive, send, self._limit, _announced(scope), self._seconds)
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            self.free += body.held


class _Counted:
    """One request's body."""

    def __init__(
        self, bodies: BodyLimit, receive: Receive, send: Send, limit: int, announced: int, seconds: float
    ) -> None:
        self._bodies, self._receive, self._send, self._limit = bodies, receive, send, limit
        self._announced, self._taken, self.held = announced, 0, 0
        self._until: float | None = asyncio.get_running_loop().time() + seconds
        self._is_late = False

    async def receive(self) -> Message:
        message = await self._next()
        if message["type"] == "http.request" and max(self._taken, self._announced) > self._limit:
            while message.get("more_body") and self._taken < self._limit + DRAINED:
                message = await self._next()
            raise too_large(self._limit)
        self._hold(len(message.get("body", b"")))
        return message

    async def send(self, message: Message) -> None:
        """The rest of a body that is late is not waited for: the connection ends with the answer."""
        if self._is_late and message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)

    async def _next(self) -> Message:
        """Once the body is there, what comes next is that the client leaves: whenever it likes."""
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self._is_late = True
            raise BodyTooSlow("上传太慢，请检查网络后再试", "The upload took too long; please try again") from None
        self._taken += len(message.get("body", b""))
        if not message.get("more_body"):
            self._until = None
        return message

    def _hold(self, size: int) -> None:
        if size > self._bodies.free:
            raise BodiesTooMany("正在处理的照片太多，请稍后再试", "Too many pictures are in work; please try again")
        self._bodies.free -= size
        self.held += size


def too_large(limit: int) -> BodyTooLarge:
    """The refusal, in words. `number` is Baidu's code for a picture that is too large."""
    mib = limit // 2**20
    return BodyTooLarge(
        f"提交的内容超过 {mib} MB，请换小一些的照片", f"More than {mib} MB; please use a smaller picture", number=222304
    )


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length[:19]) if length.isascii() and length.isdigit() else 0
