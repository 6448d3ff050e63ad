"""Students and their faces: what the registry is asked, and how a recognizer keeps its copy of the library."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, StringConstraints

from shared.contracts.base import Command, Event, Message, new_id

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


class GalleryFace(Message):
    """One face of the library: `embedding` is little-endian float32, L2-normalised, made by `model`."""

    face_id: int
    student_id: int
    model: str
    embedding: bytes


class EnrolledFace(Message):
    """A face that a recognizer measured and that shall enter the library together with its photo."""

    model: str = Field(max_length=64)
    embedding: bytes = Field(min_length=4, max_length=16_384)
    jpeg: bytes = Field(min_length=4, max_length=3_000_000)
    box: tuple[float, float, float, float]
    """left, top, width, height in pixels of `jpeg`."""


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


class LibraryRevision(Message):
    """The library's revision after a change."""

    revision: int


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


class LibraryDelta(Message):
    """All that changed after the asked revision, up to and with `revision`; `head` is the newest there is.

    Apply removals first, then people, then faces. `revision < head` means: ask again from `revision`.
    """

    revision: int
    head: int
    removed_faces: tuple[int, ...] = ()
    removed_people: tuple[int, ...] = ()
    people: tuple[Person, ...] = ()
    faces: tuple[GalleryFace, ...] = ()


class LibraryChanges(Command[LibraryDelta]):
    """Snapshot (since 0) and delta in one: pages of at most `limit` faces."""

    subject: ClassVar[str] = "cmd.registry.library_changes"

    since: int = Field(ge=0)
    limit: int = Field(default=2_000, ge=1, le=4_000)


class FaceChanged(Event):
    """The library reached `revision`: whoever keeps a copy asks for the changes. Only a nudge, safe to miss."""

    subject: ClassVar[str] = "evt.face.changed"

    revision: int


class StudentChanged(Event):
    """A student was registered, edited or deleted."""

    subject: ClassVar[str] = "evt.student.changed"

    student_id: int
    change: str
    by: str
