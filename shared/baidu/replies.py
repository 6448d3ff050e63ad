"""What Baidu answers, typed, and its refusals in words. Contract: Face V3 (§2.3 envelope, §3 results, §5 codes).

The service writes 0, 1 and 100 as integers and other numbers as floats: every number is read as a float.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from shared.errors import CloudAway, CloudRefused, RollcallError

TOKEN_INVALID: Final = 110
TOKEN_EXPIRED: Final = 111
TOO_FAST: Final = (4, 18)
"""cluster overload, and our own calls per second: waited out"""
NO_FACE: Final = 222202
NO_MATCH: Final = 222207
GROUP_MISSING: Final = 223100
GROUP_EXISTS: Final = 223101
USER_MISSING: Final = 223103
FACE_EXISTS: Final = 223105
FACE_MISSING: Final = 223106
KEYS_REFUSED: Final = 13
"""Baidu's "get service token failed": how we number keys that its token service does not take"""


class Reply(BaseModel):
    """Frozen; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Token(Reply):
    """Of /oauth/2.0/token."""

    access_token: SecretStr = Field(min_length=1)
    expires_in: float = Field(gt=0)
    """seconds"""


class Envelope(Reply):
    """Around every answer. Errors of the gateway (1–19, 100–111) come without the other keys."""

    error_code: int
    error_msg: str = ""
    result: Any = None


class Location(Reply):
    """Pixels of the picture; `rotation` in degrees, clockwise from upright."""

    left: float
    top: float
    width: float
    height: float
    rotation: float = 0.0


class Angle(Reply):
    """Degrees."""

    yaw: float
    pitch: float
    roll: float


class Occlusion(Reply):
    """0 free to 1 covered. The tables of the documentation say `chin`, real replies `chin_contour`."""

    left_eye: float = 0.0
    right_eye: float = 0.0
    nose: float = 0.0
    mouth: float = 0.0
    left_cheek: float = 0.0
    right_cheek: float = 0.0
    chin_contour: float = 0.0
    chin: float = 0.0


class Quality(Reply):
    """`blur` 0 sharp to 1, `illumination` 0..255, `completeness` 0 or 1."""

    occlusion: Occlusion = Occlusion()
    blur: float
    illumination: float
    completeness: float


class DetectedFace(Reply):
    """`quality` when it was asked for."""

    face_token: str = Field(min_length=1, max_length=64)
    location: Location
    angle: Angle
    quality: Quality | None = None


class Detected(Reply):
    """Of detect."""

    face_list: tuple[DetectedFace, ...] = Field(min_length=1, max_length=120)


class Match(Reply):
    """`score` 0..100; 80 stands for a false accept rate of 1e-4 per comparison."""

    group_id: str = Field(max_length=128)
    user_id: str = Field(max_length=128)
    user_info: str = Field(default="", max_length=1024)
    score: float = Field(ge=0, le=100)


class Found(Reply):
    """Of search, best first."""

    user_list: tuple[Match, ...] = Field(max_length=50)


class Added(Reply):
    """Of user/add and user/update."""

    face_token: str = Field(min_length=1, max_length=64)


class FaceItem(Reply):
    """Of face/getlist; `ctime` as Baidu writes it."""

    face_token: str = Field(min_length=1, max_length=64)
    ctime: str = ""


class Faces(Reply):
    """Oldest first."""

    face_list: tuple[FaceItem, ...] = Field(max_length=1_000)


class Users(Reply):
    """Of group/getusers."""

    user_id_list: tuple[str, ...] = Field(max_length=1_000)


class Groups(Reply):
    """Of group/getlist."""

    group_id_list: tuple[str, ...] = Field(max_length=1_000)


class UserEntry(Reply):
    """A user in one group."""

    user_info: str = ""
    group_id: str = ""


class UserInfo(Reply):
    """Of user/get."""

    user_list: tuple[UserEntry, ...] = Field(max_length=1_000)


OCCLUDED: Final = (
    "请摘下口罩、墨镜，整理头发后重拍",
    "Part of the face is covered: take off mask or glasses, mind your hair",
)
WORDS: Final[Mapping[int, tuple[str, str]]] = {
    222202: ("没有看到人脸，请正对镜头", "No face was found; please face the camera"),
    222203: ("图片无法识别，请重新拍照", "The picture cannot be read; please take another"),
    222207: ("未找到匹配的学员", "No matching student was found"),
    222210: ("该用户的人脸数量已达上限", "This user has as many faces as the library allows"),
    222213: ("人脸太小，请靠近一点", "The face is too small: come closer"),
    222304: ("图片太大，请重新拍照", "The picture is too large; please take another"),
    222309: ("图片太小，请靠近一点", "The picture is too small: come closer"),
    223105: ("这张照片已经登记过了", "This very picture is registered already"),
    223113: OCCLUDED,
    223114: ("画面模糊，请保持不动", "The face is blurred: hold still"),
    223115: ("光线不好，请到亮一点的地方", "The light is not good: find a brighter place"),
    223116: ("人脸不完整，请让整张脸进入画面", "The face is cut off: bring all of it into the picture"),
    223120: ("活体检测未通过，请本人正对镜头", "No live face was seen: face the camera yourself"),
    **dict.fromkeys(range(223121, 223128), OCCLUDED),
    223129: ("请正对镜头", "Please look straight into the camera"),
    223131: ("图片可能经过合成，请本人重新拍照", "The picture looks composed; please take another"),
}
"""Chinese and English for whoever stands before the camera."""

SERVICE_FAULTS: Final = frozenset(
    {222201, 222205, 222206, 222300, 222301, 222302, 222303, *range(222901, 222917), 282000}
)
"""Codes above 200000 that are the service's own trouble."""


def refusal(code: int, message: str) -> RollcallError:
    """The error of a code: CloudRefused if the picture or what was asked is at fault, CloudAway if the service, the
    keys or the quota are. `message` is Baidu's own text."""
    if code < 200_000 or code in SERVICE_FAULTS:
        return CloudAway(en=f"the cloud refuses service: {code} {message[:100]}", number=code)
    zh, en = WORDS.get(code, (f"百度云不接受（{code}）", f"Baidu refuses it: {code} {message[:100]}"))
    return CloudRefused(zh, en, number=code)
