"""The students of some classes with their faces, by revisions: what a terminal keeps to recognise by itself."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, Subquery, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import page_end
from registry.store.faces import open_embedding
from registry.store.library import head
from registry.store.people import as_person
from registry.tables import Departure, Face, FaceUser, Student
from shared.contracts.roster import FACES_EACH, GetRoster, RosterEntry, RosterFace, RosterPage
from shared.security import Vault

AT_ONCE = 500
"""ids in one question"""


async def roster(session: AsyncSession, vault: Vault, asked: GetRoster) -> RosterPage:
    """A page. Needs a session that reads one snapshot."""
    newest = await head(session)
    if asked.since >= newest:
        return RosterPage(revision=newest, head=newest)
    came, left = _came(asked), _left(asked)
    end = await _page_end(session, came, left, asked, newest)
    ids = await session.scalars(select(came.c.student_id).where(came.c.revision <= end).order_by(came.c.student_id))
    gone: Iterable[str] = await session.scalars(left.where(Departure.revision <= end)) if asked.since else ()
    return RosterPage(
        revision=end,
        head=newest,
        entries=tuple(await _entries(session, vault, list(ids))),
        removed=tuple(sorted(set(gone))),
    )


def _came(asked: GetRoster) -> Subquery:
    """(student_id, revision of the newest change to the student, the library's user or a face) after `since`."""
    changes = []
    for changed in (Student.revision, FaceUser.revision, Face.revision):
        rows = (
            select(Student.id.label("student_id"), changed.label("revision"))
            .join(FaceUser, FaceUser.student_id == Student.id)
            .join(Face, Face.user_pk == FaceUser.id)
            .where(changed > asked.since)
        )
        changes.append(rows.where(Student.st_class.in_(asked.classes)) if asked.classes else rows)
    every = union_all(*changes).subquery()
    newest = func.max(every.c.revision).label("revision")
    return select(every.c.student_id, newest).group_by(every.c.student_id).subquery()


def _left(asked: GetRoster) -> Select[Any]:
    """The numbers of those who left after `since`."""
    rows = select(Departure.username).where(Departure.revision > asked.since)
    return rows.where(Departure.st_class.in_(asked.classes)) if asked.classes else rows


async def _page_end(session: AsyncSession, came: Subquery, left: Select[Any], asked: GetRoster, newest: int) -> int:
    first = asked.limit + 1
    went = left.with_only_columns(Departure.revision).order_by(Departure.revision)
    revisions: list[Iterable[int]] = [
        await session.scalars(select(came.c.revision).order_by(came.c.revision).limit(first)),
        await session.scalars(went.limit(first)) if asked.since else (),
    ]
    return min(page_end(asked.since, newest, [(r, 1) for r in each], asked.limit) for each in revisions)


async def _entries(session: AsyncSession, vault: Vault, ids: list[int]) -> list[RosterEntry]:
    entries = []
    for start in range(0, len(ids), AT_ONCE):
        chunk = ids[start : start + AT_ONCE]
        faces = await _faces(session, vault, chunk)
        students = await session.scalars(select(Student).where(Student.id.in_(chunk)).order_by(Student.id))
        entries += [RosterEntry(person=as_person(s), faces=tuple(faces[s.id])) for s in students]
    return entries


async def _faces(session: AsyncSession, vault: Vault, ids: Iterable[int]) -> dict[int, list[RosterFace]]:
    """The newest FACES_EACH of each; a face that only the cloud can compare counts, and is empty."""
    columns: tuple[Any, ...] = (FaceUser.student_id, Face.user_pk, Face.face_token, Face.model, Face.embedding)
    rows = select(*columns).join(Face, Face.user_pk == FaceUser.id).where(FaceUser.student_id.in_(ids))
    found: dict[int, list[RosterFace]] = {student_id: [] for student_id in ids}
    for row in await session.execute(rows.order_by(Face.id.desc())):
        if len(found[row.student_id]) < FACES_EACH:
            found[row.student_id].append(RosterFace(model=row.model, embedding=open_embedding(vault, row)))
    return found
