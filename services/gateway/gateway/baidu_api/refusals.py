"""Saying no in Baidu's numbers."""

from shared.codes import FACE_TEXTS, FaceCode
from shared.errors import InvalidInput, RollcallError, Unavailable

LAST_GATEWAY_CODE = 999
"""Codes up to here come from Baidu's gateway, which answers with code and text alone (V3 §2.3)."""


def refused(code: FaceCode, name: str = "") -> InvalidInput:
    """The error with this code, to be raised; `name` is the parameter at fault."""
    words = text_of(code, name)
    return InvalidInput(words, words, field=name, number=int(code))


def text_of(code: FaceCode, name: str = "") -> str:
    """Baidu's exact words."""
    return FACE_TEXTS[code].format(name)


def code_of(error: RollcallError) -> FaceCode:
    """The code that an error of any service is answered with."""
    if error.number in FACE_TEXTS:
        return FaceCode(error.number)
    return FaceCode.UNAVAILABLE if isinstance(error, Unavailable) else FaceCode.UNKNOWN
