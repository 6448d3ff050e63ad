"""Groups, their users and the users' faces, by the rules of Baidu's face library (V3 §2.6, §3.6–3.8)."""

from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import LARGEST_ROW_ID, check_user_info
from registry.store.events import announce, audit
from registry.store.faces import Place, SealedFace, add_face, bury, copy_faces, erase_faces, erase_users
from registry.store.library import Library, next_revision
from registry.tables import Face, FaceGroup, FaceUser, Student
from shared.codes import FACE_TEXTS, FaceCode
from shared.contracts.base import now
from shared.contracts.gallery import FaceChanged
from shared.contracts.library import (
    MAX_FACES,
    AddGroup,
    CopyUser,
    DeleteGroup,
    FaceAction,
    FaceEntries,
    FaceEntry,
    GetUser,
    Ids,
    LibraryRevision,
    ListFaces,
    ListGroups,
    ListUsers,
    PutFace,
    RemoveFace,
    RemoveUser,
    UserEntries,
    UserEntry,
)
from shared.errors import Conflict, NotAllowed, NotFound

WORDS = {
    FaceCode.GROUP_MISSING: "没有这个用户组",
    FaceCode.GROUP_EXISTS: "用户组已存在",
    FaceCode.USER_EXISTS: "用户已存在",
    FaceCode.USER_MISSING: "没有这个用户",
    FaceCode.FACE_MISSING: "没有这张人脸",
    FaceCode.DESTINATION_MISSING: "目标用户组不存在",
    FaceCode.TOO_MANY_FACES: f"一个用户最多 {MAX_FACES} 张人脸",
}


def _missing(code: FaceCode) -> NotFound:
    return NotFound(WORDS[code], FACE_TEXTS[code], number=code)


def _conflict(code: FaceCode) -> Conflict:
    return Conflict(WORDS[code], FACE_TEXTS[code], number=code)


async def _done(session: AsyncSession, revision: int) -> LibraryRevision:
    await announce(session, FaceChanged(revision=revision))
    return LibraryRevision(revision=revision)


# ---- groups


async def add_group(session: AsyncSession, asked: AddGroup) -> LibraryRevision:
    """Raises Conflict."""
    revision = await next_revision(session)
    if await _group(session, asked.app_id, asked.group_id) is not None:
        raise _conflict(FaceCode.GROUP_EXISTS)
    await _new_group(session, asked.app_id, asked.group_id)
    return await _done(session, revision)


async def delete_group(session: AsyncSession, library: Library, asked: DeleteGroup) -> LibraryRevision:
    """Its name is free at once; the sweeper erases what is left. Raises NotFound, NotAllowed."""
    revision = await next_revision(session)
    group = await _group(session, asked.app_id, asked.group_id)
    if group is None:
        raise _missing(FaceCode.GROUP_MISSING)
    if group.id == library.group_pk:
        raise NotAllowed("不能删除学员组", "the school's students cannot be deleted as a group", number=6)
    group.group_id, group.deleted_at = f"-{group.id}", now()  # no client's id has a hyphen
    await bury(session, revision, [("group", group.id, 0)])
    await audit(session, f"app {asked.app_id}", "delete group", f"group {asked.group_id}")
    return await _done(session, revision)


async def list_groups(session: AsyncSession, asked: ListGroups) -> Ids:
    """In the order they were made."""
    page = select(FaceGroup.group_id).where(FaceGroup.app_id == asked.app_id, FaceGroup.deleted_at.is_(None))
    return await _page(session, page.order_by(FaceGroup.id), asked.start, asked.length)


async def _page(session: AsyncSession, wanted: Select[Any], start: int, length: int) -> Ids:
    found = await session.scalars(wanted.offset(min(start, LARGEST_ROW_ID)).limit(length))
    return Ids(ids=tuple(found))


async def _group(session: AsyncSession, app_id: int, group_id: str) -> FaceGroup | None:
    found: FaceGroup | None = await session.scalar(
        select(FaceGroup).where(FaceGroup.app_id == app_id, FaceGroup.group_id == group_id)
    )
    return found


async def _new_group(session: AsyncSession, app_id: int, group_id: str) -> FaceGroup:
    group = FaceGroup(app_id=app_id, group_id=group_id, created_at=now())
    session.add(group)
    await session.flush()
    return group


# ---- faces of users


async def put_face(session: AsyncSession, library: Library, asked: PutFace, face: SealedFace) -> LibraryRevision:
    """Raises Conflict, NotFound."""
    revision = await next_revision(session)
    group, user = await _whose(session, asked.app_id, asked.group_id, asked.user_id)
    if user is None and asked.action is FaceAction.UPDATE:
        raise _missing(FaceCode.USER_MISSING)
    group = group or await _new_group(session, asked.app_id, asked.group_id)
    user = user or await _new_user(session, library, group, asked.user_id, revision)
    if asked.action is not FaceAction.APPEND:
        await erase_faces(session, user.id, revision)
    elif await _count(session, user.id) >= MAX_FACES:
        raise _conflict(FaceCode.TOO_MANY_FACES)
    await add_face(session, library.vault, Place(group.app_id, group.id, user.id), face, revision)
    if asked.user_info is not None and asked.user_info != user.user_info:
        check_user_info(asked.user_info)
        user.user_info, user.revision = asked.user_info, revision
    return await _done(session, revision)


