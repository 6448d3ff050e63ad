"""The compatible API over a library and recognizers in memory, as a program sees it."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.baidu_api.downloads import Downloads
from gateway.baidu_api.face_api import FaceApi
from tests.unit.gateway.baidu.library_double import KeyPair, LibraryDouble
from tests.unit.gateway.baidu.vision_double import IndexesDouble, VisionDouble, a_picture
from tests.unit.gateway.pages.gateway_double import GatewayDouble

PREFIX = "/rest/2.0/face/v3"
PICTURE = base64.b64encode(a_picture()).decode()
BASE64 = {"image": PICTURE, "image_type": "BASE64"}


class Api:
    """A gateway with doubles behind it, and a program that calls it with a good token."""

    def __init__(self, downloads: Downloads | None = None) -> None:
        self.gateway = GatewayDouble()
        self.library, self.vision, self.indexes = LibraryDouble(), VisionDouble(), IndexesDouble()
        self.gateway.bus = self.library  # type: ignore[assignment]
        self.gateway.face_api = FaceApi.build(
            self.gateway.settings,
            self.library,  # type: ignore[arg-type]
            self.vision,
            self.indexes,  # type: ignore[arg-type]
            downloads,
        )
        self.pair = self.library.add_key()
        self.token = ""
        self.web = self.client()

    def client(self, address: str = "192.0.2.7") -> httpx.AsyncClient:
        app = create_app(self.gateway)  # type: ignore[arg-type]
        transport = httpx.ASGITransport(app=app, client=(address, 50_000))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def get_token(self, pair: KeyPair | None = None) -> str:
        keys = pair or self.pair
        query = {
            "grant_type": "client_credentials",
            "client_id": keys.api_key,
            "client_secret": keys.secret_key,
        }
        return str((await self.web.get("/oauth/2.0/token", params=query)).json()["access_token"])

    async def call(self, path: str, sent: Any, token: str | None = None) -> dict[str, Any]:
        """A JSON call; the answer's body. HTTP is always 200."""
        query = {"access_token": self.token if token is None else token}
        answer = await self.web.post(PREFIX + path, params=query, content=json.dumps(sent))
        assert answer.status_code == 200
        return dict(answer.json())

    async def code(self, path: str, sent: Any, token: str | None = None) -> tuple[int, str]:
        """(error_code, error_msg), once the envelope was found right."""
        said = await self.call(path, sent, token)
        if 0 < said["error_code"] < 1000:
            assert said.keys() == {"error_code", "error_msg"}
        else:
            assert said.keys() == {"error_code", "error_msg", "log_id", "timestamp", "cached", "result"}
            assert said["cached"] == 0
            assert 0 <= said["log_id"] < 2**53
            assert said["error_code"] == 0 or said["result"] is None
        return said["error_code"], said["error_msg"]

    async def result(self, path: str, sent: Any) -> dict[str, Any]:
        """The result of a call that succeeds."""
        said = await self.call(path, sent)
        assert (said["error_code"], said["error_msg"]) == (0, "SUCCESS")
        return dict(said["result"])


@asynccontextmanager
async def an_api(downloads: Downloads | None = None) -> AsyncIterator[Api]:
    api = Api(downloads)
    async with api.web:
        api.token = await api.get_token()
        yield api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with an_api() as running:
        yield running
