"""Copying the library out, and calling a face by another token, on both databases."""

import pytest

from registry.copies import Copies
from registry.handlers import FaceLibrary, Keyring, Students
from registry.store.database import Database
from registry.store.library import Library
from shared.contracts.library import CreateKey, DeleteGroup, EnrolledFace, FaceAction, FindFace, PutFace
from shared.contracts.moving import CopyUsers, GetFaceCopy, NameFace
from shared.contracts.people import RegisterStudent
from shared.errors import Conflict, NotFound
from tests.integration.registry.samples import embedding, registration

TOKEN = "c" * 32


@pytest.fixture
def copies(database: Database, library: Library) -> Copies:
    return Copies(database, library.vault)


def a_face(seed: int, token: str = "") -> EnrolledFace:
    jpeg = b"\xff\xd8" + str(seed).encode() + b"\xff\xd9"
    return EnrolledFace(model="m/1", embedding=embedding(seed), jpeg=jpeg, box=(1, 2, 3, 4), token=token)


async def put(faces: FaceLibrary, app_id: int, group: str, user: str, seed: int, info: str | None = None) -> None:
    await faces.put_face(
        PutFace(
            app_id=app_id, group_id=group, user_id=user, user_info=info, action=FaceAction.APPEND, face=a_face(seed)
        )
    )


async def test_users_come_in_pages_with_their_faces_and_the_students_with_their_fields(
    copies: Copies, students: Students, faces: FaceLibrary, library: Library
) -> None:
    asked: RegisterStudent = registration(1)
    await students.register(asked)
    for number in range(5):
        await put(faces, library.app_id, "visitors", f"u{number}", 10 + number, info=f"n° {number}")
    await put(faces, library.app_id, "visitors", "u0", 99)
    seen, after = [], 0
    while page := (await copies.users(CopyUsers(after=after, limit=2))).users:
        assert len(page) <= 2
        seen.extend(page)
        after = page[-1].row
    assert [(u.group_id, u.user_id, len(u.faces)) for u in seen] == [
        ("students", asked.num, 1),
        ("visitors", "u0", 2),
        *(("visitors", f"u{n}", 1) for n in range(1, 5)),
    ]
    assert seen[0].person is not None
    assert seen[0].person.name == asked.name
    assert (seen[1].person, seen[1].user_info) == (None, "n° 0")
    face = await copies.face(GetFaceCopy(app_id=library.app_id, face_id=seen[1].faces[1].face_id))
    assert (face.embedding, face.jpeg, face.model) == (embedding(99), a_face(99).jpeg, "m/1")


async def test_one_group_one_user_and_nothing_of_deleted_groups(
    copies: Copies, faces: FaceLibrary, library: Library
) -> None:
    for group in ("a", "b"):
        await put(faces, library.app_id, group, "u", 1)
    only = await copies.users(CopyUsers(group_id="b", user_id="u"))
    assert [user.group_id for user in only.users] == ["b"]
    await faces.delete_group(DeleteGroup(app_id=library.app_id, group_id="b"))
    assert [user.group_id for user in (await copies.users(CopyUsers())).users] == ["a"]
    with pytest.raises(NotFound):
        await copies.face(GetFaceCopy(app_id=library.app_id, face_id=only.users[0].faces[0].face_id))


async def test_an_app_sees_its_own_and_one_that_is_not_there_is_named(
    copies: Copies, faces: FaceLibrary, keyring: Keyring, library: Library
) -> None:
    await keyring.create(CreateKey(name="other", by="test"))
    await put(faces, library.app_id, "a", "u", 1)
    (user,) = (await copies.users(CopyUsers())).users
    other = await copies.users(CopyUsers(app="other"))
    assert other.users == ()
    with pytest.raises(NotFound):
        await copies.face(GetFaceCopy(app_id=other.app_id, face_id=user.faces[0].face_id))
    with pytest.raises(NotFound, match="nowhere"):
        await copies.users(CopyUsers(app="nowhere"))


async def test_a_face_is_called_by_another_token_and_still_opens(
    copies: Copies, faces: FaceLibrary, library: Library
) -> None:
    await put(faces, library.app_id, "a", "u", 1)
    await put(faces, library.app_id, "a", "v", 2)
    first, second = (await copies.users(CopyUsers())).users
    before = await copies.face(GetFaceCopy(app_id=library.app_id, face_id=first.faces[0].face_id))
    assert before.own, "we named it"
    named = NameFace(app_id=library.app_id, face_id=first.faces[0].face_id, token=TOKEN)
    await copies.name_face(named)
    await copies.name_face(named)
    face = await copies.face(GetFaceCopy(app_id=library.app_id, face_id=named.face_id))
    assert (face.token, face.embedding, face.jpeg, face.own) == (TOKEN, embedding(1), a_face(1).jpeg, False)
    assert (await faces.find_face(FindFace(app_id=library.app_id, token=TOKEN))).jpeg == a_face(1).jpeg
    with pytest.raises(Conflict):
        await copies.name_face(named.model_copy(update={"face_id": second.faces[0].face_id}))