async def _whose(
    session: AsyncSession, app_id: int, group_id: str, user_id: str
) -> tuple[FaceGroup | None, FaceUser | None]:
    group = await _group(session, app_id, group_id)
    if group is None:
        return None, None
    wanted = select(FaceUser).where(FaceUser.group_pk == group.id, FaceUser.user_id == user_id)
    return group, await session.scalar(wanted)


async def _user(session: AsyncSession, app_id: int, group_id: str, user_id: str) -> FaceUser:
    _, user = await _whose(session, app_id, group_id, user_id)
    if user is None:
        raise _missing(FaceCode.USER_MISSING)
    return user


async def _new_user(session: AsyncSession, library: Library, group: FaceGroup, user_id: str, revision: int) -> FaceUser:
    """In the school's group only a student can be a user: a face without a name and a class is nobody's punch."""
    student_id = None
    if group.id == library.group_pk:
        student_id = await session.scalar(select(Student.id).where(Student.st_num == user_id))
        if student_id is None:
            raise _missing(FaceCode.USER_MISSING)
    user = FaceUser(
        group_pk=group.id,
        user_id=user_id,
        user_info="",
        student_id=student_id,
        born=revision,
        revision=revision,
        created_at=now(),
    )
    session.add(user)
    await session.flush()
    return user


async def _count(session: AsyncSession, user_pk: int) -> int:
    return await session.scalar(select(func.count(Face.id)).where(Face.user_pk == user_pk)) or 0


async def remove_face(session: AsyncSession, asked: RemoveFace) -> LibraryRevision:
    """The last face takes its user along. Raises NotFound."""
    revision = await next_revision(session)
    user = await _user(session, asked.app_id, asked.group_id, asked.user_id)
    if not await erase_faces(session, user.id, revision, only=asked.face_token):
        raise _missing(FaceCode.FACE_MISSING)
    if not await _count(session, user.id):
        await erase_users(session, [user], revision)
    else:
        user.revision = revision  # terminals take a user's faces as a whole
    return await _done(session, revision)


async def list_faces(session: AsyncSession, asked: ListFaces) -> FaceEntries:
    """Oldest first. Raises NotFound."""
    user = await _user(session, asked.app_id, asked.group_id, asked.user_id)
    rows = select(Face.face_token, Face.created_at).where(Face.user_pk == user.id).order_by(Face.id)
    entries = (FaceEntry(face_token=token, created_at=at) for token, at in await session.execute(rows))
    return FaceEntries(faces=tuple(entries))


# ---- users


async def remove_user(session: AsyncSession, asked: RemoveUser) -> LibraryRevision:
    """From one group or from all; a student keeps the row in the office's list. Raises NotFound."""
    revision = await next_revision(session)
    users = list(await session.scalars(_everywhere(select(FaceUser), asked.app_id, asked.group_id, asked.user_id)))
    if not users:
        raise _missing(FaceCode.USER_MISSING)
    await erase_users(session, users, revision)
    return await _done(session, revision)


async def get_user(session: AsyncSession, asked: GetUser) -> UserEntries:
    """In one group or in all. Raises NotFound."""
    columns: Any = select(FaceGroup.group_id, FaceUser.user_info, Student.st_name)
    rows = _everywhere(columns, asked.app_id, asked.group_id, asked.user_id)
    found = (await session.execute(rows.outerjoin(Student, Student.id == FaceUser.student_id))).all()
    if not found:
        raise _missing(FaceCode.USER_MISSING)
    return UserEntries(entries=tuple(UserEntry(group_id=g, user_info=info or name or "") for g, info, name in found))


def _everywhere(wanted: Select[Any], app_id: int, group_id: str | None, user_id: str) -> Select[Any]:
    live: list[ColumnElement[bool]] = [FaceGroup.app_id == app_id, FaceGroup.deleted_at.is_(None)]
    if group_id is not None:
        live.append(FaceGroup.group_id == group_id)
    return (
        wanted.join(FaceGroup, FaceGroup.id == FaceUser.group_pk)
        .where(*live, FaceUser.user_id == user_id)
        .order_by(FaceGroup.id)
    )


async def list_users(session: AsyncSession, asked: ListUsers) -> Ids:
    """In the order they were made. Raises NotFound."""
    group = await _group(session, asked.app_id, asked.group_id)
    if group is None:
        raise _missing(FaceCode.GROUP_MISSING)
    page = select(FaceUser.user_id).where(FaceUser.group_pk == group.id).order_by(FaceUser.id)
    return await _page(session, page, asked.start, asked.length)


async def copy_user(session: AsyncSession, library: Library, asked: CopyUser) -> LibraryRevision:
    """With faces and photos. Raises NotFound, Conflict."""
    revision = await next_revision(session)
    group, there = await _whose(session, asked.app_id, asked.destination, asked.user_id)
    if group is None:
        raise _missing(FaceCode.DESTINATION_MISSING)
    source = await _user(session, asked.app_id, asked.source, asked.user_id)
    if there is not None:
        raise _conflict(FaceCode.USER_EXISTS)
    user = await _new_user(session, library, group, asked.user_id, revision)
    user.user_info = source.user_info
    await copy_faces(session, library.vault, source.id, Place(group.app_id, group.id, user.id), revision)
    return await _done(session, revision)
