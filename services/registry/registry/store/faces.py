"""Faces and their photos, sealed: registered ones, and those that were only looked at."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import face_token
from registry.store.library import Library
from registry.tables import Departure, Face, FaceGroup, FaceUser, LooseFace, PhotoFile, Removal, Student
from shared.codes import FaceCode
from shared.contracts.base import Done, now
from shared.contracts.library import LOOSE_FOR_S, EnrolledFace, FindFace, KeepFace, StoredFace
from shared.errors import Conflict, NotFound
from shared.security import Vault


@dataclass(frozen=True, slots=True)
class SealedFace:
    """A face made ready outside the transaction, which then holds the library's lock the shorter."""

    token: str
    photo: bytes
    enrolled: EnrolledFace


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face goes."""

    app_id: int
    group_pk: int
    user_pk: int


def seal_face(library: Library, face: EnrolledFace) -> SealedFace:
    """Name and encrypt a photo. 3 MB take some milliseconds: worth a thread."""
    token = face.token or face_token(library.token_key, face.jpeg)
    return SealedFace(token, library.vault.seal(face.jpeg, _photo(token)), face)


async def refuse_known_image(session: AsyncSession, group_pk: int, token: str) -> None:
    """Raises Conflict if the very same image is in the group already."""
    if await session.scalar(select(Face.id).where(Face.group_pk == group_pk, Face.face_token == token)):
        raise Conflict(
            "这张照片已被其他学员注册",
            "this very photo is already registered",
            field="face",
            number=FaceCode.FACE_EXISTS,
        )


async def add_face(session: AsyncSession, vault: Vault, place: Place, face: SealedFace, revision: int) -> None:
    """Store a face with its photo. Raises Conflict."""
    await refuse_known_image(session, place.group_pk, face.token)
    photo_id = await _add_photo(session, vault, face.photo)
    await _insert(session, vault, place, face.token, face.enrolled, photo_id, revision)


async def _add_photo(session: AsyncSession, vault: Vault, sealed: bytes) -> int:
    photo = PhotoFile(sealed=sealed, key_id=vault.key_id, sha256=hashlib.sha256(sealed).hexdigest(), created_at=now())
    session.add(photo)
    await session.flush()
    return photo.id


async def _insert(
    session: AsyncSession,
    vault: Vault,
    place: Place,
    token: str,
    face: EnrolledFace,
    photo_id: int | None,
    revision: int,
) -> None:
    left, top, width, height = face.box
    row = Face(
        app_id=place.app_id,
        group_pk=place.group_pk,
        user_pk=place.user_pk,
        face_token=token,
        model=face.model,
        embedding=vault.seal(face.embedding, _owner(place.user_pk, token, face.model)),
        key_id=vault.key_id,
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


async def copy_faces(session: AsyncSession, vault: Vault, source: int, to: Place, revision: int) -> None:
    """Copy all faces of the user `source`, each with a photo of its own. Raises Conflict for an image that the
    group has already."""
    rows = select(Face, PhotoFile.sealed).outerjoin(PhotoFile, PhotoFile.id == Face.photo_id)
    for row, photo in (await session.execute(rows.where(Face.user_pk == source).order_by(Face.id))).all():
        await refuse_known_image(session, to.group_pk, row.face_token)
        photo_id = None if photo is None else await _add_photo(session, vault, photo)
        plain = open_embedding(vault, row)
        box = (row.box_left, row.box_top, row.box_width, row.box_height)
        face = EnrolledFace.model_construct(model=row.model, embedding=plain, jpeg=b"", box=box)
        await _insert(session, vault, to, row.face_token, face, photo_id, revision)


def open_embedding(vault: Vault, row: Any) -> bytes:
    """The plain embedding of a row with user_pk, face_token, model and embedding."""
    return vault.open(row.embedding, _owner(row.user_pk, row.face_token, row.model))


def _owner(user_pk: int, token: str, model: str) -> str:
    return f"embedding:{user_pk}:{token}:{model}"


def _photo(token: str) -> str:
    return f"photo:{token}"


def open_photo(vault: Vault, sealed: bytes, token: str) -> bytes:
    """The plain photo of a face."""
    return vault.open(sealed, _photo(token))


@dataclass(frozen=True, slots=True)
class Resealed:
    """What is sealed of a face, bound to another token."""

    embedding: bytes
    photo: bytes


def reseal(vault: Vault, row: Any, photo: bytes | None, token: str) -> Resealed:
    """The sealed parts of a face's row for a new token; `photo` is its sealed photo, if it was kept."""
    embedding = vault.seal(open_embedding(vault, row), _owner(row.user_pk, token, row.model))
    plain = None if photo is None else open_photo(vault, photo, row.face_token)
    return Resealed(embedding, b"" if plain is None else vault.seal(plain, _photo(token)))


# ---- removal


async def erase_faces(session: AsyncSession, user_pk: int, revision: int, *, only: str = "") -> int:
    """Erase a user's faces and their photos, or the one with the token `only`; how many. Leaves tombstones."""
    wanted = select(Face.id, Face.photo_id, Face.revision).where(Face.user_pk == user_pk)
    faces = (await session.execute(wanted.where(Face.face_token == only) if only else wanted)).all()
    await _erase(session, faces)
    await bury(session, revision, [("face", f.id, f.revision) for f in faces])
    return len(faces)


