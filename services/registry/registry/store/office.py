"""The office's account. Hashes only; making and checking them is the caller's, away from the transaction."""

import secrets

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.store.events import audit
from registry.tables import OfficeAccount
from shared.contracts.base import now
from shared.contracts.office import OfficeState
from shared.errors import Conflict

OFFICE = "office"


async def account(session: AsyncSession) -> OfficeAccount | None:
    """The account, None while nobody has set a password."""
    found: OfficeAccount | None = await session.scalar(select(OfficeAccount).where(OfficeAccount.name == OFFICE))
    return found


def state(found: OfficeAccount | None) -> OfficeState:
    """Password id 0: there is none."""
    return OfficeState(has_password=found is not None, password_id=found.password_id if found else 0)


async def set_hash(session: AsyncSession, password_hash: str, *, first: bool) -> OfficeState:
    """Raises Conflict when this should be the first password and is not."""
    found = await account(session)
    if found is not None and first:
        raise Conflict("密码已经设置", "there is a password already")
    if found is None:
        found = OfficeAccount(name=OFFICE)
        session.add(found)
    # Drawn, not counted: after a restore from a backup a counter would give an old session's number again.
    found.password_hash, found.password_id, found.changed_at = password_hash, secrets.randbits(52) + 1, now()
    await session.flush()
    await audit(session, OFFICE, "set password", "first" if first else "changed")
    return state(found)
