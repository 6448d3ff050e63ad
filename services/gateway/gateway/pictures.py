"""Pictures as browsers send them: data URLs and file uploads."""

import base64
import binascii
import re
from typing import Final

from starlette.datastructures import UploadFile

from gateway.body_limit import BodyTooLarge, too_large
from shared.errors import InvalidInput

MAX_PICTURE: Final = 10 * 2**20
"""bytes; seed 000: "总数据大小应小于10M" """
MEDIA: Final = re.compile(r"data:image/[A-Za-z0-9.+-]{1,40}(;[^,;]{1,60})*;base64")
BROKEN: Final = 222203
"""Baidu's "image check fail"."""


def from_data_url(text: str) -> bytes:
    """The picture in `data:image/…;base64,…`. Raises InvalidInput, BodyTooLarge."""
    head, comma, body = text.partition(",")
    if not comma or not MEDIA.fullmatch(head.strip()):
        raise InvalidInput(
            "照片应为 data:image/…;base64,… 的形式", "the picture must be a data:image/…;base64,… URL", number=BROKEN
        )
    if len(body) > MAX_PICTURE * 4 // 3 + 4:
        raise too_large(MAX_PICTURE)
    return _decoded(body)


def _decoded(body: str) -> bytes:
    try:
        picture = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("照片的 base64 内容已损坏", "the picture's base64 is damaged", number=BROKEN) from None
    if not picture:
        raise InvalidInput("照片是空的", "the picture is empty", number=BROKEN)
    return picture


async def from_upload(upload: UploadFile) -> bytes:
    """The bytes of an uploaded file, empty if no file was chosen. Raises BodyTooLarge."""
    picture = await upload.read(MAX_PICTURE + 1)
    if len(picture) > MAX_PICTURE:
        raise too_large(MAX_PICTURE)
    return picture


__all__ = ["BROKEN", "MAX_PICTURE", "BodyTooLarge", "from_data_url", "from_upload"]
