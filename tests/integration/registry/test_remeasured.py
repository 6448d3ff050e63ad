"""Faces that an earlier model measured: listed, and measured again without anything else changing; both databases."""

import asyncio

import pytest

from registry.copies import Copies
from registry.handlers import FaceLibrary, Keyring, Students
from registry.remeasured import Remeasured
from registry.store.database import Database
from registry.store.library import Library
from shared.contracts.gallery import FaceRow, LibraryChanges
from shared.contracts.library import (
    CLOUD_MODEL,
    CreateKey,
    DeleteGroup,
    EnrolledFace,
    FaceAction,
    FindFace,
    FindKey,
    ListOldFaces,
    PutFace,
    ReplaceEmbedding,
)
from shared.contracts.moving import FaceCopy, GetFaceCopy
from shared.contracts.people import DeleteStudent
from shared.errors import Conflict, InvalidInput, NotFound
from tests.integration.registry.samples import embedding, face, registration
from tests.integration.registry.test_library import Copy

OLD, NEW = "sface", "sface/2"


@pytest.fixture
def remeasured(database: Database, library: Library) -> Remeasured:
    return Remeasured(database, library.vault)


@pytest.fixture
def copies(database: Database, library: Library) -> Copies:
    return Copies(database, library.vault)


async def put(faces: FaceLibrary, app: int, seed: int, *, group: str = "g", model: str = OLD) -> None:
    given: EnrolledFace = face(seed, model=model)
    if model == CLOUD_MODEL:
        given = given.model_copy(update={"embedding": b""})
    await faces.put_face(PutFace(app_id=app, group_id=group, user_id=f"u{seed}", action=FaceAction.APPEND, face=given))


async def old(remeasured: Remeasured, limit: int = 200) -> dict[str, tuple[int, int]]:
    """User → (app, face), over all pages."""
    found: dict[str, tuple[int, int]] = {}
    after = 0
    while page := (await remeasured.old_faces(ListOldFaces(model=NEW, after=after, limit=limit))).faces:
        assert len(page) <= limit
        found |= {one.user_id: (one.app_id, one.face_id) for one in page}
        after = page[-1].face_id
    return found


def anew(app: int, face_id: int, seed: int = 99) -> ReplaceEmbedding:
    return ReplaceEmbedding(app_id=app, face_id=face_id, model=NEW, embedding=embedding(seed))


@pytest.mark.parametrize("limit", [1, 2, 200])
async def test_faces_of_other_models_in_all_apps_are_listed(
    remeasured: Remeasured,
    students: Students,
    faces: FaceLibrary,
    keyring: Keyring,
    library: Library,
    limit: int,
) -> None:
    key = (await keyring.create(CreateKey(name="other", by="t"))).key
    app = (await keyring.found(FindKey(key_id=key.key_id))).app_id
    await students.register(registration(1))
    await put(faces, library.app_id, 2)
    await put(faces, app, 3)
    await put(faces, app, 4, model=NEW)
    await put(faces, app, 5, model=CLOUD_MODEL)
    await put(faces, app, 6, group="gone")
    await faces.delete_group(DeleteGroup(app_id=app, group_id="gone"))
    found = await old(remeasured, limit)
    assert {user: app_id for user, (app_id, _) in found.items()} == {
        "20260001": library.app_id,
        "u2": library.app_id,
        "u3": app,
    }


async def test_a_face_is_measured_again_and_nothing_else_of_it_changes(
    remeasured: Remeasured, copies: Copies, students: Students, faces: FaceLibrary
) -> None:
    await students.register(registration(1))
    ((app, face_id),) = (await old(remeasured)).values()
    before: FaceCopy = await copies.face(GetFaceCopy(app_id=app, face_id=face_id))
    done = await remeasured.replace(anew(app, face_id))
    after = await copies.face(GetFaceCopy(app_id=app, face_id=face_id))
    assert after == before.model_copy(update={"model": NEW, "embedding": embedding(99)})
    assert (await faces.find_face(FindFace(app_id=app, token=before.token))).jpeg == before.jpeg
    assert await old(remeasured) == {}
    assert done.revision == 2
    assert await remeasured.replace(anew(app, face_id, seed=98)) == done, "the second of two changes nothing"
    assert (await copies.face(GetFaceCopy(app_id=app, face_id=face_id))).embedding == embedding(99)


async def test_copies_hear_of_it(remeasured: Remeasured, students: Students, faces: FaceLibrary) -> None:
    await students.register(registration(1))
    copy = Copy()
    await copy.catch_up(faces.changes)
    ((app, face_id),) = (await old(remeasured)).values()
    await remeasured.replace(anew(app, face_id))
    delta = await faces.changes(LibraryChanges(since=copy.revision))
    assert (delta.removed_faces, [block.model for block in delta.faces]) == ((face_id,), [NEW])
    copy.apply(delta)
    ((owner, *_),) = [(user.owner,) for *_, user in copy.users.values()]
    assert copy.faces == {face_id: FaceRow(face_id, owner, embedding(99))}
    fresh = Copy()
    await fresh.catch_up(faces.changes)
    assert fresh.faces == copy.faces


async def test_who_missed_it_still_forgets_the_face_when_it_leaves(
    remeasured: Remeasured, students: Students, faces: FaceLibrary
) -> None:
    """The face's revision moved on, and so did what a later removal says of its birth."""
    person = (await students.register(registration(1))).person
    copy = Copy()
    await copy.catch_up(faces.changes)
    ((app, face_id),) = (await old(remeasured)).values()
    await remeasured.replace(anew(app, face_id))
    await students.delete(DeleteStudent(student_id=person.student_id, by="office"))
    await copy.catch_up(faces.changes)
    assert (copy.faces, copy.users, copy.people) == ({}, {}, {})


async def test_what_cannot_be_replaced(
    remeasured: Remeasured, students: Students, faces: FaceLibrary, library: Library, copies: Copies
) -> None:
    await students.register(registration(1))
    await put(faces, library.app_id, 2, model=CLOUD_MODEL)
    ((app, face_id),) = (await old(remeasured)).values()
    for wrong in (anew(app + 1, face_id), anew(app, face_id + 7), anew(app, 2**40)):
        with pytest.raises(NotFound):
            await remeasured.replace(wrong)
    with pytest.raises(Conflict):
        await remeasured.replace(anew(app, face_id + 1))
    with pytest.raises(InvalidInput):
        await remeasured.replace(anew(app, face_id).model_copy(update={"embedding": bytes(512)}))
    assert (await copies.face(GetFaceCopy(app_id=app, face_id=face_id))).model == OLD
    assert (await faces.changes(LibraryChanges(since=0))).head == 2


async def test_two_at_once_agree(
    remeasured: Remeasured, copies: Copies, students: Students, faces: FaceLibrary
) -> None:
    for seed in range(3):
        await students.register(registration(seed))
    everybody = (await old(remeasured)).values()
    await asyncio.gather(*(remeasured.replace(anew(*who, seed=seed)) for who in everybody for seed in (98, 99)))
    assert await old(remeasured) == {}
    copy = Copy()
    await copy.catch_up(faces.changes)
    assert len(copy.faces) == 3
    assert copy.revision == 6, "each face changed once"
