"""Faces that an earlier model measured, and what the present one says of them."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import LARGEST_ROW_ID, is_row_id
from registry.store.events import announce
from registry.store.faces import bury, seal_embedding
from registry.store.library import head, hold, next_revision
from registry.tables import Face, FaceGroup, FaceUser
from shared.contracts.gallery import FaceChanged
from shared.contracts.library import (
    CLOUD_MODEL,
    LibraryRevision,
    ListOldFaces,
    OldFace,
    OldFaces,
    ReplaceEmbedding,
)
from shared.errors import Conflict, NotFound
from shared.security import Vault


async def old_faces(session: AsyncSession, asked: ListOldFaces) -> OldFaces:
    """A page by id. No index leads to them: all pages together read the table once."""
    wanted = (
        select(Face.id, Face.app_id, FaceGroup.group_id, FaceUser.user_id)
        .join(FaceGroup, FaceGroup.id == Face.group_pk)
        .join(FaceUser, FaceUser.id == Face.user_pk)
        .where(Face.id > min(asked.after, LARGEST_ROW_ID), Face.model.not_in([asked.model, CLOUD_MODEL]))
        .where(FaceGroup.deleted_at.is_(None))
        .order_by(Face.id)
        .limit(asked.limit)
    )
    found = await session.execute(wanted)
    return OldFaces(faces=tuple(OldFace(face_id=f, app_id=a, group_id=g, user_id=u) for f, a, g, u in found))


async def replace(session: AsyncSession, vault: Vault, asked: ReplaceEmbedding) -> LibraryRevision:
    """Model and embedding change together, under a new revision. Raises NotFound, Conflict."""
    await hold(session)
    wanted = (
        select(Face)
        .join(FaceGroup, FaceGroup.id == Face.group_pk)
        .where(Face.id == asked.face_id, Face.app_id == asked.app_id, FaceGroup.deleted_at.is_(None))
    )
    face = await session.scalar(wanted) if is_row_id(asked.face_id) else None
    if face is None:
        raise NotFound("没有这张人脸", "there is no such face", field="face_id")
    if CLOUD_MODEL in (face.model, asked.model):
        raise Conflict("这张人脸由百度云识别", "this face is compared by Baidu's cloud", field="face_id")
    if face.model == asked.model:
        return LibraryRevision(revision=await head(session))
    revision = await next_revision(session)
    # Whoever knew it before this revision is told to drop it, whatever becomes of it later.
    await bury(session, revision, [("face", face.id, face.revision)])
    face.embedding, face.key_id = seal_embedding(vault, face, asked.model, asked.embedding), vault.key_id
    face.model, face.revision = asked.model, revision
    await session.flush()
    await announce(session, FaceChanged(revision=revision))
    return LibraryRevision(revision=revision)
