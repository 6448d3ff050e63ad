"""Posts to a gateway in memory, and what the tests of the calls send."""

import base64
import io
from typing import Any

from PIL import Image

from shared.vision.feature import Feature
from tests.unit.gateway.baidu.vision_double import MODEL, unit
from tests.unit.gateway.terminal.host_double import HostDouble

BOX = {"left": "40", "top": "40", "right": "140", "bottom": "160"}
WHO = {"deviceName": "东门", "deviceSN": "E-1"}
NAMES = {
    "token": "token",
    "faceDetect": "facedetect",
    "faceAge": "faceage",
    "faceGender": "facegender",
    "faceFeature": "facefeature",
    "faceRecognize": "facerecognize",
    "getDbs": "getDbs",
    "regFace": "regFace",
    "clinetFeedback": "clinetfeedback",
    "clientFeedback": "clientfeedback",
    "clinetWebResult": "clinetwebresult",
    "clientWebResult": "clientwebresult",
}
"""path → flag"""


def picture(width: int = 320, height: int = 240, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "grey").save(out, "JPEG", **options)
    return out.getvalue()


PHOTO = picture()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


FEATURE = b64(Feature(MODEL, unit(1)).packed())


async def post(host: HostDouble, call: str, data: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
    """A form, multipart if there are files; the answer's HTTP status is 200."""
    async with host.web() as web:
        answer = await web.post(f"/faces/api/{call}", data=data, **how)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    said: dict[str, Any] = answer.json()
    assert said["flag"] == NAMES[call]
    assert isinstance(said["code"], int)
    assert said["code"] == 0 or "message" in said
    return said


async def look(host: HostDouble, call: str, **fields: Any) -> dict[str, Any]:
    return await post(host, call, {"token": host.token(), **fields}, files={"image": ("a.jpg", PHOTO)})
