"""The calls' parameters: what was sent becomes a typed request, or an error with Baidu's code (V3 §3, §5.2). Pure.

Numbers may come as text and text as numbers; unknown parameters are ignored.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from gateway.baidu_api.reading import Fields
from gateway.baidu_api.refusals import refused
from shared.codes import FaceCode
from shared.contracts.library import MAX_PAGE, MAX_USER_INFO, FaceAction
from shared.contracts.recognition import Order

MAX_DETECTED: Final = 120
"""Newer pages say 20, older ones 120 (§3.1): whoever asks for more than 20 gets them."""
MAX_CROPS: Final = 5
MAX_SEARCHED: Final = 10
MAX_GROUPS: Final = 20
"""Newer pages say 10, older ones 20 (§3.2)."""
VERIFIED: Final = (1, 3, 8)
"""how many pictures `faceverify` takes (§3.5)"""
ALL_GROUPS: Final = "@ALL"

_ID: Final = re.compile(r"[0-9A-Za-z_]{1,128}")
_TOKEN: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_FIELD: Final = re.compile(r"[0-9A-Za-z_]{1,32}")
_WHOLE: Final = re.compile(r"([0-9]{1,9})(?:\.0{1,9})?")
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,20})?(?:[eE]-[0-9]{1,2})?")


class ImageType(StrEnum):
    """How a picture is sent."""

    BASE64 = "BASE64"
    URL = "URL"
    FACE_TOKEN = "FACE_TOKEN"  # noqa: S105 - a name


class Level(StrEnum):
    """How strictly a control is meant."""

    NONE = "NONE"
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


class Kind(StrEnum):
    """What a picture shows. All kinds are looked at by the same networks."""

    LIVE = "LIVE"
    IDCARD = "IDCARD"
    WATERMARK = "WATERMARK"
    CERT = "CERT"
    INFRARED = "INFRARED"
    HYBRID = "HYBRID"


class Scene(StrEnum):
    """`option` of `faceverify`; both are judged alike."""

    COMMON = "COMMON"
    GATE = "GATE"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as it was sent: base64, an address or a face token."""

    type: ImageType
    content: str


@dataclass(frozen=True, slots=True)
class Controls:
    """What a face must pass to be used."""

    quality: Level = Level.NONE
    liveness: Level = Level.NONE
    spoofing: Level = Level.NONE


@dataclass(frozen=True, slots=True)
class Detect:
    """§3.1"""

    image: Image
    shown: frozenset[str]
    """face_field"""
    max_faces: int
    order: Order
    liveness: Level
    crops: bool


@dataclass(frozen=True, slots=True)
class Search:
    """§3.2 and §3.3; `user_id` empty: anybody."""

    image: Image
    groups: tuple[str, ...]
    user_id: str
    controls: Controls
    users: int
    threshold: float
    order: Order
    max_faces: int = 1


@dataclass(frozen=True, slots=True)
class Compared:
    """One side of §3.4."""

    image: Image
    controls: Controls
    order: Order


@dataclass(frozen=True, slots=True)
class Verified:
    """One picture of §3.5."""

    image: Image
    shown: frozenset[str]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """§3.6 and §3.7; `user_info` None leaves what is there."""

    image: Image
    group_id: str
    user_id: str
    user_info: str | None
    action: FaceAction
    controls: Controls
    order: Order


@dataclass(frozen=True, slots=True)
class Copying:
    """§3.8, user/copy"""

    user_id: str
    source: str
    destination: str


def detect(sent: Fields) -> Detect:
    """Raises 222001, 222015–222017, 222020, 222024, 222039, 222043."""
    image = _image(sent)
    crops = _choice(sent, "display_corp_image", FaceCode.DISPLAY_CORP_IMAGE)
    faces = _whole(sent, "max_face_num", 1, (1, MAX_DETECTED), FaceCode.MAX_FACE_NUM)
    _one_of(sent, "face_type", Kind, Kind.LIVE, FaceCode.FACE_TYPE)
    return Detect(
        image=image,
        shown=_shown(sent),
        max_faces=min(faces, MAX_CROPS) if crops else faces,
        order=_order(sent),
        liveness=_one_of(sent, "liveness_control", Level, Level.NONE, FaceCode.LIVENESS_CONTROL),
        crops=crops,
    )


