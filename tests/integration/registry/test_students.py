"""Registering, correcting, deleting and finding students, on both databases."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from registry.handlers import FaceLibrary, Students
from registry.store.database import Database
from registry.store.library import Library
from registry.tables import Audit, Face, FaceUser, Outbox, PhotoFile, Student, Table
from shared.contracts.gallery import LibraryChanges
from shared.contracts.people import DeleteStudent, FindStudents, Gender, GetPhoto, GetStudent
from shared.errors import Conflict, InvalidInput, NotFound
from tests.integration.registry.samples import correction, embedding, face, photo, registration

ODD_NAMES = [
    "张三",
    'O\'Brien "Bob"',
    "'; DROP TABLE students; --",
    "𠮷野家 𡈽",
    "😀👨‍👩‍👧",
    "100% _under_ \\back\\slash /",
    "José Ñandú",
    "ﷺ" * 128,
]


async def count(database: Database, table: type) -> int:
    found = await database.read(lambda session: session.scalar(select(func.count()).select_from(table)))
    return int(found or 0)


async def test_registering_writes_everything(students: Students, database: Database) -> None:
    answer = await students.register(registration(1, gender=Gender.MAN))
    assert (answer.person.num, answer.person.name, answer.person.class_name) == ("20260001", "学生1", "一班")
    assert (answer.person.gender, answer.revision) == (Gender.MAN, 1)
    row = await students.get(GetStudent(student_id=answer.person.student_id))
    assert (row.person, row.faces) == (answer.person, 1)
    assert (await students.photo(GetPhoto(student_id=answer.person.student_id))).jpeg == photo(1)
    assert [await count(database, t) for t in (Student, FaceUser, Face, PhotoFile, Outbox)] == [1, 1, 1, 1, 2]


async def test_the_user_id_of_the_face_library_is_the_student_number(students: Students, database: Database) -> None:
    person = (await students.register(registration(1, num="A_1"))).person
    await students.edit(correction(person.student_id, num="B_2"))
    assert await database.read(lambda session: session.scalar(select(FaceUser.user_id))) == "B_2"


async def test_the_same_request_gets_the_same_answer(students: Students, database: Database) -> None:
    asked = registration(1)
    answers = await asyncio.gather(*(students.register(asked) for _ in range(6)))
    assert set(answers) == {answers[0]}
    assert [await count(database, t) for t in (Student, Face, PhotoFile)] == [1, 1, 1]
    await students.edit(correction(answers[0].person.student_id))
    assert (await students.register(asked)).revision == answers[0].revision


async def test_a_taken_number_is_refused_and_nothing_is_written(students: Students, database: Database) -> None:
    await students.register(registration(1))
    with pytest.raises(Conflict) as caught:
        await students.register(registration(2, num="20260001"))
    assert (caught.value.zh, caught.value.field) == ("学号已被注册", "num")
    assert [await count(database, t) for t in (Student, Face, PhotoFile, Outbox)] == [1, 1, 1, 2]


async def test_of_many_who_want_one_number_one_gets_it(students: Students, database: Database) -> None:
    asked = [registration(seed, num="7") for seed in range(8)]
    answers = await asyncio.gather(*map(students.register, asked), return_exceptions=True)
    assert sorted(type(a).__name__ for a in answers) == ["Conflict"] * 7 + ["Registered"]
    assert await count(database, PhotoFile) == 1


async def test_the_same_photo_cannot_be_two_students(students: Students, database: Database) -> None:
    await students.register(registration(1))
    with pytest.raises(Conflict) as caught:
        await students.register(registration(2, face=face(1)))
    assert caught.value.field == "face"
    assert await count(database, Student) == 1


async def test_numbers_that_differ_in_case_are_two_numbers(students: Students) -> None:
    await students.register(registration(1, num="Ab"))
    await students.register(registration(2, num="aB"))
    assert (await students.find(FindStudents(text="AB"))).total == 2


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_odd_names_come_back_as_they_went_in(students: Students, name: str) -> None:
    person = (await students.register(registration(1, name=name, class_name=name))).person
    assert person.name == person.class_name == name
    found = await students.find(FindStudents(text=name, class_name=name))
    assert [row.person for row in found.rows] == [person]
    assert found.classes == (name,)


@pytest.mark.parametrize("name", ["a\x00b", "abc\u202edef", "\u200b", "\u2060", "\u00ad"])
async def test_names_that_cannot_be_seen_are_refused(students: Students, database: Database, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await students.register(registration(1, name=name))
    assert caught.value.field == "name"
    assert await count(database, Student) == 0


@pytest.mark.parametrize("bad", [b"\x00" * 512, b"\x00\x00\xc0\x7f" * 128, embedding(1)[:-1], embedding(1) * 2])
async def test_a_face_that_is_no_unit_vector_never_enters(students: Students, database: Database, bad: bytes) -> None:
    spoilt = face(1).model_copy(update={"embedding": bad})
    with pytest.raises(InvalidInput):
        await students.register(registration(1, face=spoilt))
    assert await count(database, Student) == 0


async def test_similar_characters_are_not_the_same(students: Students) -> None:
    """Under a sloppy collation all characters outside the BMP are equal."""
    for seed, name in enumerate(["😀", "😂", "𠮷", "𡈽"]):
        await students.register(registration(seed, name=name, class_name=name))
    for name in ["😀", "😂", "𠮷", "𡈽"]:
        assert [r.person.name for r in (await students.find(FindStudents(text=name))).rows] == [name]
        assert (await students.find(FindStudents(class_name=name))).total == 1


async def test_wildcards_are_letters(students: Students) -> None:
    for seed, name in enumerate(["50%", "a_b", "axb", "50 percent", "back\\slash", "a/b"]):
        await students.register(registration(seed, name=name))

    async def names(searched: str) -> list[str]:
        return [row.person.name for row in (await students.find(FindStudents(text=searched))).rows]

    assert await names("%") == ["50%"]
    assert await names("A_") == ["a_b"]
    assert await names("\\") == ["back\\slash"]
    assert await names("/") == ["a/b"]


async def test_pages_are_ordered_by_class_then_number(students: Students) -> None:
    for seed in (3, 1, 4, 2):
        await students.register(registration(seed, class_name="B" if seed < 3 else "A"))
    page = await students.find(FindStudents(offset=1, limit=2))
    assert [(r.person.class_name, r.person.num) for r in page.rows] == [("A", "20260004"), ("B", "20260001")]
    assert (page.total, page.classes) == (4, ("A", "B"))
    assert (await students.find(FindStudents(class_name="A", text="0003"))).total == 1
    assert (await students.find(FindStudents(offset=2**62))).rows == ()


async def test_editing_changes_the_fields_and_moves_the_revision(students: Students, database: Database) -> None:
    person = (await students.register(registration(1))).person
    answer = await students.edit(correction(person.student_id, num="9", name=" 李  四 ", gender=Gender.MAN))
    assert (answer.person.num, answer.person.name, answer.person.gender) == ("9", "李 四", Gender.MAN)
    assert answer.revision == 2
    assert (await students.get(GetStudent(student_id=person.student_id))).faces == 1
    trace = await database.read(lambda session: session.execute(select(Audit.by, Audit.action)))
    assert list(trace) == [("office", "edit student")]


async def test_an_edit_may_not_take_anothers_number(students: Students) -> None:
    await students.register(registration(1))
    second = (await students.register(registration(2))).person
    with pytest.raises(Conflict):
        await students.edit(correction(second.student_id, num="20260001"))
    assert (await students.get(GetStudent(student_id=second.student_id))).person == second
    kept = await students.edit(correction(second.student_id, num=second.num, name="别名"))
    assert kept.person.name == "别名"


async def test_deleting_erases_face_and_photo(students: Students, database: Database, library: Library) -> None:
    keeper = (await students.register(registration(1))).person
    gone = (await students.register(registration(2))).person
    answer = await students.delete(DeleteStudent(student_id=gone.student_id, by="office"))
    assert answer.revision == 3
    assert [await count(database, t) for t in (Student, FaceUser, Face, PhotoFile)] == [1, 1, 1, 1]
    for question in (students.get(GetStudent(student_id=gone.student_id)), students.photo(_photo_of(gone.student_id))):
        with pytest.raises(NotFound):
            await question
    assert (await students.photo(_photo_of(keeper.student_id))).jpeg == photo(1)
    again = await students.register(registration(2))
    assert again.person.student_id not in (keeper.student_id, gone.student_id)


def _photo_of(student_id: int) -> GetPhoto:
    return GetPhoto(student_id=student_id)


@pytest.mark.parametrize("student_id", [0, -1, 99, 2**31, 2**63])
async def test_nobody_has_this_id(students: Students, faces: FaceLibrary, student_id: int) -> None:
    for question in (
        students.get(GetStudent(student_id=student_id)),
        students.photo(_photo_of(student_id)),
        students.edit(correction(student_id)),
        students.delete(DeleteStudent(student_id=student_id, by="office")),
    ):
        with pytest.raises(NotFound):
            await question
    assert (await faces.changes(LibraryChanges(since=0))).head == 0


async def test_no_photo_and_no_embedding_is_readable_in_the_database(students: Students, database: Database) -> None:
    await students.register(registration(1))
    dump = await database.read(_all_bytes)
    for secret in (photo(1)[100:130], embedding(1)[40:60]):
        assert secret not in dump
    if not database.is_mysql:
        await database.close()
        folder = database.engine.url.database
        raw = b"".join(p.read_bytes() for p in _files(str(folder)))
        assert photo(1)[100:130] not in raw and embedding(1)[40:60] not in raw


def _files(database: str) -> list[Path]:
    return sorted(Path(database).parent.glob(Path(database).name + "*"))


async def _all_bytes(session: AsyncSession) -> bytes:
    parts = []
    for table in Table.metadata.sorted_tables:
        for row in await session.execute(text(f"SELECT * FROM {table.name}")):
            parts += [value for value in row if isinstance(value, bytes)]
    return b"\x00".join(parts)
