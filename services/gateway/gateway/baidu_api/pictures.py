"""A picture as it was sent, made ready to be looked at: small enough for the bus, and with its token."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from gateway.baidu_api.downloads import Downloads
from gateway.baidu_api.loose_faces import LooseFaces
from gateway.baidu_api.parameters import Image, ImageType
from gateway.baidu_api.refusals import refused
from gateway.decoding import Decoding
from shared.codes import FaceCode
from shared.contracts.library import App
from shared.contracts.recognition import Box
from shared.security import face_token, further_face_token
from shared.vision.picture import PictureInfo, fit, fits, inspect

QUICK: Final = 512 * 1024
"""Up to this size a picture is read at once, in a millisecond: a thread may cost five, for Python's lock."""
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Picture:
    """`jpeg` is what is looked at; `at` the only face that is meant, if one is. `width`, `height` are those of the
    picture that the caller has, standing upright; 0 for a face token, whose picture is ours."""

    jpeg: bytes
    token: str
    """of its largest face, or of the face `at`"""
    width: int = 0
    height: int = 0
    at: Box | None = None

    def token_of(self, app: App, rank: int) -> str:
        """`rank` 0 is the largest face."""
        return further_face_token(app.token_key.get_secret_value(), self.token, rank) if rank else self.token


class Pictures:
    """Opens them. What takes time is done in threads."""

    def __init__(self, loose: LooseFaces, downloads: Downloads, decoding: Decoding) -> None:
        self._loose, self._downloads, self._decoding = loose, downloads, decoding

    async def open(self, app: App, image: Image) -> Picture:
        """Raises 222013, 222203, 222204, 222209, 222304, 222309."""
        if image.type is ImageType.FACE_TOKEN:
            return await self._known(app, image.content)
        if image.type is ImageType.URL:
            return await self._ready(app, await self._downloads.get(image.content))
        if len(image.content) <= QUICK:
            return await self._ready(app, decoded(image.content))
        return await self._ready(app, await self._decoding.run(decoded, image.content))

    async def _known(self, app: App, token: str) -> Picture:
        if not _TOKEN.fullmatch(token):
            raise refused(FaceCode.FACE_TOKEN_UNKNOWN)
        face = await self._loose.find(app, token)
        left, top, width, height = face.box
        return Picture(face.jpeg, token, at=Box(left=left, top=top, width=width, height=height))

    async def _ready(self, app: App, data: bytes) -> Picture:
        if len(data) <= QUICK and fits(info := inspect(data), len(data)):
            return _named(app, data, data, info)
        return await self._decoding.run(_made_ready, app, data)


def _made_ready(app: App, data: bytes) -> Picture:
    info = inspect(data)
    return _named(app, data, data if fits(info, len(data)) else fit(data), info)


def _named(app: App, data: bytes, jpeg: bytes, info: PictureInfo) -> Picture:
    """`jpeg` may be damaged where it is the picture as it was sent: the recognizer decodes it, and says so."""
    return Picture(jpeg, face_token(app.token_key.get_secret_value(), data), info.width, info.height)


def decoded(text: str) -> bytes:
    """The bytes of a base64 text, line breaks allowed; a form may have made blanks of its plus signs. Raises 222013
    for a data URL, 222203 for anything else that is no base64."""
    if text.startswith("data:"):
        raise refused(FaceCode.IMAGE)
    try:
        data = base64.b64decode(_in_one_line(text), validate=True)
    except (binascii.Error, ValueError):
        raise refused(FaceCode.IMAGE_CHECK_FAIL) from None
    if not data:
        raise refused(FaceCode.IMAGE_CHECK_FAIL)
    return data


def _in_one_line(text: str) -> str:
    if not any(char in text for char in "\r\n "):
        return text
    return text.strip().replace("\r", "").replace("\n", "").replace(" ", "+")