def search(sent: Fields) -> Search:
    """Raises 222001, 222005, 222015, 222018–222021, 222030, 222039, 223104, 223130."""
    image = _image(sent)
    return Search(
        image=image,
        groups=_groups(sent),
        user_id=_id(sent, "user_id", FaceCode.USER_ID) if _text(sent, "user_id", FaceCode.USER_ID) else "",
        controls=_controls(sent),
        users=_whole(sent, "max_user_num", 1, (1, 50), FaceCode.MAX_USER_NUM),
        threshold=_threshold(sent, 0.0),
        order=_order(sent),
    )


def multi_search(sent: Fields) -> Search:
    """As `search`, with 222016."""
    image = _image(sent)
    return Search(
        image=image,
        groups=_groups(sent),
        user_id="",
        controls=_controls(sent),
        users=_whole(sent, "max_user_num", 1, (1, 20), FaceCode.MAX_USER_NUM),
        threshold=_threshold(sent, 80.0),
        order=_order(sent),
        max_faces=_whole(sent, "max_face_num", 1, (1, MAX_SEARCHED), FaceCode.MAX_FACE_NUM),
    )


def pair(items: Sequence[Fields]) -> tuple[Compared, Compared]:
    """Raises 222208 and, for each item, 222001, 222015, 222019, 222020, 222024, 222039, 223130."""
    if len(items) != 2:
        raise refused(FaceCode.IMAGE_COUNT)
    first, second = (_compared(item) for item in items)
    return first, second


def _compared(sent: Fields) -> Compared:
    image = _image(sent)
    _one_of(sent, "face_type", Kind, Kind.LIVE, FaceCode.FACE_TYPE)
    return Compared(image, _controls(sent), _order(sent))


def verified(items: Sequence[Fields]) -> tuple[Verified, ...]:
    """Raises 222208 and, for each item, 222001, 222015, 222017, 222046 (option)."""
    if len(items) not in VERIFIED:
        raise refused(FaceCode.IMAGE_COUNT)
    return tuple(_verified(item) for item in items)


def _verified(sent: Fields) -> Verified:
    image = _image(sent)
    _one_of(sent, "option", Scene, Scene.COMMON, FaceCode.FORMAT)
    return Verified(image, _shown(sent))


_ADDING: Final = {"APPEND": FaceAction.APPEND, "REPLACE": FaceAction.REPLACE}
_UPDATING: Final = {"UPDATE": FaceAction.UPDATE, "REPLACE": FaceAction.REPLACE}


def added(sent: Fields) -> Enrolment:
    """Raises 222001, 222006, 222010, 222015, 222018–222020, 222039, 222046 (action_type), 223130."""
    return _enrolment(sent, _ADDING, FaceAction.APPEND)


def updated(sent: Fields) -> Enrolment:
    """As `added`."""
    return _enrolment(sent, _UPDATING, FaceAction.UPDATE)


def _enrolment(sent: Fields, actions: dict[str, FaceAction], usual: FaceAction) -> Enrolment:
    image = _image(sent)
    group_id, user_id = group(sent), user(sent)
    info = _text(sent, "user_info", FaceCode.USER_INFO)
    if len(info.encode()) > MAX_USER_INFO:
        raise refused(FaceCode.USER_INFO)
    action = _text(sent, "action_type", FaceCode.FORMAT)
    if action and action not in actions:
        raise refused(FaceCode.FORMAT, "action_type")
    return Enrolment(
        image=image,
        group_id=group_id,
        user_id=user_id,
        user_info=info or None,
        action=actions[action] if action else usual,
        controls=_controls(sent),
        order=_order(sent),
    )


def group(sent: Fields, name: str = "group_id") -> str:
    """Raises 222001, 222006."""
    return _id(sent, name, FaceCode.GROUP_ID)


def group_or_all(sent: Fields) -> str | None:
    """None for `@ALL`. Raises 222001, 222006."""
    return None if sent.get("group_id") == ALL_GROUPS else group(sent)


def user(sent: Fields) -> str:
    """Raises 222001, 222018."""
    return _id(sent, "user_id", FaceCode.USER_ID)


def face_token(sent: Fields) -> str:
    """Raises 222001, 222025."""
    given = _required(sent, "face_token", FaceCode.FACE_TOKEN)
    if not _TOKEN.fullmatch(given):
        raise refused(FaceCode.FACE_TOKEN)
    return given


