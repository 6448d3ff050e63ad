"""API keys: made, checked, revoked; secrets at rest."""

import hashlib
import hmac

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from registry.handlers import Keyring
from registry.store.database import Database
from registry.tables import AppKey, Audit, Outbox
from shared.contracts.library import (
    CheckKey,
    CheckSignature,
    CreateKey,
    FindKey,
    IssuedKey,
    KeyRevoked,
    ListKeys,
    RevokeKey,
)
from shared.errors import NotAllowed, NotFound


@pytest.fixture
async def issued(keyring: Keyring) -> IssuedKey:
    return await keyring.create(CreateKey(name="door", qps=10, by="test"))


async def test_a_key_opens_its_app(keyring: Keyring, issued: IssuedKey) -> None:
    app = await keyring.check(CheckKey(api_key=issued.key.api_key, secret_key=issued.secret_key))
    assert (app.name, app.qps, app.key_id) == ("door", 10, issued.key.key_id)
    assert await keyring.found(FindKey(key_id=app.key_id)) == app
    second = await keyring.create(CreateKey(name="door", by="test"))
    again = await keyring.check(CheckKey(api_key=second.key.api_key, secret_key=second.secret_key))
    assert (again.app_id, again.qps, again.token_key) == (app.app_id, 10, app.token_key)
    assert (await keyring.listed(ListKeys())).keys == (issued.key, second.key)


@pytest.mark.parametrize("field", ["api_key", "secret_key"])
async def test_a_wrong_half_is_named(keyring: Keyring, issued: IssuedKey, field: str) -> None:
    given = {"api_key": issued.key.api_key, "secret_key": issued.secret_key}
    with pytest.raises(NotAllowed) as refused:
        await keyring.check(CheckKey(**(given | {field: "x" * 24})))
    assert refused.value.field == field


async def test_the_secret_is_not_in_the_database(keyring: Keyring, issued: IssuedKey, database: Database) -> None:
    secret = issued.secret_key.get_secret_value()
    assert secret not in repr(issued) and len(secret) == 32
    sealed = await database.read(lambda session: session.scalar(select(AppKey.secret)))
    assert sealed is not None and secret.encode() not in sealed
    trail = await database.read(lambda session: session.scalars(select(Audit.what)))
    assert not [line for line in trail if secret in line]


async def test_a_revoked_key_opens_nothing(keyring: Keyring, issued: IssuedKey, database: Database) -> None:
    await keyring.revoke(RevokeKey(api_key=issued.key.api_key, by="test"))
    with pytest.raises(NotAllowed):
        await keyring.check(CheckKey(api_key=issued.key.api_key, secret_key=issued.secret_key))
    for question in (
        keyring.found(FindKey(key_id=issued.key.key_id)),
        keyring.revoke(RevokeKey(api_key=issued.key.api_key, by="test")),
    ):
        with pytest.raises(NotFound):
            await question
    assert (await keyring.listed(ListKeys())).keys == ()
    news = await database.read(lambda session: session.scalars(select(Outbox.subject)))
    assert list(news) == [KeyRevoked.subject]


async def test_signatures(keyring: Keyring, issued: IssuedKey) -> None:
    prefix, canonical = f"bce-auth-v1/{issued.key.api_key}/2026-03-02T00:00:00Z/1800", "POST\n/x\n\nhost:h"
    secret = issued.secret_key.get_secret_value().encode()
    key = hmac.new(secret, prefix.encode(), hashlib.sha256).hexdigest()
    right = hmac.new(key.encode(), canonical.encode(), hashlib.sha256).hexdigest()
    given = {"api_key": issued.key.api_key, "prefix": prefix, "canonical": canonical, "signature": right}
    assert (await keyring.check_signature(CheckSignature(**given))).name == "door"
    for wrong in ({"canonical": canonical + "x"}, {"prefix": prefix + "0"}, {"signature": "é"}):
        with pytest.raises(NotAllowed):
            await keyring.check_signature(CheckSignature(**(given | wrong)))


async def test_secrets_are_hidden_in_commands() -> None:
    assert "hunter22" not in repr(CheckKey(api_key="a", secret_key=SecretStr("hunter22")))
