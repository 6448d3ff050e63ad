"""Baidu's official Python SDK, pointed at a Rollcall: unmodified but for the addresses (specs, V3 §1.7 A)."""

import base64
from typing import Any

from aip import AipFace
from aip.base import AipBase

from rollcall.office import bus_of
from shared.contracts.library import CreateKey, IssuedKey
from tests.systems import Site

OFFICIAL = "https://aip.baidubce.com"


def pointed_at(url: str, key: IssuedKey) -> Any:
    """An AipFace whose every address begins with `url` instead."""
    client = AipFace("any app id", key.key.api_key, key.secret_key.get_secret_value())
    for kind in (AipFace, AipBase):
        for name, value in list(vars(kind).items()):
            if isinstance(value, str) and value.startswith(OFFICIAL):
                setattr(client, name, url + value.removeprefix(OFFICIAL))
    return client


async def a_key(site: Site, name: str, qps: float | None = None) -> IssuedKey:
    """As `rollcall key create` does."""
    async with bus_of(site.data) as bus:
        return await bus.ask(CreateKey(name=name, qps=qps, by="test"))


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()