def copying(sent: Fields) -> Copying:
    """Raises 222001, 222006, 222018."""
    return Copying(user(sent), group(sent, "src_group_id"), group(sent, "dst_group_id"))


def page(sent: Fields) -> tuple[int, int]:
    """(start, length). Raises 222002, 222003."""
    start = _whole(sent, "start", 0, (0, 10**9 - 1), FaceCode.START)
    return start, _whole(sent, "length", 100, (1, MAX_PAGE), FaceCode.LENGTH)


# ---- single parameters


def _text(sent: Fields, name: str, wrong: FaceCode) -> str:
    """As text, empty if it was not sent. Raises `wrong` for anything else than a text or a number."""
    given = sent.get(name)
    if given is None:
        return ""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise refused(wrong, name)
    text = str(given)
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half a character
        raise refused(wrong, name) from None
    return text


def _required(sent: Fields, name: str, wrong: FaceCode) -> str:
    text = _text(sent, name, wrong)
    if not text:
        raise refused(FaceCode.PARAM_NULL, name)
    return text


def _id(sent: Fields, name: str, wrong: FaceCode) -> str:
    text = _required(sent, name, wrong)
    if not _ID.fullmatch(text):
        raise refused(wrong, name)
    return text


def _image(sent: Fields) -> Image:
    content = _required(sent, "image", FaceCode.IMAGE)
    kind = _required(sent, "image_type", FaceCode.IMAGE_TYPE)
    try:
        return Image(ImageType(kind), content)
    except ValueError:
        raise refused(FaceCode.IMAGE_TYPE) from None


def _groups(sent: Fields) -> tuple[str, ...]:
    """Without repetitions, in the order given."""
    listed = _required(sent, "group_id_list", FaceCode.GROUP_ID_LIST)
    groups = tuple(dict.fromkeys(part.strip() for part in listed.split(",")))
    if not all(_ID.fullmatch(group_id) for group_id in groups):
        raise refused(FaceCode.GROUP_ID_LIST)
    if len(groups) > MAX_GROUPS:
        raise refused(FaceCode.GROUP_LIST_TOO_LARGE)
    return groups


def _shown(sent: Fields) -> frozenset[str]:
    """Names that we do not know are ignored, as are those that we do not compute."""
    listed = _text(sent, "face_field", FaceCode.FACE_FIELD)
    names = frozenset(part.strip() for part in listed.split(",")) if listed else frozenset[str]()
    if not all(_FIELD.fullmatch(name) for name in names):
        raise refused(FaceCode.FACE_FIELD)
    return names


def _controls(sent: Fields) -> Controls:
    return Controls(
        quality=_one_of(sent, "quality_control", Level, Level.NONE, FaceCode.QUALITY_CONTROL),
        liveness=_one_of(sent, "liveness_control", Level, Level.NONE, FaceCode.LIVENESS_CONTROL),
        spoofing=_one_of(sent, "spoofing_control", Level, Level.NONE, FaceCode.SPOOFING_CONTROL),
    )


def _order(sent: Fields) -> Order:
    return Order.CENTRAL if _choice(sent, "face_sort_type", FaceCode.FACE_SORT_TYPE) else Order.LARGEST


def _choice(sent: Fields, name: str, wrong: FaceCode) -> bool:
    return bool(_whole(sent, name, 0, (0, 1), wrong))


Choice = TypeVar("Choice", bound=StrEnum)


def _one_of(sent: Fields, name: str, choices: type[Choice], usual: Choice, wrong: FaceCode) -> Choice:
    text = _text(sent, name, wrong)
    if not text:
        return usual
    try:
        return choices(text)
    except ValueError:
        raise refused(wrong, name) from None


def _whole(sent: Fields, name: str, usual: int, bounds: tuple[int, int], wrong: FaceCode) -> int:
    text = _text(sent, name, wrong).strip()
    if not text:
        return usual
    found = _WHOLE.fullmatch(text)
    if not found or not bounds[0] <= int(found[1]) <= bounds[1]:
        raise refused(wrong, name)
    return int(found[1])


def _threshold(sent: Fields, usual: float) -> float:
    text = _text(sent, "match_threshold", FaceCode.MATCH_THRESHOLD).strip()
    if not text:
        return usual
    value = float(text) if _DECIMAL.fullmatch(text) else math.inf
    if value > 100:
        raise refused(FaceCode.MATCH_THRESHOLD)
    return value
