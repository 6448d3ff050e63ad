"""The fields of a student as a form sends them: names as seed 000 prints them, rules as the contract states them."""

from collections.abc import Mapping
from typing import Any, Final
from unicodedata import category

from pydantic import TypeAdapter, ValidationError

from gateway.clockin import StudentForm
from shared.contracts.people import Gender, StudentName, StudentNumber

FIELDS: Final[Mapping[str, Any]] = {
    "stu_name": StudentName,
    "stu_class": StudentName,
    "stu_num": StudentNumber,
    "gender": Gender,
}
FORM_FIELD: Final = {"name": "stu_name", "class_name": "stu_class", "num": "stu_num", "gender": "gender"}
"""The form's name for a field of the contract."""


class FieldsRefused(Exception):
    """These fields are empty or break their rule."""

    def __init__(self, fields: list[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


def typed(fields: Mapping[str, str]) -> dict[str, str]:
    """What was typed, trimmed, to be shown again."""
    return {name: fields.get(name, "").strip() for name in FIELDS}


def read_student(fields: Mapping[str, str]) -> StudentForm:
    """The student of a form. Raises FieldsRefused."""
    given = typed(fields)
    if wrong := [name for name, text in given.items() if not _fits(FIELDS[name], text)]:
        raise FieldsRefused(wrong)
    return StudentForm(
        num=given["stu_num"],
        name=given["stu_name"],
        class_name=given["stu_class"],
        gender=Gender(given["gender"]),
    )


def _fits(kind: Any, text: str) -> bool:
    if any(category(letter) in ("Cc", "Cs") for letter in text):
        return False
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True
