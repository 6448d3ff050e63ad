"""The school's library, the one row that numbers all changes of all libraries, and who may know what."""

import os
from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from registry.store.database import Database, DatabaseUnusable
from registry.tables import App, FaceGroup, LibraryHead
from shared.contracts.base import now
from shared.contracts.library import DEFAULT_APP, STUDENTS_GROUP
from shared.security import Vault, WrongKey


@dataclass(frozen=True, slots=True)
class Library:
    """The school's library: group `students` of the app `default`; and the key that opens every library."""

    app_id: int
    group_pk: int
    token_key: bytes
    vault: Vault


async def open_library(database: Database, vault: Vault) -> Library:
    """The school's library, made on the first start. Raises DatabaseUnusable if another key sealed it."""
    try:
        return await database.write(lambda session: _open(session, vault))
    except WrongKey:
        raise DatabaseUnusable("ROLLCALL_LIBRARY_KEY is not the key that this database was sealed with") from None


async def _open(session: AsyncSession, vault: Vault) -> Library:
    if await session.get(LibraryHead, 1) is None:
        await session.execute(insert(LibraryHead).values(id=1, revision=0))
    app = await find_app(session, DEFAULT_APP) or await new_app(session, vault, DEFAULT_APP)
    token_key = open_token_key(vault, app)
    group = await session.scalar(
        select(FaceGroup).where(FaceGroup.app_id == app.id, FaceGroup.group_id == STUDENTS_GROUP)
    )
    if group is None:
        group = FaceGroup(app_id=app.id, group_id=STUDENTS_GROUP, created_at=now())
        session.add(group)
        await session.flush()
    return Library(app.id, group.id, token_key, vault)


async def find_app(session: AsyncSession, name: str) -> App | None:
    """The app of this name."""
    found: App | None = await session.scalar(select(App).where(App.name == name))
    return found


async def new_app(session: AsyncSession, vault: Vault, name: str) -> App:
    """An empty library."""
    sealed = vault.seal(os.urandom(32), f"app:{name}")
    app = App(name=name, token_key=sealed, key_id=vault.key_id, qps=0.0, created_at=now())
    session.add(app)
    await session.flush()
    return app


def open_token_key(vault: Vault, app: App) -> bytes:
    """The key that makes the app's face tokens. Raises WrongKey."""
    return vault.open(app.token_key, f"app:{app.name}")


async def next_revision(session: AsyncSession) -> int:
    """Take the next revision; call it first in a transaction that changes any library.

    The UPDATE locks the row until the commit, so the next change gets its number only when this one is visible:
    whoever has seen revision n has seen everything up to n, and no number is ever missing.
    """
    await session.execute(update(LibraryHead).values(revision=LibraryHead.revision + 1))
    return await head(session)


async def hold(session: AsyncSession) -> None:
    """Lock the libraries until the end of the transaction, for those who must look before they change them."""
    await session.execute(select(LibraryHead.revision).with_for_update())


async def head(session: AsyncSession) -> int:
    """The newest revision."""
    return (await session.execute(select(LibraryHead.revision))).scalar_one()
