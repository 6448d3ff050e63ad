"""Copying the library out: users page by page, faces one by one with photo and embedding."""

import hashlib
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import LARGEST_ROW_ID, face_token, is_row_id
from registry.store.faces import open_embedding, open_photo, refuse_known_image, reseal
from registry.store.library import find_app, open_token_key
from registry.store.people import as_person
from registry.tables import App, Face, FaceGroup, FaceUser, PhotoFile, Student
from shared.contracts.base import Done
from shared.contracts.moving import CopyUsers, FaceCopy, FaceName, GetFaceCopy, NameFace, UserCopies, UserCopy
from shared.errors import NotFound
from shared.security import Vault


async def users(session: AsyncSession, asked: CopyUsers) -> UserCopies:
    """A page of users with the names of their faces. Raises NotFound. Needs a session that reads one snapshot."""
    app = await find_app(session, asked.app)
    if app is None:
        raise NotFound(f"没有名为 {asked.app} 的应用", f"there is no app named {asked.app}", field="app")
    page = (await session.execute(_wanted(app.id, asked))).all()
    named: dict[int, list[FaceName]] = {user.id: [] for user, _, _ in page}
    faces = select(Face.user_pk, Face.id, Face.face_token).where(Face.user_pk.in_(named)).order_by(Face.id)
    for user_pk, face_id, token in await session.execute(faces):
        named[user_pk].append(FaceName(face_id=face_id, token=token))
    copies = (_copy(user, group_id, student, named[user.id]) for user, group_id, student in page)
    return UserCopies(app_id=app.id, users=tuple(copies))


def _wanted(app_id: int, asked: CopyUsers) -> Select[Any]:
    columns: tuple[Any, ...] = (FaceUser, FaceGroup.group_id, Student)
    wanted = (
        select(*columns)
        .join(FaceGroup, FaceGroup.id == FaceUser.group_pk)
        .outerjoin(Student, Student.id == FaceUser.student_id)
        .where(FaceGroup.app_id == app_id, FaceGroup.deleted_at.is_(None))
        .where(FaceUser.id > min(asked.after, LARGEST_ROW_ID))
    )
    if asked.group_id is not None:
        wanted = wanted.where(FaceGroup.group_id == asked.group_id)
    if asked.user_id is not None:
        wanted = wanted.where(FaceUser.user_id == asked.user_id)
    return wanted.order_by(FaceUser.id).limit(asked.limit)


def _copy(user: FaceUser, group_id: str, student: Student | None, faces: list[FaceName]) -> UserCopy:
    return UserCopy(
        row=user.id,
        group_id=group_id,
        user_id=user.user_id,
        user_info=user.user_info,
        person=None if student is None else as_person(student),
        faces=tuple(faces),
    )


async def face(session: AsyncSession, vault: Vault, asked: GetFaceCopy) -> FaceCopy:
    """Raises NotFound."""
    row, photo = await _face(session, asked.app_id, asked.face_id)
    app = await session.get_one(App, asked.app_id)
    jpeg = b"" if photo is None else open_photo(vault, photo.sealed, row.face_token)
    return FaceCopy(
        token=row.face_token,
        model=row.model,
        embedding=open_embedding(vault, row),
        box=(row.box_left, row.box_top, row.box_width, row.box_height),
        jpeg=jpeg,
        created_at=row.created_at,
        own=not jpeg or face_token(open_token_key(vault, app), jpeg) == row.face_token,
    )


async def name_face(session: AsyncSession, vault: Vault, asked: NameFace) -> Done:
    """Raises NotFound, Conflict. What is sealed is bound to the token, so it is sealed anew."""
    row, photo = await _face(session, asked.app_id, asked.face_id)
    if row.face_token == asked.token:
        return Done()
    await refuse_known_image(session, row.group_pk, asked.token)
    sealed = reseal(vault, row, None if photo is None else photo.sealed, asked.token)
    row.face_token, row.embedding, row.key_id = asked.token, sealed.embedding, vault.key_id
    if photo is not None:
        photo.sealed, photo.key_id = sealed.photo, vault.key_id
        photo.sha256 = hashlib.sha256(sealed.photo).hexdigest()
    await session.flush()
    return Done()


async def _face(session: AsyncSession, app_id: int, face_id: int) -> tuple[Face, PhotoFile | None]:
    wanted = (
        select(Face, PhotoFile)
        .outerjoin(PhotoFile, PhotoFile.id == Face.photo_id)
        .join(FaceGroup, FaceGroup.id == Face.group_pk)
        .where(Face.id == face_id, Face.app_id == app_id, FaceGroup.deleted_at.is_(None))
    )
    found = (await session.execute(wanted)).first() if is_row_id(face_id) else None
    if found is None:
        raise NotFound("没有这张人脸", "there is no such face", field="face_id")
    return found[0], found[1]
