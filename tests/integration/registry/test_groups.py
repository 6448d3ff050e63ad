"""The face library by Baidu's rules: groups, users, faces, on both databases."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select, update

from registry.handlers import FaceLibrary, Keyring, Students
from registry.store.database import Database
from registry.sweeper import Sweeper
from registry.tables import Face, FaceUser, PhotoFile
from registry.tables import LooseFace as LooseRow
from shared.codes import FaceCode
from shared.contracts.base import now
from shared.contracts.gallery import LibraryChanges
from shared.contracts.library import (
    CLOUD_MODEL,
    MAX_FACES,
    AddGroup,
    CopyUser,
    CreateKey,
    DeleteGroup,
    FaceAction,
    FindFace,
    FindKey,
    GetUser,
    KeepFaces,
    ListFaces,
    ListGroups,
    ListUsers,
    LooseFace,
    PutFace,
    RemoveFace,
    RemoveUser,
    StoredFace,
    UserEntry,
)
from shared.contracts.people import EditStudent, GetStudent
from shared.errors import Conflict, InvalidInput, NotAllowed, NotFound, Refused
from tests.integration.registry.samples import correction, face, photo, registration
from tests.integration.registry.test_library import Copy


@pytest.fixture
async def app(keyring: Keyring) -> int:
    """An app of its own."""
    issued = await keyring.create(CreateKey(name="door", by="test"))
    return (await keyring.found(FindKey(key_id=issued.key.key_id))).app_id


def token(seed: int) -> str:
    return f"{seed:032x}"


def put(app_id: int, seed: int, user: str = "u1", group: str = "g1", **fields: Any) -> PutFace:
    given = {
        "app_id": app_id,
        "group_id": group,
        "user_id": user,
        "action": FaceAction.APPEND,
        "face": face(seed).model_copy(update={"token": token(seed)}),
    }
    return PutFace(**(given | fields))


async def tokens(faces: FaceLibrary, app_id: int, user: str = "u1", group: str = "g1") -> list[str]:
    found = await faces.list_faces(ListFaces(app_id=app_id, group_id=group, user_id=user))
    return [entry.face_token for entry in found.faces]


def code(refused: pytest.ExceptionInfo[Refused]) -> int:
    return refused.value.number


async def test_a_face_makes_its_group_and_user(faces: FaceLibrary, app: int) -> None:
    await faces.put_face(put(app, 1, user_info="小明"))
    assert (await faces.list_groups(ListGroups(app_id=app))).ids == ("g1",)
    assert (await faces.list_users(ListUsers(app_id=app, group_id="g1"))).ids == ("u1",)
    [entry] = (await faces.get_user(GetUser(app_id=app, group_id=None, user_id="u1"))).entries
    assert entry == UserEntry(group_id="g1", user_info="小明")
    found = await faces.find_face(FindFace(app_id=app, token=token(1)))
    assert found == StoredFace(jpeg=photo(1), box=(10.0, 20.5, 100.0, 120.0))


async def test_an_image_is_in_a_group_once(faces: FaceLibrary, app: int) -> None:
    await faces.put_face(put(app, 1))
    for again in (put(app, 1), put(app, 1, user="u2"), put(app, 1, user="u2", action=FaceAction.REPLACE)):
        with pytest.raises(Conflict) as refused:
            await faces.put_face(again)
        assert code(refused) == FaceCode.FACE_EXISTS
    await faces.put_face(put(app, 1, group="g2"))
    assert (await faces.list_users(ListUsers(app_id=app, group_id="g1"))).ids == ("u1",)


@pytest.mark.parametrize("action", [FaceAction.REPLACE, FaceAction.UPDATE])
async def test_replacing_drops_all_other_faces(
    faces: FaceLibrary, app: int, database: Database, action: FaceAction
) -> None:
    for seed in (1, 2):
        await faces.put_face(put(app, seed, user_info="old"))
    await faces.put_face(put(app, 2, action=action))
    assert await tokens(faces, app) == [token(2)]
    assert await database.read(lambda session: session.scalar(select(func.count(PhotoFile.id)))) == 1
    [entry] = (await faces.get_user(GetUser(app_id=app, group_id="g1", user_id="u1"))).entries
    assert entry.user_info == "old"


async def test_updating_nobody(faces: FaceLibrary, app: int) -> None:
    with pytest.raises(NotFound) as refused:
        await faces.put_face(put(app, 1, action=FaceAction.UPDATE))
    assert code(refused) == FaceCode.USER_MISSING
    assert (await faces.list_groups(ListGroups(app_id=app))).ids == ()


async def test_twenty_faces_are_the_limit_also_for_many_at_once(faces: FaceLibrary, app: int) -> None:
    answers = await asyncio.gather(
        *(faces.put_face(put(app, seed)) for seed in range(MAX_FACES + 4)), return_exceptions=True
    )
    refused = [answer.number for answer in answers if isinstance(answer, Refused)]
    assert refused == [FaceCode.TOO_MANY_FACES] * 4
    assert len(await tokens(faces, app)) == MAX_FACES
    await faces.put_face(put(app, 99, group="g2"))


async def test_the_last_face_takes_its_user_along(faces: FaceLibrary, app: int, database: Database) -> None:
    for seed in (1, 2):
        await faces.put_face(put(app, seed))
    await faces.remove_face(RemoveFace(app_id=app, group_id="g1", user_id="u1", face_token=token(1)))
    assert await tokens(faces, app) == [token(2)]
    with pytest.raises(NotFound) as refused:
        await faces.remove_face(RemoveFace(app_id=app, group_id="g1", user_id="u1", face_token=token(1)))
    assert code(refused) == FaceCode.FACE_MISSING
    await faces.remove_face(RemoveFace(app_id=app, group_id="g1", user_id="u1", face_token=token(2)))
    with pytest.raises(NotFound) as refused:
        await tokens(faces, app)
    assert code(refused) == FaceCode.USER_MISSING
    for table in (Face, FaceUser, PhotoFile):
        assert await database.read(lambda session, table=table: session.scalar(select(func.count(table.id)))) == 0


async def test_a_user_leaves_one_group_or_all(faces: FaceLibrary, app: int) -> None:
    for group in ("g1", "g2", "g3"):
        await faces.put_face(put(app, 1, group=group))
    await faces.remove_user(RemoveUser(app_id=app, group_id="g2", user_id="u1"))
    everywhere = GetUser(app_id=app, group_id=None, user_id="u1")
    assert [entry.group_id for entry in (await faces.get_user(everywhere)).entries] == ["g1", "g3"]
    await faces.remove_user(RemoveUser(app_id=app, group_id=None, user_id="u1"))
    for question in (
        faces.get_user(everywhere),
        faces.remove_user(RemoveUser(app_id=app, group_id=None, user_id="u1")),
        faces.remove_user(RemoveUser(app_id=app, group_id="nowhere", user_id="u1")),
    ):
        with pytest.raises(NotFound) as refused:
            await question
        assert code(refused) == FaceCode.USER_MISSING


async def test_groups_are_added_once_and_deleted_at_once(
    faces: FaceLibrary, app: int, database: Database, sweeper: Sweeper
) -> None:
    await faces.add_group(AddGroup(app_id=app, group_id="g1"))
    with pytest.raises(Conflict) as exists:
        await faces.add_group(AddGroup(app_id=app, group_id="g1"))
    assert code(exists) == FaceCode.GROUP_EXISTS
    for seed in range(3):
        await faces.put_face(put(app, seed, user=f"u{seed}"))
    await faces.delete_group(DeleteGroup(app_id=app, group_id="g1"))
    for question in (
        faces.delete_group(DeleteGroup(app_id=app, group_id="g1")),
        faces.list_users(ListUsers(app_id=app, group_id="g1")),
    ):
        with pytest.raises(NotFound) as missing:
            await question
        assert code(missing) == FaceCode.GROUP_MISSING
    with pytest.raises(NotFound):
        await faces.find_face(FindFace(app_id=app, token=token(1)))
    assert (await faces.list_groups(ListGroups(app_id=app))).ids == ()
    await faces.put_face(put(app, 1, user="new"))
    await sweeper.sweep()
    assert (await faces.list_users(ListUsers(app_id=app, group_id="g1"))).ids == ("new",)
    for table in (Face, FaceUser, PhotoFile):
        assert await database.read(lambda session, table=table: session.scalar(select(func.count(table.id)))) == 1


async def test_a_copied_user_has_faces_of_its_own(faces: FaceLibrary, app: int) -> None:
    def copy(source: str, destination: str) -> CopyUser:
        return CopyUser(app_id=app, user_id="u1", source=source, destination=destination)

    for seed in (1, 2):
        await faces.put_face(put(app, seed, user_info="小明"))
    with pytest.raises(NotFound) as refused:
        await faces.copy_user(copy("g1", "g2"))
    assert code(refused) == FaceCode.DESTINATION_MISSING
    await faces.add_group(AddGroup(app_id=app, group_id="g2"))
    with pytest.raises(NotFound) as refused:
        await faces.copy_user(copy("nowhere", "g2"))
    assert code(refused) == FaceCode.USER_MISSING
    await faces.copy_user(copy("g1", "g2"))
    with pytest.raises(Conflict) as exists:
        await faces.copy_user(copy("g1", "g2"))
    assert code(exists) == FaceCode.USER_EXISTS
    await faces.remove_user(RemoveUser(app_id=app, group_id="g1", user_id="u1"))
    assert await tokens(faces, app, group="g2") == [token(1), token(2)]
    assert (await faces.find_face(FindFace(app_id=app, token=token(1)))).jpeg == photo(1)
    delta = await faces.changes(LibraryChanges(since=0))
    assert [row.embedding for row in delta.faces[0].rows()] == [face(seed).embedding for seed in (1, 2)]
    assert [(users.group_id, u.user_info) for users in delta.users for u in users.rows()] == [("g2", "小明")]


async def test_pages_of_ids(faces: FaceLibrary, app: int) -> None:
    for seed in range(5):
        await faces.put_face(put(app, seed, user=f"u{seed}"))
        await faces.add_group(AddGroup(app_id=app, group_id=f"x{seed}"))
    page = await faces.list_users(ListUsers(app_id=app, group_id="g1", start=3, length=5))
    assert page.ids == ("u3", "u4")
    assert (await faces.list_groups(ListGroups(app_id=app, start=1, length=2))).ids == ("x0", "x1")
    assert (await faces.list_users(ListUsers(app_id=app, group_id="g1", start=2**40))).ids == ()


async def test_apps_do_not_see_each_other(faces: FaceLibrary, keyring: Keyring, app: int) -> None:
    issued = await keyring.create(CreateKey(name="other", by="test"))
    other = (await keyring.found(FindKey(key_id=issued.key.key_id))).app_id
    await faces.put_face(put(app, 1))
    await faces.put_face(put(other, 1, user="theirs"))
    assert (await faces.list_users(ListUsers(app_id=other, group_id="g1"))).ids == ("theirs",)
    with pytest.raises(NotFound):
        await faces.get_user(GetUser(app_id=other, group_id=None, user_id="u1"))
    await faces.delete_group(DeleteGroup(app_id=other, group_id="g1"))
    assert await tokens(faces, app) == [token(1)]
    assert (await faces.find_face(FindFace(app_id=app, token=token(1)))).jpeg == photo(1)


async def test_long_user_info_is_refused(faces: FaceLibrary, app: int) -> None:
    await faces.put_face(put(app, 1, user_info="字" * 85))
    with pytest.raises(InvalidInput) as refused:
        await faces.put_face(put(app, 2, user_info="字" * 86))
    assert code(refused) == FaceCode.USER_INFO


async def test_only_faces_of_the_cloud_have_no_embedding(faces: FaceLibrary, app: int) -> None:
    without = face(1).model_copy(update={"embedding": b""})
    with pytest.raises(InvalidInput):
        await faces.put_face(put(app, 1, face=without))
    await faces.put_face(put(app, 1, face=without.model_copy(update={"model": CLOUD_MODEL})))


# ---- the school's students


@pytest.fixture
async def school(keyring: Keyring) -> int:
    issued = await keyring.create(CreateKey(name="default", by="test"))
    return (await keyring.found(FindKey(key_id=issued.key.key_id))).app_id


async def test_students_are_users_of_the_schools_group(students: Students, faces: FaceLibrary, school: int) -> None:
    ada = (await students.register(registration(1))).person
    whose = {"group": "students", "user": ada.num}
    assert (await faces.list_users(ListUsers(app_id=school, group_id="students"))).ids == (ada.num,)
    [entry] = (await faces.get_user(GetUser(app_id=school, group_id="students", user_id=ada.num))).entries
    assert entry.user_info == ada.name
    await faces.put_face(put(school, 5, **whose))
    assert (await students.get(GetStudent(student_id=ada.student_id))).faces == 2
    await students.edit(EditStudent(**correction(ada.student_id, num="77", name="新名").model_dump()))
    [entry] = (await faces.get_user(GetUser(app_id=school, group_id=None, user_id="77"))).entries
    assert entry.user_info == "新名"
    with pytest.raises(NotFound) as refused:
        await faces.put_face(put(school, 6, user="nobody", group="students"))
    assert code(refused) == FaceCode.USER_MISSING
    with pytest.raises(NotAllowed) as kept:
        await faces.delete_group(DeleteGroup(app_id=school, group_id="students"))
    assert code(kept) == FaceCode.NO_PERMISSION


async def test_a_student_without_faces_can_get_new_ones(students: Students, faces: FaceLibrary, school: int) -> None:
    ada = (await students.register(registration(1))).person
    await faces.remove_user(RemoveUser(app_id=school, group_id="students", user_id=ada.num))
    assert (await students.get(GetStudent(student_id=ada.student_id))).faces == 0
    await faces.put_face(put(school, 5, user=ada.num, group="students"))
    delta = await faces.changes(LibraryChanges(since=0))
    assert [u.student_id for users in delta.users for u in users.rows()] == [ada.student_id]
    assert [p.student_id for p in delta.people] == [ada.student_id]


# ---- faces that are not registered


async def test_a_face_that_was_looked_at_can_be_found_for_a_while(
    faces: FaceLibrary, app: int, school: int, database: Database, sweeper: Sweeper
) -> None:
    kept = StoredFace(jpeg=photo(3), box=(1, 2, 3, 4))
    for _ in range(2):
        await faces.keep_faces(KeepFaces(faces=(LooseFace(app_id=app, token=token(3), face=kept),)))
    asked = FindFace(app_id=app, token=token(3))
    assert await faces.find_face(asked) == kept
    with pytest.raises(NotFound) as refused:
        await faces.find_face(FindFace(app_id=school, token=token(3)))
    assert code(refused) == FaceCode.FACE_TOKEN_UNKNOWN
    await sweeper.sweep()
    assert await faces.find_face(asked) == kept
    await database.write(lambda session: session.execute(update(LooseRow).values(expires_at=now())))
    with pytest.raises(NotFound):
        await faces.find_face(asked)
    await sweeper.sweep()
    assert await database.read(lambda session: session.scalar(select(func.count(LooseRow.id)))) == 0


# ---- the recognizers' copies


async def test_copies_follow_groups_users_and_faces(faces: FaceLibrary, app: int, sweeper: Sweeper) -> None:
    copy = Copy()
    for seed in range(4):
        await faces.put_face(put(app, seed, user=f"u{seed % 2}", group=f"g{seed % 2}"))
        await copy.catch_up(faces.changes, limit=1)
    steps = [
        faces.put_face(put(app, 9, user="u0", group="g0", action=FaceAction.REPLACE, user_info="new")),
        faces.remove_face(RemoveFace(app_id=app, group_id="g1", user_id="u1", face_token=token(1))),
        faces.remove_face(RemoveFace(app_id=app, group_id="g1", user_id="u1", face_token=token(3))),
        faces.put_face(put(app, 10, user="u2", group="g2")),
        faces.delete_group(DeleteGroup(app_id=app, group_id="g0")),
        faces.put_face(put(app, 11, user="u0", group="g0")),
    ]
    for step in steps:
        await step
        await copy.catch_up(faces.changes)
        fresh = Copy()
        await fresh.catch_up(faces.changes, limit=1)
        assert (copy.users, copy.faces) == (fresh.users, fresh.faces)
    assert sorted((group, user.user_id) for *_, group, user in copy.users.values()) == [("g0", "u0"), ("g2", "u2")]
    await sweeper.sweep()
    fresh = Copy()
    await fresh.catch_up(faces.changes)
    assert (copy.users, copy.faces) == (fresh.users, fresh.faces)
