"""API keys of apps."""

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import is_row_id, new_api_key, new_secret, same_text, signature_of, tidy
from registry.store.events import announce, audit
from registry.store.library import find_app, hold, new_app, open_token_key
from registry.tables import App as AppRow
from registry.tables import AppKey
from shared.contracts.base import Done, now
from shared.contracts.library import (
    App,
    CheckKey,
    CheckSignature,
    CreateKey,
    FindKey,
    IssuedKey,
    Key,
    KeyRevoked,
    Keys,
    ListKeys,
    RevokeKey,
)
from shared.errors import NotAllowed, NotFound
from shared.security import Vault


async def create(session: AsyncSession, vault: Vault, asked: CreateKey) -> IssuedKey:
    """A new key; the app is made if it is not there."""
    await hold(session)
    name = tidy(asked.name, "name")
    app = await find_app(session, name) or await new_app(session, vault, name)
    if asked.qps is not None:
        app.qps = asked.qps
    api_key, secret = new_api_key(), new_secret()
    row = AppKey(
        app_id=app.id,
        api_key=api_key,
        secret=vault.seal(secret.encode(), _bound(api_key)),
        key_id=vault.key_id,
        created_at=now(),
    )
    session.add(row)
    await session.flush()
    await audit(session, asked.by, "create key", f"key {row.id} of app {app.name}")
    return IssuedKey(key=_key(row, app), secret_key=secret)


def _bound(api_key: str) -> str:
    return f"secret:{api_key}"


def _key(row: AppKey, app: AppRow) -> Key:
    return Key(key_id=row.id, api_key=row.api_key, app=app.name, qps=app.qps, created_at=row.created_at)


async def listed(session: AsyncSession, asked: ListKeys) -> Keys:
    """A page of the keys that hold, by age."""
    page = await session.execute(_holding().where(AppKey.id > asked.after).order_by(AppKey.id).limit(asked.limit))
    return Keys(keys=tuple(_key(row, app) for row, app in page))


async def revoke(session: AsyncSession, asked: RevokeKey) -> Done:
    """Raises NotFound."""
    row = await session.scalar(select(AppKey).where(AppKey.api_key == asked.api_key, AppKey.revoked_at.is_(None)))
    if row is None:
        raise NotFound("没有这个 API Key", "there is no such API key", field="api_key")
    row.revoked_at = now()
    await audit(session, asked.by, "revoke key", f"key {row.id}")
    await announce(session, KeyRevoked(key_id=row.id))
    return Done()


async def found(session: AsyncSession, vault: Vault, asked: FindKey) -> App:
    """Raises NotFound."""
    wanted = _holding().where(AppKey.id == asked.key_id)
    row = (await session.execute(wanted)).first() if is_row_id(asked.key_id) else None
    if row is None:
        raise NotFound("没有这个 API Key", "there is no such API key", field="key_id")
    return _app(vault, row)


async def check(session: AsyncSession, vault: Vault, asked: CheckKey) -> App:
    """Raises NotAllowed."""
    row, secret = await _secret(session, vault, asked.api_key)
    if not same_text(secret, asked.secret_key.get_secret_value()):
        raise NotAllowed("Secret Key 不对", "Client authentication failed", field="secret_key")
    return _app(vault, row)


async def check_signature(session: AsyncSession, vault: Vault, asked: CheckSignature) -> App:
    """Raises NotAllowed."""
    row, secret = await _secret(session, vault, asked.api_key)
    if not same_text(signature_of(secret, asked.prefix, asked.canonical), asked.signature):
        raise NotAllowed("签名不对", "IAM Certification failed", field="signature")
    return _app(vault, row)


async def _secret(session: AsyncSession, vault: Vault, api_key: str) -> tuple[Any, str]:
    row = (await session.execute(_holding().where(AppKey.api_key == api_key))).first()
    if row is None:
        raise NotAllowed("没有这个 API Key", "unknown client id", field="api_key")
    return row, vault.open(row[0].secret, _bound(api_key)).decode()


def _holding() -> Select[AppKey, AppRow]:
    return select(AppKey, AppRow).join(AppRow, AppRow.id == AppKey.app_id).where(AppKey.revoked_at.is_(None))


def _app(vault: Vault, row: Any) -> App:
    key, app = row
    token_key = open_token_key(vault, app)
    return App(app_id=app.id, name=app.name, qps=app.qps, key_id=key.id, token_key=token_key)
