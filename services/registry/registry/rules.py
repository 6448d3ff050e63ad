"""Decisions, pure: time and everything else that changes is an argument."""

import hashlib
import hmac
import math
import secrets
import string
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from shared.codes import FACE_TEXTS, FaceCode
from shared.contracts.library import CLOUD_MODEL, MAX_USER_INFO, UNIT_TOLERANCE
from shared.errors import InvalidInput

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
LARGEST_ROW_ID: Final = 2**31 - 1
ALPHABET: Final = string.ascii_letters + string.digits
FREE_FAILURES: Final = 5
"""Wrong passwords in a row that cost nothing."""
LONGEST_DELAY_S: Final = 30.0
"""A stranger who fails on purpose can keep the office waiting this long, and no longer."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody was seen: what a punch is made of, and, once it stands, what later sightings are compared with."""

    event_id: str
    student_id: int
    place: str
    captured_at: datetime


def judge(sightings: Iterable[Sighting], ledger: Iterable[Sighting], debounce_s: float) -> dict[str, Sighting]:
    """By event id, the punch that each sighting comes to: an earlier one that it repeats, or itself.

    `ledger` are the punches that stand already. The sightings are judged in the order of their capture, each
    against the ledger and the ones judged before it.
    """
    standing: dict[tuple[int, str], list[Sighting]] = {}
    for punch in ledger:
        standing.setdefault((punch.student_id, punch.place), []).append(punch)
    verdicts = {}
    for sighting in sorted(sightings, key=lambda s: s.captured_at):
        others = standing.setdefault((sighting.student_id, sighting.place), [])
        repeats = repeated(sighting.captured_at, others, debounce_s)
        verdicts[sighting.event_id] = repeats or sighting
        if repeats is None:
            others.append(sighting)
    return verdicts


def window(earliest: datetime, latest: datetime, debounce_s: float) -> tuple[datetime, datetime]:
    """The open interval in which a punch can matter to sightings captured between these two times.

    It reaches both ways: events may arrive late, so the punch that stands may be younger than the sighting. It ends
    where the calendar ends: a clock that went mad must not become an event that fails for ever.
    """
    reach = timedelta(seconds=debounce_s)
    return _EARLIEST + max(earliest - _EARLIEST - reach, timedelta()), _LATEST - max(
        _LATEST - latest - reach, timedelta()
    )


def repeated(captured_at: datetime, near: Iterable[Sighting], debounce_s: float) -> Sighting | None:
    """The punch that a sighting repeats: the nearest one inside its window, the earlier of two as near."""
    since, until = window(captured_at, captured_at, debounce_s)
    inside = [punch for punch in near if since < punch.captured_at < until]
    return min(inside, key=lambda p: (abs(p.captured_at - captured_at), p.captured_at), default=None)


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """[start, end) of a calendar day in `zone`, in UTC. 23 or 25 hours long where clocks change.

    Raises InvalidInput at the ends of the calendar.
    """
    try:
        start = datetime.combine(day, time.min, zone)
        end = datetime.combine(day + timedelta(days=1), time.min, zone)
        return start.astimezone(UTC), end.astimezone(UTC)
    except OverflowError:
        raise InvalidInput("日期不对", "no such day", field="day") from None


def tidy(text: str, field: str) -> str:
    """A name as it is stored: NFC, runs of blanks as one. Raises InvalidInput if nothing visible is left, or if
    it holds control or direction characters, which make one text look like another."""
    if any(_is_control(c) for c in text):
        raise InvalidInput("含有不可见的控制字符", "control characters are not allowed", field=field)
    tidied = " ".join(unicodedata.normalize("NFC", text).split())
    if not any(unicodedata.category(c)[0] in "LNPS" for c in tidied):
        raise InvalidInput("信息不全，请重新填写", "nothing visible was given", field=field)
    if len(tidied) > 128:
        raise InvalidInput("太长（最多 128 个字）", "longer than 128 characters", field=field)
    return tidied


def _is_control(c: str) -> bool:
    # The joiners stay: emoji of families and several scripts are written with them.
    return unicodedata.category(c) in {"Cc", "Cs", "Co", "Cf"} and c not in "\u200c\u200d\t\n\r" and not _is_tag(c)


def _is_tag(c: str) -> bool:
    """Tag characters spell the flags of England, Scotland and Wales."""
    return "\U000e0020" <= c <= "\U000e007f"


def check_embedding(model: str, embedding: bytes) -> None:
    """Raise InvalidInput unless it is a finite float32 vector of length 1: one NaN would spoil every index. A face
    that only the cloud can compare has none. How many numbers a model's vectors have, the recognizers know."""
    if model == CLOUD_MODEL and not embedding:
        return
    values = array("f")
    if len(embedding) % values.itemsize == 0:
        values.frombytes(embedding)
    norm = math.sqrt(math.fsum(v * v for v in values))
    if not abs(norm - 1.0) <= UNIT_TOLERANCE:
        raise InvalidInput("人脸特征无效", "the embedding is not a float32 unit vector", field="face")


def check_user_info(text: str) -> None:
    """Raise InvalidInput if it is longer than MAX_USER_INFO bytes."""
    if len(text.encode()) > MAX_USER_INFO:
        raise InvalidInput(
            f"user_info 最多 {MAX_USER_INFO} 字节",
            FACE_TEXTS[FaceCode.USER_INFO],
            field="user_info",
            number=FaceCode.USER_INFO,
        )


def new_api_key() -> str:
    """24 letters and digits, as Baidu's: 142 bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(24))


def new_secret() -> str:
    """32 letters and digits: 190 bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(32))


def signature_of(secret: str, prefix: str, canonical: str) -> str:
    """bce-auth-v1's signature, 64 hex characters (V3 §1.6): the key signs the prefix, the result the request."""
    signing_key = hmac.new(secret.encode(), prefix.encode(), hashlib.sha256).hexdigest()
    return hmac.new(signing_key.encode(), canonical.encode(), hashlib.sha256).hexdigest()


def same_text(one: str, other: str) -> bool:
    """Compared in a time that does not tell how much of it is right."""
    return hmac.compare_digest(one.encode(), other.encode())


def is_row_id(number: int) -> bool:
    """Whether a row may have this id: beyond it the drivers raise instead of finding nothing."""
    return 0 < number <= LARGEST_ROW_ID


def page_end(since: int, head: int, weights: Sequence[tuple[int, int]], room: int) -> int:
    """The last revision of a page that starts after `since`: whole revisions, at least one.

    `weights` are (revision, weight) of all changes after `since`, or of the first ones that exceed `room` together.
    """
    used, last_whole = 0, since
    ordered = sorted(weights)
    for index, (revision, weight) in enumerate(ordered):
        if index and revision != ordered[index - 1][0]:
            last_whole = ordered[index - 1][0]
        used += weight
        if used > room and last_whole > since:
            return last_whole
        if used > room:
            return revision
    return head


class Attempts:
    """Slows down guessing: after FREE_FAILURES wrong passwords in a row, a growing but bounded delay."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_at = 0.0

    def wait_s(self, now: float) -> float:
        """How long until the next attempt is looked at, in seconds; 0 if at once."""
        return max(0.0, self._open_at - now)

    def failed(self, now: float) -> None:
        self._failures += 1
        over = self._failures - FREE_FAILURES
        if over >= 0:
            self._open_at = now + min(LONGEST_DELAY_S, 2.0 ** min(over, 10))

    def succeeded(self) -> None:
        self._failures, self._open_at = 0, 0.0
