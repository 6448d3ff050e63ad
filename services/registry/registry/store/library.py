"""The face library: revisions, sealed faces, and what changed since a revision."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import face_token, page_end
from registry.store.database import Database, DatabaseUnusable
from registry.tables import App, Face, FaceGroup, FaceUser, PhotoFile, Removal, Student
from shared.contracts.base import now
from shared.contracts.gallery import GalleryFace, LibraryDelta
from shared.contracts.library import EnrolledFace
from shared.contracts.people import Person
from shared.errors import Conflict
from shared.security import Vault, WrongKey

DEFAULT_APP = "default"
STUDENTS_GROUP = "students"
PAGE_BYTES = 2_500_000
"""of embeddings in one answer; with people and framing it stays under the broker's 4 MB"""


@dataclass(frozen=True, slots=True)
class Library:
    """The school's library: group `students` of the app `default`, and the key that opens it."""

    app_id: int
    group_pk: int
    token_key: bytes
    vault: Vault


@dataclass(frozen=True, slots=True)
class SealedFace:
    """A face made ready outside the transaction, which then holds the library's lock the shorter."""

    token: str
    photo: bytes
    enrolled: EnrolledFace


async def open_library(database: Database, vault: Vault) -> Library:
    """The school's library, made on the first start. Raises DatabaseUnusable if another key sealed it."""
    try:
        return await database.write(lambda session: _open(session, vault))
    except WrongKey:
        raise DatabaseUnusable("ROLLCALL_LIBRARY_KEY is not the key that this database was sealed with") from None


async def _open(session: AsyncSession, vault: Vault) -> Library:
    app = await session.scalar(select(App).where(App.name == DEFAULT_APP)) or await _new_app(session, vault)
    group = await session.scalar(
        select(FaceGroup).where(FaceGroup.app_id == app.id, FaceGroup.group_id == STUDENTS_GROUP)
    )
    if group is None:
        group = FaceGroup(app_id=app.id, group_id=STUDENTS_GROUP, created_at=now())
        session.add(group)
        await session.flush()
    return Library(app.id, group.id, vault.open(app.token_key, f"app:{app.name}"), vault)


async def _new_app(session: AsyncSession, vault: Vault) -> App:
    sealed = vault.seal(os.urandom(32), f"app:{DEFAULT_APP}")
    app = App(name=DEFAULT_APP, token_key=sealed, key_id=vault.key_id, revision=0, created_at=now())
    session.add(app)
    await session.flush()
    return app


async def next_revision(session: AsyncSession, library: Library) -> int:
    """Take the library's next revision; call it first in a transaction that changes the library.

    The UPDATE locks the app's row until the commit, so the next change gets its number only when this one is
    visible: whoever has seen revision n has seen everything up to n, and no number is ever missing.
    """
    await session.execute(update(App).where(App.id == library.app_id).values(revision=App.revision + 1))
    return await head(session, library)


async def hold(session: AsyncSession, library: Library) -> None:
    """Lock the library until the end of the transaction, for those who must look before they change it."""
    await session.execute(select(App.revision).where(App.id == library.app_id).with_for_update())


async def head(session: AsyncSession, library: Library) -> int:
    """The newest revision."""
    return (await session.execute(select(App.revision).where(App.id == library.app_id))).scalar_one()


def seal_face(library: Library, face: EnrolledFace) -> SealedFace:
    """Name and encrypt a photo. 3 MB take some milliseconds: worth a thread."""
    token = face_token(library.token_key, face.jpeg)
    return SealedFace(token, library.vault.seal(face.jpeg, f"photo:{token}"), face)


async def add_face(session: AsyncSession, library: Library, user_pk: int, face: SealedFace, revision: int) -> int:
    """Store a face with its photo; its id. Raises Conflict if the very same image is in the group already."""
    taken = select(Face.id).where(Face.group_pk == library.group_pk, Face.face_token == face.token)
    if await session.scalar(taken):
        raise Conflict("这张照片已被其他学员注册", "this very photo is already registered", field="face")
    photo_id = await _add_photo(session, library, face)
    left, top, width, height = face.enrolled.box
    row = Face(
        app_id=library.app_id,
        group_pk=library.group_pk,
        user_pk=user_pk,
        face_token=face.token,
        model=face.enrolled.model,
        embedding=library.vault.seal(face.enrolled.embedding, _owner(user_pk, face.token, face.enrolled.model)),
        key_id=library.vault.key_id,
        box_left=left,
        box_top=top,
        box_width=width,
        box_height=height,
        photo_id=photo_id,
        revision=revision,
        created_at=now(),
    )
    session.add(row)
    await session.flush()
    return row.id


async def _add_photo(session: AsyncSession, library: Library, face: SealedFace) -> int:
    photo = PhotoFile(
        sealed=face.photo,
        key_id=library.vault.key_id,
        sha256=hashlib.sha256(face.photo).hexdigest(),
        created_at=now(),
    )
    session.add(photo)
    await session.flush()
    return photo.id


def _owner(user_pk: int, token: str, model: str) -> str:
    return f"embedding:{user_pk}:{token}:{model}"


