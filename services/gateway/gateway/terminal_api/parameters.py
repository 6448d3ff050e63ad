"""The calls' parameters: what was sent becomes a typed value, or an error with seed 004's code. Pure.

Missing or empty: 9005. Malformed: 2, but 9003 for a device's name and serial number, 9113 for a picture.
"""

import base64
import binascii
import re
import string
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from gateway.clockin import StudentForm
from gateway.terminal_api.reading import Sent
from gateway.terminal_api.refusals import refused
from shared.codes import DeviceCode
from shared.contracts.offline import LAST_NUMBER, credible
from shared.contracts.people import Gender, StudentName, StudentNumber
from shared.contracts.recognition import Box
from shared.contracts.roster import MAX_ROSTER
from shared.errors import DeviceRefused
from shared.vision.feature import MAX_FEATURE, Feature, NotAFeature

LONGEST: Final = 64
"""characters of a device's name or serial number: see shared.contracts.devices"""
SERIAL: Final = ("deviceSN", "sn")
"""The seed says `sn` for the token and `deviceSN` everywhere else; both are taken everywhere."""
WHO: Final = frozenset({"token", "deviceName", *SERIAL})
"""parameters of every call"""
BOX: Final = ("left", "top", "right", "bottom")
LARGEST: Final = 10**6
"""pixels"""
GENDERS: Final = {"0": Gender.MAN, "1": Gender.WOMAN, "MAN": Gender.MAN, "WOMAN": Gender.WOMAN}

_WHOLE: Final = re.compile(r"(-?[0-9]{1,16})(?:\.0{1,9})?")
_SECONDS: Final = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,9}))?")
_CURSOR: Final = re.compile(r"([0-9]{1,18})-([0-9a-f]{8})")


def check_names(sent: Sent, known: Collection[str]) -> None:
    """Raises 9002 if there is nothing at all, 2 for a parameter that the call does not have: a misspelt one."""
    if not sent.names and not sent.bearer:
        raise refused(DeviceCode.POST_PARAMETERS_NEEDED, "请提交参数", "nothing was posted")
    if unknown := sorted(sent.names - set(known)):
        shown = ", ".join(name[:40] for name in unknown[:5])
        raise refused(DeviceCode.INVALID_PARAMETER, f"未知参数: {shown}", f"unknown parameter {shown!a}")


# ---- who


@dataclass(frozen=True, slots=True)
class Named:
    """A device as it names itself; empty what it did not say."""

    name: str
    sn: str


def named(sent: Sent) -> Named:
    """Raises 9003."""
    name, sn = (_device_text(sent, *names) for names in (("deviceName",), SERIAL))
    if not (_is_name(name) and _is_serial(sn)):
        raise _wrong_name("a character that it may not have, or too many")
    return Named(name, sn)


def fully_named(sent: Sent) -> Named:
    """Raises 9002, 9003, 9005."""
    if not any(name in sent.names for name in ("deviceName", *SERIAL)):
        raise refused(DeviceCode.POST_PARAMETERS_NEEDED, "请提交参数", "deviceName and sn")
    device = named(sent)
    if not device.name or not device.sn:
        raise missing("sn" if device.name else "deviceName")
    return device


def _device_text(sent: Sent, *names: str) -> str:
    """The first of these parameters that was sent, stripped."""
    for name in names:
        if name in sent.files:
            raise _wrong_name("a file")
        if name in sent.fields:
            value = sent.fields[name]
            if not isinstance(value, str):
                raise _wrong_name("no text")
            return value.strip()
    return ""


def _is_name(text: str) -> bool:
    """Not too long, without control, format or surrogate characters (Unicode category C), and without the mark that
    stands for bytes which are no UTF-8."""
    return len(text) <= LONGEST and not any(
        char == "\ufffd" or unicodedata.category(char).startswith("C") for char in text
    )


def _is_serial(text: str) -> bool:
    return len(text) <= LONGEST and all("!" <= char <= "~" for char in text)


def _wrong_name(en: str) -> DeviceRefused:
    return refused(DeviceCode.NAME_OR_SERIAL_WRONG, "序列号或设备名称有误", en)


def token(sent: Sent) -> str:
    """Of the field, else of the Authorization header; empty if there is none. Cut to what a token may be."""
    return (text(sent, "token") or sent.bearer)[:64]


def hexadecimal(sent: Sent, name: str) -> str:
    """A challenge or its answer; empty if it was not sent. Raises 2."""
    given = text(sent, name)
    if len(given) > LONGEST or not all(char in string.hexdigits for char in given):
        raise wrong(name, "hexadecimal digits")
    return given


# ---- pictures and features


def picture(sent: Sent, name: str) -> bytes:
    """A file, or base64 text, also as a data URL. Raises 9005, 9113."""
    if name in sent.files:
        return sent.files[name]
    given = required(sent, name)
    head, comma, rest = given[:100].partition(",")
    if comma and head.startswith("data:"):
        given = rest + given[100:]
    data = _base64(given)
    if data is None:
        raise refused(DeviceCode.FILE_UNREADABLE, "照片不是 base64", f"{name} is no base64")
    return data


def feature(sent: Sent, name: str) -> Feature:
    """Raises 9005, 73731."""
    given = required(sent, name)
    data = _base64(given) if len(given) <= 2 * MAX_FEATURE else None
    try:
        return Feature.unpacked(data or b"")
    except NotAFeature as error:
        raise refused(DeviceCode.FACE_REFUSED, f"{name} 不是人脸特征", f"{name}: {error}") from None


