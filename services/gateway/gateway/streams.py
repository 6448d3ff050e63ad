"""The route of `WS /stream`: the hello decides which kind of stream it becomes."""

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.websockets import WebSocket

from gateway.challenge import ChallengeStream
from gateway.origin import client_address
from gateway.site import site_of
from gateway.stream import Stream, origin_of, read_hello, telling_errors

if TYPE_CHECKING:
    from gateway.gateway import Gateway


def stream_api(gateway: "Gateway") -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        address = client_address(socket)
        async with telling_errors(socket):
            with gateway.room(address):  # one that has not said hello yet takes a place as well
                hello = await read_hello(socket)
                if hello.challenge:
                    site_of(socket).challenges.take(address)
                origin = await origin_of(gateway, socket, hello)
                kind = ChallengeStream if hello.challenge else Stream
                await kind(gateway, socket, origin).run()

    return router
