"""Bringing a terminal's copy of the library up to date: `getDbs` with `since`, page by page, applied as one change."""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from shared.vision.feature import Feature, NotAFeature
from terminal.events import Ended
from terminal.library import Change, Known, Library

PAGE: Final = 500
Token = Callable[[], Awaitable[str]]
"""a fresh one for each call"""
MOST_PAGES: Final = 1_000
"""more than any library has: a server that says "more" for ever is broken"""


async def update(http: httpx.AsyncClient, api: str, token: Token, library: Library) -> bool:
    """Whether anything changed. Raises Ended with the server's words, httpx.HTTPError, LibraryFull."""
    mark, came, gone, full = library.mark, dict[str, Known](), set[str](), False
    for _ in range(MOST_PAGES):
        page = await _page(http, api, token, mark)
        if page["full"] and mark:
            came, gone = {}, set()
        full = full or page["full"]
        for num in page["removed"]:
            came.pop(num, None)
            gone.add(num)
        came |= {known.num: known for known in map(_known, page["names"])}
        mark = page["next"]
        if not page["more"]:
            break
    before = library.people
    await asyncio.to_thread(library.apply, Change(mark, tuple(came.values()), frozenset(gone), full))
    return library.people != before


async def _page(http: httpx.AsyncClient, api: str, token: Token, mark: str) -> dict[str, Any]:
    form = {"limit": str(PAGE)} | ({"since": mark} if mark else {})
    answer = await call(http, api, token, "getDbs", form)
    try:
        return {
            "names": list(answer["names"]),
            "removed": [str(num) for num in answer["removed"]],
            "full": bool(answer["full"]),
            "more": bool(answer["more"]),
            "next": str(answer["next"]),
        }
    except (KeyError, TypeError):
        raise Ended("getDbs: an answer with wrong fields") from None


async def call(http: httpx.AsyncClient, api: str, token: Token, name: str, form: dict[str, str]) -> dict[str, Any]:
    """One call of the terminal API, with a fresh token. Raises Refused with the server's words, Ended;
    httpx.HTTPError when there is no server."""
    headers = {"Authorization": f"Bearer {await token()}"}
    response = await http.post(f"{api}/faces/api/{name}", data=form, headers=headers)
    try:
        answer: dict[str, Any] = response.json()
        code = int(answer["code"])
    except (ValueError, KeyError, TypeError):
        raise Ended(f"{name}: HTTP {response.status_code}") from None
    if code:
        raise Refused(f"{name}: {code} {answer.get('message', '')}", code)
    return answer


class Refused(Ended):
    """The server's words, and its number."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


def _known(row: dict[str, Any]) -> Known:
    try:
        texts = [row["faceData"], *row.get("moreFaceData", ())]
        return Known(str(row["username"]), str(row["name"]), tuple(f for f in map(_feature, texts) if f))
    except (KeyError, TypeError):
        raise Ended("getDbs: a name with wrong fields") from None


def _feature(text: str) -> bytes:
    """Packed; empty for what is no feature: only the cloud can compare that face."""
    try:
        return Feature.unpacked(base64.b64decode(text, validate=True)).packed()
    except (NotAFeature, binascii.Error, ValueError):
        return b""
