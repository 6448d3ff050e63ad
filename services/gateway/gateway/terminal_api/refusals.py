"""Saying no in seed 004's numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.body_limit import BodyTooLarge
from gateway.clockin import PictureRefused
from shared.codes import DeviceCode
from shared.contracts.recognition import SEVERAL_FACES, Problem
from shared.errors import (
    Conflict,
    DeviceRefused,
    Internal,
    InvalidInput,
    NotAllowed,
    NotFound,
    RollcallError,
    Unavailable,
)
from shared.vision.picture import (
    AnimatedPicture,
    NotAPicture,
    PictureError,
    PictureTooSmall,
    TooManyBytes,
    TooManyPixels,
    UnsupportedFormat,
)

OF_PICTURES: Final[Mapping[type[PictureError], DeviceCode]] = {
    TooManyBytes: DeviceCode.IMAGE_TOO_LARGE,
    TooManyPixels: DeviceCode.IMAGE_TOO_LARGE,
    PictureTooSmall: DeviceCode.IMAGE_PARAMETERS,
    NotAPicture: DeviceCode.IMAGE_FORMAT,
    UnsupportedFormat: DeviceCode.IMAGE_FORMAT,
    AnimatedPicture: DeviceCode.IMAGE_FORMAT,
}
"""The others cannot be read: 9113."""
OF_ERRORS: Final[tuple[tuple[type[RollcallError], DeviceCode], ...]] = (
    (BodyTooLarge, DeviceCode.BUFFER_OVERFLOW),
    (NotAllowed, DeviceCode.PERMISSION_DENIED),
    (Conflict, DeviceCode.BAD_STATE),
    (NotFound, DeviceCode.FACE_REFUSED),
    (InvalidInput, DeviceCode.INVALID_PARAMETER),
    (Internal, DeviceCode.INTERNAL_ERROR),
)
NUMBERS: Final = {int(code): code for code in DeviceCode if code is not DeviceCode.SUCCESS}
CARRY_THE_NUMBER: Final = (DeviceRefused, NotAllowed)
"""Errors whose `number` is this API's; that of others is Baidu's."""


@dataclass(frozen=True, slots=True)
class Status:
    """HTTP's word beside the code. Clients of this API expect 200, so it is something else only where a proxy, or
    somebody who never saw the API, should know it too."""

    number: int = 200
    retry_after_s: int = 0


STATUSES: Final[Mapping[DeviceCode, Status]] = {
    DeviceCode.UNKNOWN_ERROR: Status(503, 5),
    DeviceCode.PAUSE: Status(429, 1),
    DeviceCode.BUFFER_OVERFLOW: Status(413),
    DeviceCode.INTERNAL_ERROR: Status(500),
}


def refused(code: DeviceCode, zh: str, en: str) -> DeviceRefused:
    """The error with this code, to be raised."""
    return DeviceRefused(zh, f"{code.printed}: {en}", number=int(code))


def code_of(error: RollcallError) -> DeviceCode:
    """The code that an error of any service is answered with."""
    if isinstance(error, CARRY_THE_NUMBER) and error.number in NUMBERS:
        return NUMBERS[error.number]
    if isinstance(error, PictureError):
        return OF_PICTURES.get(type(error), DeviceCode.FILE_UNREADABLE)
    if isinstance(error, PictureRefused):
        return _of_problem(error.problems[0])
    return next((code for kind, code in OF_ERRORS if isinstance(error, kind)), DeviceCode.UNKNOWN_ERROR)


def of_problem(problem: Problem) -> RollcallError:
    """The error for a picture in which nothing could be looked at."""
    if problem.code <= 2:  # Baidu's codes for "not now"
        return Unavailable(problem.zh, problem.en)
    return DeviceRefused(problem.zh, problem.en, number=int(_of_problem(problem)))


_BAIDU: Final = {
    222202: DeviceCode.NO_FACE,
    222203: DeviceCode.FILE_UNREADABLE,
    222304: DeviceCode.IMAGE_TOO_LARGE,
    222309: DeviceCode.IMAGE_PARAMETERS,
}


def _of_problem(problem: Problem) -> DeviceCode:
    if problem == SEVERAL_FACES:
        return DeviceCode.IMAGE_REFUSED
    return _BAIDU.get(problem.code, DeviceCode.IMAGE_REFUSED)