async def erase_users(session: AsyncSession, users: Iterable[FaceUser], revision: int) -> None:
    """Erase users with their faces and photos. One tombstone for each user says it all."""
    for user in users:
        wanted = select(Face.id, Face.photo_id).where(Face.user_pk == user.id)
        await _erase(session, (await session.execute(wanted)).all())
        await bury(session, revision, [("user", user.id, user.born)])
        if user.student_id is not None:
            await depart(session, revision, user.student_id)
        await session.delete(user)
    await session.flush()


async def _erase(session: AsyncSession, faces: Iterable[Any]) -> None:
    faces = list(faces)
    await session.execute(delete(Face).where(Face.id.in_([f.id for f in faces])))
    await session.execute(delete(PhotoFile).where(PhotoFile.id.in_([f.photo_id for f in faces if f.photo_id])))


async def bury(session: AsyncSession, revision: int, gone: list[tuple[str, int, int]]) -> None:
    """Leave tombstones: what it was, its id, the revision that brought it."""
    if gone:
        rows = [{"revision": revision, "what": what, "item_id": item, "born": born} for what, item, born in gone]
        await session.execute(insert(Removal), rows)


async def depart(session: AsyncSession, revision: int, student_id: int) -> None:
    """The student, as the row still says, leaves the class and its terminals."""
    student = select(literal(revision), Student.st_num, Student.st_class).where(Student.id == student_id)
    await session.execute(insert(Departure).from_select(["revision", "username", "st_class"], student))


async def sweep_group(session: AsyncSession, group_pk: int, at_once: int) -> bool:
    """Erase up to `at_once` faces of a deleted group, then its users, then the group; True when it is gone."""
    wanted = select(Face.id, Face.photo_id).where(Face.group_pk == group_pk).limit(at_once)
    if faces := (await session.execute(wanted)).all():
        await _erase(session, faces)
        return False
    users = list(await session.scalars(select(FaceUser.id).where(FaceUser.group_pk == group_pk).limit(at_once)))
    if users:
        await session.execute(delete(FaceUser).where(FaceUser.id.in_(users)))
        return False
    await session.execute(delete(FaceGroup).where(FaceGroup.id == group_pk))
    return True


async def deleted_groups(session: AsyncSession) -> list[int]:
    """The groups that wait for the sweeper."""
    return list(await session.scalars(select(FaceGroup.id).where(FaceGroup.deleted_at.is_not(None))))


# ---- faces by token


def seal_loose(vault: Vault, asked: KeepFace) -> bytes:
    """A picture to be kept for a while. Worth a thread."""
    return vault.seal(asked.face.jpeg, _loose(asked.app_id, asked.token))


def _loose(app_id: int, token: str) -> str:
    return f"loose:{app_id}:{token}"


async def keep(session: AsyncSession, vault: Vault, asked: KeepFace, sealed: bytes) -> Done:
    """Keep a face for LOOSE_FOR_S; a face that is kept already stays longer."""
    mine = (LooseFace.app_id == asked.app_id, LooseFace.face_token == asked.token)
    row = await session.scalar(select(LooseFace).where(*mine))
    expires_at = now() + timedelta(seconds=LOOSE_FOR_S)
    if row is not None:
        row.expires_at = expires_at
        return Done()
    left, top, width, height = asked.face.box
    session.add(
        LooseFace(
            app_id=asked.app_id,
            face_token=asked.token,
            sealed=sealed,
            key_id=vault.key_id,
            box_left=left,
            box_top=top,
            box_width=width,
            box_height=height,
            expires_at=expires_at,
        )
    )
    await session.flush()
    return Done()


async def sweep_loose(session: AsyncSession, at_once: int) -> int:
    """Erase faces whose time is over; how many."""
    over = list(await session.scalars(select(LooseFace.id).where(LooseFace.expires_at <= now()).limit(at_once)))
    await session.execute(delete(LooseFace).where(LooseFace.id.in_(over)))
    return len(over)


async def find(session: AsyncSession, vault: Vault, asked: FindFace) -> StoredFace:
    """A face with a photo, registered in any group of the app, or kept. Raises NotFound."""
    registered = (
        select(PhotoFile.sealed, Face.box_left, Face.box_top, Face.box_width, Face.box_height)
        .join(Face, Face.photo_id == PhotoFile.id)
        .join(FaceGroup, FaceGroup.id == Face.group_pk)
        .where(Face.app_id == asked.app_id, Face.face_token == asked.token, FaceGroup.deleted_at.is_(None))
    )
    if found := (await session.execute(registered.limit(1))).first():
        return StoredFace(jpeg=open_photo(vault, found[0], asked.token), box=tuple(found[1:]))
    kept = await session.scalar(
        select(LooseFace).where(
            LooseFace.app_id == asked.app_id, LooseFace.face_token == asked.token, LooseFace.expires_at > now()
        )
    )
    if kept is None:
        raise NotFound("face_token 不存在或已过期", "face token not exist", number=FaceCode.FACE_TOKEN_UNKNOWN)
    jpeg = vault.open(kept.sealed, _loose(asked.app_id, asked.token))
    return StoredFace(jpeg=jpeg, box=(kept.box_left, kept.box_top, kept.box_width, kept.box_height))
