"""What changed in the libraries since a revision: the recognizers' copies are made of this."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import page_end
from registry.store.faces import open_embedding
from registry.store.library import head
from registry.store.people import as_person
from registry.tables import Face, FaceGroup, FaceUser, Removal, Student
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, LibraryDelta, UserRow
from shared.contracts.people import Person
from shared.security import Vault

PAGE_BYTES = 3_000_000
"""of faces and users in one answer; with people and framing it stays under the broker's 4 MB"""
USER_BYTES = 600
"""a face's user goes with it: two ids of 128, `user_info` of 256 bytes, and numbers"""
AT_ONCE = 500
"""ids in one question: SQLite takes 32,766 parameters, but plans for few are quicker made"""


async def changes(
    session: AsyncSession, vault: Vault, since: int, limit: int, *, room: int = PAGE_BYTES
) -> LibraryDelta:
    """Everything after `since`, in pages of at most `limit` faces and `room` bytes.

    Needs a session that reads one snapshot.
    """
    newest = await head(session)
    if since >= newest:
        return LibraryDelta(revision=newest, head=newest)
    end = await _page_end(session, since, newest, limit, room)
    gone = await _removed(session, since, end)
    faces = (await session.execute(_faces(since, end))).all()
    users = await _users(session, since, end, {f.user_pk for f in faces})
    return LibraryDelta(
        revision=end,
        head=newest,
        removed_groups=gone["group"],
        removed_users=gone["user"],
        removed_faces=gone["face"],
        removed_people=gone["person"],
        people=await _people(session, since, end, {u.student_id for u in users if u.student_id}),
        users=_by_group(users),
        faces=_in_columns(vault, faces),
    )


async def _page_end(session: AsyncSession, since: int, newest: int, limit: int, room: int) -> int:
    """Faces, users, people and removals are each at most `limit`, and faces with their users at most `room` bytes,
    unless one revision alone is larger."""
    first = limit + 1
    faces = select(Face.revision, func.length(Face.embedding)).where(Face.revision > since)
    sized = [(r, size + USER_BYTES) for r, size in await session.execute(faces.order_by(Face.revision).limit(first))]
    users = select(FaceUser.revision).where(FaceUser.revision > since).order_by(FaceUser.revision).limit(first)
    people = select(Student.revision).where(Student.revision > since).order_by(Student.revision).limit(first)
    gone = select(Removal.revision).where(Removal.revision > since).order_by(Removal.revision).limit(first)
    counted: list[Iterable[int]] = [
        [r for r, _ in sized],
        await session.scalars(users),
        await session.scalars(people),
        await session.scalars(gone) if since else [],
    ]
    ends = [page_end(since, newest, [(r, 1) for r in revisions], limit) for revisions in counted]
    return min(page_end(since, newest, sized, room), *ends)


async def _removed(session: AsyncSession, since: int, end: int) -> dict[str, tuple[int, ...]]:
    """What the asker may have and must forget, by kind: it left in this page and was there before it."""
    gone: dict[str, list[int]] = {"group": [], "user": [], "face": [], "person": []}
    left = select(Removal.what, Removal.item_id).where(
        Removal.revision > since, Removal.revision <= end, Removal.born <= since
    )
    for what, item in await session.execute(left) if since else []:
        gone[what].append(item)
    return {what: tuple(items) for what, items in gone.items()}


def _faces(since: int, end: int) -> Select[Any]:
    columns: tuple[Any, ...] = (Face.id, Face.user_pk, Face.face_token, Face.model, Face.embedding)
    return (
        select(*columns)
        .join(FaceGroup, FaceGroup.id == Face.group_pk)
        .where(Face.revision > since, Face.revision <= end, FaceGroup.deleted_at.is_(None))
        .order_by(Face.revision, Face.id)
    )


def _in_columns(vault: Vault, rows: Iterable[Any]) -> tuple[GalleryFaces, ...]:
    """By model, and by length, since a column holds embeddings of one."""
    blocks: dict[tuple[str, int], list[FaceRow]] = {}
    for row in rows:
        plain = open_embedding(vault, row)
        blocks.setdefault((row.model, len(plain)), []).append(FaceRow(row.id, row.user_pk, plain))
    return tuple(GalleryFaces.of(model, block) for (model, _), block in blocks.items())


async def _users(session: AsyncSession, since: int, end: int, of_faces: set[int]) -> list[Any]:
    """The users that changed in this page, and those of its faces: an edit later than the page moved a user's own
    revision behind it, and no copy shall hold a face without an owner."""
    columns: tuple[Any, ...] = (
        FaceUser.id,
        FaceUser.group_pk,
        FaceUser.user_id,
        FaceUser.user_info,
        FaceUser.student_id,
        FaceGroup.app_id,
        FaceGroup.group_id,
        Student.st_name,
    )
    live = (
        select(*columns)
        .join(FaceGroup, FaceGroup.id == FaceUser.group_pk)
        .outerjoin(Student, Student.id == FaceUser.student_id)
        .where(FaceGroup.deleted_at.is_(None))
    )
    changed = await session.execute(live.where(FaceUser.revision > since, FaceUser.revision <= end))
    found = {row.id: row for row in changed}
    for chunk in _chunks(of_faces - found.keys()):
        found |= {row.id: row for row in await session.execute(live.where(FaceUser.id.in_(chunk)))}
    return [found[key] for key in sorted(found)]


def _by_group(rows: Iterable[Any]) -> tuple[GroupUsers, ...]:
    groups: dict[tuple[int, int, str], list[UserRow]] = {}
    for row in rows:
        user = UserRow(row.id, row.user_id, row.user_info or row.st_name or "", row.student_id or 0)
        groups.setdefault((row.app_id, row.group_pk, row.group_id), []).append(user)
    return tuple(GroupUsers.of(*group, users) for group, users in groups.items())


async def _people(session: AsyncSession, since: int, end: int, of_users: set[int]) -> tuple[Person, ...]:
    """The people that changed in this page, and those behind its users."""
    changed = select(Student).where(Student.revision > since, Student.revision <= end)
    found = {student.id: student for student in await session.scalars(changed)}
    for chunk in _chunks(of_users - found.keys()):
        found |= {s.id: s for s in await session.scalars(select(Student).where(Student.id.in_(chunk)))}
    return tuple(as_person(found[key]) for key in sorted(found))


def _chunks(ids: set[int]) -> Iterable[list[int]]:
    ordered = sorted(ids)
    return (ordered[start : start + AT_ONCE] for start in range(0, len(ordered), AT_ONCE))
