"""What was sent, whatever the Content-Type says (V3 §2.4): JSON, else a form; the query fills the gaps. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.baidu_api.refusals import refused
from shared.codes import FaceCode

Fields = Mapping[str, Any]

MAX_FIELDS: Final = 64
"""No call has half as many."""


def read_fields(body: bytes, query: Mapping[str, str]) -> Fields:
    """The parameters by name; null and the empty text count as not sent. Raises 222200."""
    sent = _object(_text(body).strip())
    return {**query, **{name: value for name, value in sent.items() if value is not None and value != ""}}


def read_items(body: bytes, _: Mapping[str, str]) -> list[Fields]:
    """The objects of a JSON array, the only form that `match` and `faceverify` take. Raises 222200."""
    sent = _json(_text(body))
    if not isinstance(sent, list) or not all(isinstance(item, dict) for item in sent):
        raise refused(FaceCode.NOT_JSON)
    return sent


def _text(body: bytes) -> str:
    """Old urllib3 sends JSON as ISO-8859-1 (V3 §1.1)."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _object(text: str) -> Fields:
    if not text:
        return {}
    if text[0] not in '{["' and (form := _form(text)):
        return form
    sent = _json(text)
    if not isinstance(sent, dict):
        raise refused(FaceCode.NOT_JSON)
    return sent


def _form(text: str) -> Fields:
    """Empty if it is none."""
    try:
        return dict(parse_qsl(text, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise refused(FaceCode.NOT_JSON) from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