async def remove_person(session: AsyncSession, library: Library, student_id: int, revision: int) -> None:
    """Erase a student's faces, photos and users, and leave tombstones; the student's row is the caller's."""
    owned = select(FaceUser.id).where(FaceUser.student_id == student_id)
    faces = (await session.execute(select(Face.id, Face.photo_id, Face.revision).where(Face.user_pk.in_(owned)))).all()
    await session.execute(delete(Face).where(Face.id.in_([f.id for f in faces])))
    await session.execute(delete(PhotoFile).where(PhotoFile.id.in_([f.photo_id for f in faces if f.photo_id])))
    await session.execute(delete(FaceUser).where(FaceUser.student_id == student_id))
    gone = [("face", f.id, f.revision) for f in faces]
    gone.append(("person", student_id, min((f.revision for f in faces), default=0)))
    common = {"app_id": library.app_id, "revision": revision}
    rows = [{**common, "what": what, "item_id": item, "born": born} for what, item, born in gone]
    await session.execute(insert(Removal), rows)


async def changes(
    session: AsyncSession, library: Library, since: int, limit: int, *, room: int = PAGE_BYTES
) -> LibraryDelta:
    """Everything after `since`, in pages of at most `limit` faces and `room` bytes of embeddings.

    Needs a session that reads one snapshot.
    """
    newest = await head(session, library)
    if since >= newest:
        return LibraryDelta(revision=newest, head=newest)
    end = await _page_end(session, library, since, newest, limit, room)
    gone = await _removed(session, library, since, end)
    faces = (await session.execute(_faces(library, since, end))).all()
    return LibraryDelta(
        revision=end,
        head=newest,
        removed_faces=tuple(item for what, item in gone if what == "face"),
        removed_people=tuple(item for what, item in gone if what == "person"),
        people=await _people(session, since, end, [f.student_id for f in faces]),
        faces=tuple(_opened(library, f) for f in faces),
    )


async def _page_end(session: AsyncSession, library: Library, since: int, newest: int, limit: int, room: int) -> int:
    """Faces, people and removals are each at most `limit`, embeddings at most `room` bytes, unless one revision
    alone is larger."""
    in_app, first = Face.app_id == library.app_id, limit + 1
    faces = select(Face.revision, func.length(Face.embedding)).where(in_app, Face.revision > since)
    sized = [(r, size) for r, size in await session.execute(faces.order_by(Face.revision).limit(first))]
    people = select(Student.revision).where(Student.revision > since).order_by(Student.revision).limit(first)
    gone = select(Removal.revision).where(Removal.app_id == library.app_id, Removal.revision > since)
    counted: list[Iterable[int]] = [
        [r for r, _ in sized],
        await session.scalars(people),
        await session.scalars(gone.order_by(Removal.revision).limit(first)) if since else [],
    ]
    ends = [page_end(since, newest, [(r, 1) for r in revisions], limit) for revisions in counted]
    return min(page_end(since, newest, sized, room), *ends)


async def _removed(session: AsyncSession, library: Library, since: int, end: int) -> Sequence[tuple[str, int]]:
    """What the asker may have and must forget: it left in this page and was there before it."""
    left = select(Removal.what, Removal.item_id).where(
        Removal.app_id == library.app_id, Removal.revision > since, Removal.revision <= end, Removal.born <= since
    )
    return [(what, item) for what, item in await session.execute(left)] if since else []


def _faces(library: Library, since: int, end: int) -> Select[Any]:
    columns: tuple[Any, ...] = (Face.id, Face.user_pk, Face.face_token, Face.model, Face.embedding, FaceUser.student_id)
    return (
        select(*columns)
        .join(FaceUser, FaceUser.id == Face.user_pk)
        .where(Face.app_id == library.app_id, Face.revision > since, Face.revision <= end)
        .where(FaceUser.student_id.is_not(None))
        .order_by(Face.revision, Face.id)
    )


def _opened(library: Library, row: Any) -> GalleryFace:
    plain = library.vault.open(row.embedding, _owner(row.user_pk, row.face_token, row.model))
    return GalleryFace(face_id=row.id, student_id=row.student_id, model=row.model, embedding=plain)


async def _people(session: AsyncSession, since: int, end: int, of_faces: list[int]) -> tuple[Person, ...]:
    """The people that changed in this page, and those of its faces: an edit later than the page moved a person's
    own revision behind it, and no copy shall hold a face without a name."""
    changed = select(Student).where(Student.revision > since, Student.revision <= end)
    found = {student.id: student for student in await session.scalars(changed)}
    missing = sorted(set(of_faces) - found.keys())
    for start in range(0, len(missing), 500):
        chunk = missing[start : start + 500]
        found |= {s.id: s for s in await session.scalars(select(Student).where(Student.id.in_(chunk)))}
    return tuple(as_person(found[key]) for key in sorted(found))


def as_person(student: Student) -> Person:
    """A student as everybody but the registry sees one."""
    return Person(
        student_id=student.id,
        num=student.st_num,
        name=student.st_name,
        class_name=student.st_class,
        gender=student.st_gender,
    )
