"""Students: register, correct, delete, find."""

from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import LARGEST_ROW_ID, is_row_id, tidy
from registry.store.events import announce, audit
from registry.store.faces import Place, SealedFace, add_face, bury, depart, erase_users, open_photo
from registry.store.library import Library, hold, next_revision
from registry.tables import Face, FaceUser, PhotoFile, Student
from shared.contracts.base import now
from shared.contracts.gallery import FaceChanged
from shared.contracts.library import LibraryRevision
from shared.contracts.people import (
    DeleteStudent,
    EditStudent,
    FindStudents,
    Person,
    Photo,
    Registered,
    RegisterStudent,
    StudentChanged,
    StudentPage,
    StudentRow,
)
from shared.errors import Conflict, NotFound

REGISTRATION = "registration"
"""who registers, in the events: students do it themselves"""


async def register(session: AsyncSession, library: Library, asked: RegisterStudent, face: SealedFace) -> Registered:
    """Student, photo and face, all or nothing. Raises Conflict. The same request again: the first answer again."""
    await hold(session)
    earlier = await session.scalar(select(Student).where(Student.request_id == asked.request_id))
    if earlier is not None:
        return Registered(person=as_person(earlier), revision=await _first_revision(session, earlier))
    await _check_number(session, asked.num, None)
    revision = await next_revision(session)
    student = await _new_student(session, asked, revision)
    user = FaceUser(
        group_pk=library.group_pk,
        user_id=asked.num,
        student_id=student.id,
        born=revision,
        revision=revision,
        created_at=now(),
    )
    session.add(user)
    await session.flush()
    place = Place(library.app_id, library.group_pk, user.id)
    await add_face(session, library.vault, place, face, revision)
    await _tell(session, student, "registered", REGISTRATION, revision)
    return Registered(person=as_person(student), revision=revision)


async def _new_student(session: AsyncSession, asked: RegisterStudent, revision: int) -> Student:
    student = Student(
        st_name=tidy(asked.name, "name"),
        st_class=tidy(asked.class_name, "class_name"),
        st_num=asked.num,
        st_gender=asked.gender,
        created_at=now(),
        request_id=asked.request_id,
        revision=revision,
    )
    session.add(student)
    await session.flush()
    return student


async def _first_revision(session: AsyncSession, student: Student) -> int:
    first = select(func.min(Face.revision)).join(FaceUser, FaceUser.id == Face.user_pk)
    return await session.scalar(first.where(FaceUser.student_id == student.id)) or student.revision


async def _check_number(session: AsyncSession, num: str, own_id: int | None) -> None:
    owner = await session.scalar(select(Student.id).where(Student.st_num == num))
    if owner is not None and owner != own_id:
        raise Conflict("学号已被注册", "the student number is already taken", field="num")


async def _tell(
    session: AsyncSession, student: Student, change: str, by: str, revision: int, *, num_before: str = ""
) -> None:
    changed = StudentChanged(student_id=student.id, change=change, by=by, num=student.st_num, num_before=num_before)
    await announce(session, FaceChanged(revision=revision), changed)


async def edit(session: AsyncSession, asked: EditStudent) -> Registered:
    """Raises NotFound, Conflict. The new revision carries the new name into every recognizer's copy."""
    revision = await next_revision(session)
    student = await _locked(session, asked.student_id)
    await _check_number(session, asked.num, student.id)
    before = student.st_num if student.st_num != asked.num else ""
    class_name = tidy(asked.class_name, "class_name")
    if (student.st_num, student.st_class) != (asked.num, class_name):
        await depart(session, revision, student.id)
    student.st_name, student.st_class = tidy(asked.name, "name"), class_name
    student.st_num, student.st_gender, student.revision = asked.num, asked.gender, revision
    for user in await session.scalars(select(FaceUser).where(FaceUser.student_id == student.id)):
        user.user_id, user.revision = asked.num, revision
    await session.flush()
    await audit(session, asked.by, "edit student", f"student {student.id}")
    await _tell(session, student, "edited", asked.by, revision, num_before=before)
    return Registered(person=as_person(student), revision=revision)