def optional_feature(sent: Sent, name: str) -> Feature | None:
    """Raises 73731."""
    return feature(sent, name) if text(sent, name) else None


def _base64(given: str) -> bytes | None:
    """Line breaks allowed; a form may have made blanks of its plus signs."""
    plain = given.strip().replace("\r", "").replace("\n", "").replace(" ", "+")
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        return None


def box(sent: Sent) -> Box:
    """Four whole numbers, pixels of the picture standing upright. Raises 9005 with the names of those that are
    missing, 2."""
    if lacking := [name for name in BOX if not text(sent, name)]:
        raise missing(*lacking)
    left, top, right, bottom = (whole(sent, name, 0, (0, LARGEST)) for name in BOX)
    if left >= right or top >= bottom:
        raise wrong("left", "left < right and top < bottom")
    return Box(left=left, top=top, width=right - left, height=bottom - top)


# ---- people


def student(sent: Sent, class_name: str, gender: Gender) -> StudentForm:
    """`class_name` and `gender` for those who send none. Raises 2, 9005."""
    return StudentForm(
        num=_fitting(sent, "username", StudentNumber, required(sent, "username")),
        name=_fitting(sent, "faceName", StudentName, required(sent, "faceName")),
        class_name=_fitting(sent, "className", StudentName, text(sent, "className") or class_name),
        gender=_gender(sent, gender),
    )


def _gender(sent: Sent, usual: Gender) -> Gender:
    given = text(sent, "gender")
    if given and given not in GENDERS:
        raise wrong("gender", "0 male, 1 female, MAN or WOMAN")
    return GENDERS[given] if given else usual


def somebody(sent: Sent) -> str:
    """A student number or a name. Raises 2, 9005."""
    return _fitting(sent, "faceName", StudentName, required(sent, "faceName"))


def _fitting(sent: Sent, name: str, kind: Any, value: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs") or char == "\ufffd" for char in value):
        raise wrong(name, "no control characters, and UTF-8")
    try:
        fitting: str = TypeAdapter(kind).validate_python(value)
    except ValidationError:
        rule = "digits, letters and _ only" if kind is StudentNumber else "1 to 128 characters"
        raise wrong(name, rule) from None
    return fitting


# ---- time and numbers


def moment(sent: Sent, now: datetime) -> datetime | None:
    """Unix seconds, decimals allowed, None if not sent. Raises 2 for one that is not credible."""
    given = text(sent, "time")
    if not given:
        return None
    found = _SECONDS.fullmatch(given)
    if not found:
        raise wrong("time", "Unix seconds")
    at = datetime.fromtimestamp(0, UTC) + timedelta(
        seconds=int(found[1]), milliseconds=int((found[2] or "0").ljust(3, "0")[:3])
    )
    if not credible(at, now):
        raise wrong("time", f"not between a year ago and now, which is {now.timestamp():.0f}")
    return at


def sequence(sent: Sent) -> int | None:
    """Raises 2; 9005 for one without a time, since a terminal that was reset begins to count anew."""
    if not text(sent, "seq"):
        return None
    number = whole(sent, "seq", 0, (0, LAST_NUMBER))
    if not text(sent, "time"):
        raise missing("time")
    return number


def cursor(sent: Sent) -> tuple[int, str]:
    """(revision, mark) as `next` was given out; (0, "") if not sent. Raises 2."""
    given = text(sent, "since")
    if not given:
        return 0, ""
    found = _CURSOR.fullmatch(given)
    if not found:
        raise wrong("since", "a `next` of an earlier answer")
    return int(found[1]), found[2]


def page(sent: Sent) -> int:
    """Raises 2."""
    return whole(sent, "limit", 500, (1, MAX_ROSTER))


def whole(sent: Sent, name: str, usual: int, bounds: tuple[int, int]) -> int:
    """Raises 2."""
    given = text(sent, name)
    if not given:
        return usual
    found = _WHOLE.fullmatch(given)
    if not found or not bounds[0] <= int(found[1]) <= bounds[1]:
        raise wrong(name, f"a whole number from {bounds[0]} to {bounds[1]}")
    return int(found[1])


def required(sent: Sent, name: str) -> str:
    """Raises 2, 9005."""
    given = text(sent, name)
    if not given:
        raise missing(name)
    return given


def text(sent: Sent, name: str) -> str:
    """Stripped; empty if it was not sent. Raises 2 for anything else than text or a number."""
    if name in sent.files:
        raise wrong(name, "text, not a file")
    given = sent.fields.get(name, "")
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise wrong(name, "text or a number")
    try:
        shown = str(given)
        shown.encode()
    except ValueError:  # JSON can spell half a character, and a number of more digits than Python prints
        raise wrong(name, "text or a number") from None
    return shown.strip()


def missing(*names: str) -> DeviceRefused:
    """9005, to be raised."""
    listed = ", ".join(names)
    return refused(DeviceCode.INCOMPLETE_PARAMETERS, f"参数不完整: {listed}", listed)


def wrong(name: str, rule: str) -> DeviceRefused:
    """2, to be raised."""
    return refused(DeviceCode.INVALID_PARAMETER, f"参数有误: {name}", f"{name}: {rule}")
