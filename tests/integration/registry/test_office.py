"""The office's password, on both databases."""

import asyncio

import pytest

from registry.handlers import Office
from registry.store import office as store
from registry.store.database import Database
from shared.contracts.office import CheckPassword, GetOfficeState, OfficeState, Password, SetPassword
from shared.errors import Conflict, NotAllowed
from tests.integration.registry.samples import Clock

RIGHT, WRONG = "correct horse", "battery staple"


def setting(value: str, *, first: bool = True) -> SetPassword:
    return SetPassword.model_validate({"password": {"value": value}, "first": first})


def checking(value: str) -> CheckPassword:
    return CheckPassword.model_validate({"password": {"value": value}})


async def test_no_password_yet(office: Office) -> None:
    assert await office.state(GetOfficeState()) == OfficeState(has_password=False, password_id=0)
    with pytest.raises(NotAllowed):
        await office.check(checking(RIGHT))


async def test_the_right_password_opens(office: Office) -> None:
    made = await office.set(setting(RIGHT))
    assert made.has_password and made.password_id
    assert await office.check(checking(RIGHT)) == made == await office.state(GetOfficeState())
    with pytest.raises(NotAllowed):
        await office.check(checking(WRONG))


async def test_only_one_can_be_first(office: Office) -> None:
    answers = await asyncio.gather(*(office.set(setting(f"password {n}")) for n in range(4)), return_exceptions=True)
    assert sorted(type(a).__name__ for a in answers) == ["Conflict"] * 3 + ["OfficeState"]
    with pytest.raises(Conflict):
        await office.set(setting(WRONG))


async def test_a_change_ends_older_sessions(office: Office) -> None:
    old = await office.set(setting(RIGHT))
    new = await office.set(setting("something else", first=False))
    assert new.password_id != old.password_id
    with pytest.raises(NotAllowed):
        await office.check(checking(RIGHT))


async def test_the_password_itself_is_nowhere(office: Office, database: Database) -> None:
    await office.set(setting(RIGHT))
    account = await database.read(store.account)
    assert account is not None and account.password_hash.startswith("$argon2id$")
    assert RIGHT not in repr(setting(RIGHT)) and RIGHT not in repr(Password.model_validate({"value": RIGHT}))


async def test_guessing_becomes_slow_and_stays_bounded(office: Office, clock: Clock) -> None:
    await office.set(setting(RIGHT))
    waits = []
    for _ in range(20):
        with pytest.raises(NotAllowed):
            await office.check(checking(WRONG))
        with pytest.raises(NotAllowed) as caught:
            if len(waits) < 4:
                raise NotAllowed("", "")
            await office.check(checking(RIGHT))
        waits.append(caught.value.number)
        clock.now += caught.value.number
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:8] == [2, 3, 5, 9] and max(waits) == 31
    assert (await office.check(checking(RIGHT))).has_password