async def remove(session: AsyncSession, asked: DeleteStudent) -> LibraryRevision:
    """Raises NotFound. Punches stay, with the names they were made under."""
    revision = await next_revision(session)
    student = await _locked(session, asked.student_id)
    users = list(await session.scalars(select(FaceUser).where(FaceUser.student_id == student.id)))
    born = await session.scalar(select(func.min(Face.revision)).where(Face.user_pk.in_([u.id for u in users])))
    await erase_users(session, users, revision)
    await bury(session, revision, [("person", student.id, born or 0)])
    await session.delete(student)
    await audit(session, asked.by, "delete student", f"student {asked.student_id}: row, faces and photos erased")
    await _tell(session, student, "deleted", asked.by, revision)
    return LibraryRevision(revision=revision)


async def _locked(session: AsyncSession, student_id: int) -> Student:
    """The student, held against punches and other changes until the end of the transaction."""
    wanted = select(Student).where(Student.id == student_id).with_for_update()
    student = await session.scalar(wanted) if is_row_id(student_id) else None
    return _found(student)


def _found(student: Student | None) -> Student:
    if student is None:
        raise NotFound("没有这名学员", "no such student", field="student_id")
    return student


def _rows() -> Select[Any]:
    faces = (
        select(func.count(Face.id))
        .join(FaceUser, FaceUser.id == Face.user_pk)
        .where(FaceUser.student_id == Student.id)
        .scalar_subquery()
    )
    return select(Student, faces.label("faces"))


def _row(found: Any) -> StudentRow:
    student, faces = found
    return StudentRow(person=as_person(student), faces=faces, created_at=student.created_at)


async def get(session: AsyncSession, student_id: int) -> StudentRow:
    """Raises NotFound."""
    found = (await session.execute(_rows().where(Student.id == student_id))).first() if is_row_id(student_id) else None
    _found(found[0] if found else None)
    return _row(found)


async def find(session: AsyncSession, asked: FindStudents) -> StudentPage:
    """A page of the students that match, and all classes to filter by."""
    wanted = _matching(asked)
    rows = _rows().where(*wanted).order_by(Student.st_class, Student.st_num)
    page = await session.execute(rows.offset(min(asked.offset, LARGEST_ROW_ID)).limit(asked.limit))
    total = await session.scalar(select(func.count(Student.id)).where(*wanted))
    classes = await session.scalars(select(Student.st_class).distinct().order_by(Student.st_class))
    of_students = select(func.count(Face.id)).join(FaceUser, FaceUser.id == Face.user_pk)
    faces = await session.scalar(of_students.where(FaceUser.student_id.is_not(None)))
    return StudentPage(rows=tuple(map(_row, page)), total=total or 0, classes=tuple(classes), library_faces=faces or 0)


def _matching(asked: FindStudents) -> list[ColumnElement[bool]]:
    """% and _ in what is searched for are letters like others."""
    wanted: list[ColumnElement[bool]] = []
    if text := asked.text.strip():
        in_name = Student.st_name.icontains(text, autoescape=True)
        wanted.append(or_(in_name, Student.st_num.icontains(text, autoescape=True)))
    if asked.class_name:
        wanted.append(Student.st_class == asked.class_name)
    return wanted


async def photo(session: AsyncSession, library: Library, student_id: int) -> Photo:
    """The first photo of a student. Raises NotFound."""
    first = (
        select(PhotoFile.sealed, Face.face_token)
        .join(Face, Face.photo_id == PhotoFile.id)
        .join(FaceUser, FaceUser.id == Face.user_pk)
        .where(FaceUser.student_id == student_id)
        .order_by(Face.id)
    )
    found = (await session.execute(first.limit(1))).first() if is_row_id(student_id) else None
    if found is None:
        raise NotFound("没有照片", "no photo", field="student_id")
    return Photo(jpeg=open_photo(library.vault, found.sealed, found.face_token))


def as_person(student: Student) -> Person:
    """A student as everybody but the registry sees one."""
    return Person(
        student_id=student.id,
        num=student.st_num,
        name=student.st_name,
        class_name=student.st_class,
        gender=student.st_gender,
    )
