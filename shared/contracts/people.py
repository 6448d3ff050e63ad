"""Students and their faces: what the registry is asked."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, StringConstraints

from shared.contracts.base import Command, Event, Message, new_id
from shared.contracts.library import EnrolledFace, LibraryRevision

StudentName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
StudentNumber = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[0-9A-Za-z_]+$", max_length=128)]
"""A student number is also the user_id of the face library: digits, letters, underscore (Baidu V3 §2.6)."""


class Gender(StrEnum):
    """As the seed's `st_gender` column spells it."""

    MAN = "MAN"
    WOMAN = "WOMAN"


class Person(Message):
    """A student as everybody but the registry sees one."""

    student_id: int
    num: str
    name: str
    class_name: str
    gender: Gender


class StudentRow(Message):
    """A student as the office sees one."""

    person: Person
    faces: int
    created_at: AwareDatetime


class Registered(Message):
    """The student is in the library; every index at `revision` or later finds the face."""

    person: Person
    revision: int


class RegisterStudent(Command[Registered]):
    """Write student, photo and face in one transaction. Errors: Conflict (the number is taken), InvalidInput.

    The same `request_id` again answers the first result again: a retry after a time-out is safe.
    """

    subject: ClassVar[str] = "cmd.registry.register_student"
    timeout: ClassVar[float] = 8.0

    request_id: str = Field(default_factory=new_id, max_length=64)
    num: StudentNumber
    name: StudentName
    class_name: StudentName
    gender: Gender
    face: EnrolledFace


class EditStudent(Command[Registered]):
    """Correct a student's fields; the faces stay. Errors: NotFound, Conflict."""

    subject: ClassVar[str] = "cmd.registry.edit_student"

    student_id: int
    num: StudentNumber
    name: StudentName
    class_name: StudentName
    gender: Gender
    by: str = Field(max_length=64)


class DeleteStudent(Command[LibraryRevision]):
    """Remove the student, faces and photos; punches keep the name they were made under. Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.delete_student"

    student_id: int
    by: str = Field(max_length=64)


class GetStudent(Command[StudentRow]):
    """Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.get_student"

    student_id: int


class StudentPage(Message):
    """`total` counts all that match, not only the page."""

    rows: tuple[StudentRow, ...]
    total: int
    classes: tuple[str, ...]
    library_faces: int = 0
    """faces in the whole library: they decide how alike a face must be"""


class FindStudents(Command[StudentPage]):
    """Students by part of name or number, by class; ordered by class, then number."""

    subject: ClassVar[str] = "cmd.registry.find_students"

    text: str = Field(default="", max_length=128)
    class_name: str = Field(default="", max_length=128)
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=50, ge=1, le=500)


class Photo(Message):
    """A stored photo, as it was registered."""

    jpeg: bytes


class GetPhoto(Command[Photo]):
    """The first photo of a student. Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.get_photo"

    student_id: int


class StudentChanged(Event):
    """A student was registered, edited or deleted."""

    subject: ClassVar[str] = "evt.student.changed"

    student_id: int
    change: str
    by: str
    num: str = ""
    """the student number after the change; of a deleted student the last one"""
    num_before: str = ""
    """if the change was one of the number"""
