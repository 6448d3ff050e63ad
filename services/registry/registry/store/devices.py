"""Terminals: those that ask, those that the office lets in."""

import json
import secrets
from datetime import timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import ColumnElement, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import LARGEST_ROW_ID, is_row_id, tidy
from registry.store.events import announce, audit, enter
from registry.tables import Audit, DeviceRow
from shared.contracts.base import Done, now
from shared.contracts.device_log import action_of
from shared.contracts.devices import (
    MAX_PENDING,
    AddDevice,
    AddDevices,
    AuthoriseDevice,
    ConfigureDevices,
    Device,
    DeviceChange,
    DeviceChanged,
    DeviceConfig,
    DeviceList,
    DeviceLog,
    DevicesConfigured,
    DeviceState,
    EditDevice,
    FindDevice,
    GetDevice,
    GetDeviceLog,
    IssuedSecret,
    IssuedSecrets,
    ListDevices,
    LogEntry,
    PendingRemoved,
    Proof,
    RemoveDevice,
    RemoveDevices,
    RemovePending,
    RenewSecret,
    SuspendDevice,
)
from shared.contracts.hubs import (
    AnnounceDevice,
    DeedsDone,
    DevicesMark,
    DevicesSeen,
    FindHubDevices,
    HubDevices,
    ListHubDevices,
)
from shared.errors import Conflict, NotAllowed, NotFound
from shared.security import Vault

DEEDS = "deeds"
"""consumer name of the inbox: each deed is written down once"""
ITSELF = "terminal"
"""who announces, in the log"""
PENDING_KEPT = timedelta(days=7)
"""how long a terminal that waits for the office is remembered without asking again: else rubbish would take all
MAX_PENDING places for ever"""
ASKS_AGAIN = timedelta(hours=12)
"""how often its asking again is written down"""
SECRET_BYTES = 32
MANY_CHANGED, MANY_CONFIGURED = f"devices {DeviceChange.MANY}", "devices configured"
CHANGES = (*map(action_of, DeviceChange), MANY_CHANGED, MANY_CONFIGURED)
"""actions in the audit after which a hub's copy is old"""


async def add(session: AsyncSession, vault: Vault, asked: AddDevice) -> IssuedSecret:
    """Raises Conflict. Adding the same terminal again lets it in again."""
    row = await _known(session, tidy(asked.name, "name"), asked.sn) or await _new(session, asked.name, asked.sn)
    return await _let_in(session, vault, row, asked.proof, DeviceChange.ADDED, asked.by)


async def add_many(session: AsyncSession, vault: Vault, asked: AddDevices) -> IssuedSecrets:
    """Raises Conflict. One entry in the log for all, and one event."""
    names = [tidy(device.name, "name") for device in asked.devices]
    serials = [device.sn for device in asked.devices]
    known = {row.sn: row for row in await session.scalars(select(DeviceRow).where(_any_of(names, serials)))}
    taken = {row.name: row for row in known.values()}
    rows = []
    for name, sn in zip(names, serials, strict=True):
        row = known.get(sn) or taken.get(name) or _blank(name, sn)
        if (row.name, row.sn) != (name, sn):
            _refuse(row, name)
        known[sn] = taken[name] = row
        row.state, row.proof = DeviceState.AUTHORISED, Proof.SECRET
        rows.append(row)
    session.add_all(rows)
    await session.flush()
    secrets_of = [_seal_new_secret(vault, row) for row in rows]
    await _tell_many(session, f"added {len(rows)} devices", asked.by)
    return IssuedSecrets(ids=tuple(row.id for row in rows), secrets=tuple(secrets_of))


async def remove_many(session: AsyncSession, asked: RemoveDevices) -> Done:
    """One entry in the log for all, and one event."""
    await session.execute(delete(DeviceRow).where(DeviceRow.id.in_([i for i in asked.ids if is_row_id(i)])))
    await _tell_many(session, f"removed {len(asked.ids)} devices", asked.by)
    return Done()


async def remove_pending(session: AsyncSession, asked: RemovePending) -> PendingRemoved:
    """In one statement: whom the office lets in meanwhile stays. One entry in the log for all, and one event."""
    waited = delete(DeviceRow).where(DeviceRow.state == DeviceState.PENDING)
    count: int = (await (await session.connection()).execute(waited)).rowcount
    if count:
        await _tell_many(session, f"removed {count} devices that waited", asked.by)
    return PendingRemoved(count=count)


async def configure_many(session: AsyncSession, asked: ConfigureDevices) -> Done:
    """One entry in the log for all, and one event that says everything."""
    these = DeviceRow.id.in_([i for i in asked.ids if is_row_id(i)])
    # The revision first: MySQL computes what stands further right from what stands further left.
    await session.execute(
        update(DeviceRow)
        .where(these)
        .values(config_revision=DeviceRow.config_revision + 1, config=asked.config.model_dump_json())
        .execution_options(synchronize_session=False)
    )
    rows = (await session.execute(select(DeviceRow.id, DeviceRow.config_revision).where(these))).all()
    await audit(session, asked.by, MANY_CONFIGURED, f"{len(rows)} devices")
    if rows:
        ids, revisions = zip(*((row.id, row.config_revision) for row in rows), strict=True)
        await announce(session, DevicesConfigured(ids=ids, revisions=revisions, config=asked.config, by=asked.by))
    return Done()


def _any_of(names: list[str], serials: list[str]) -> ColumnElement[bool]:
    return or_(DeviceRow.name.in_(names), DeviceRow.sn.in_(serials))


async def _tell_many(session: AsyncSession, what: str, by: str) -> None:
    await audit(session, by, MANY_CHANGED, what)
    await announce(session, DeviceChanged(device_id=0, change=DeviceChange.MANY, by=by))


async def announced(session: AsyncSession, asked: AnnounceDevice, *, most: int = MAX_PENDING) -> Device:
    """Raises Conflict, NotAllowed. A terminal that is known already is answered as it stands."""
    if (row := await _known(session, tidy(asked.name, "name"), asked.sn)) is not None:
        if row.state == DeviceState.PENDING and (row.seen_at or row.created_at) < now() - ASKS_AGAIN:
            row.seen_at = now()
        return as_device(row)
    if await _count(session, DeviceRow.state == DeviceState.PENDING) >= most:
        raise NotAllowed("等待授权的设备太多", "too many terminals wait for the office already")
    row = await _new(session, asked.name, asked.sn)
    await _tell(session, row.id, DeviceChange.ANNOUNCED, ITSELF)
    return as_device(row)


async def sweep_pending(session: AsyncSession, limit: int) -> bool:
    """Forget up to `limit` of those that wait and have not asked for PENDING_KEPT; whether there may be more."""
    asked_at = func.coalesce(DeviceRow.seen_at, DeviceRow.created_at)
    silent = select(DeviceRow).where(DeviceRow.state == DeviceState.PENDING, asked_at < now() - PENDING_KEPT)
    rows = (await session.scalars(silent.limit(limit).with_for_update())).all()
    for row in rows:
        await session.delete(row)
        await _tell(session, row.id, DeviceChange.REMOVED, ITSELF)
    return len(rows) == limit


async def _known(session: AsyncSession, name: str, sn: str) -> DeviceRow | None:
    """The terminal that bears both. Raises Conflict if somebody else bears one of them."""
    for row in await session.scalars(select(DeviceRow).where(_either(name, sn))):
        if (row.name, row.sn) == (name, sn):
            return row
        _refuse(row, name)
    return None


async def _new(session: AsyncSession, name: str, sn: str) -> DeviceRow:
    row = _blank(tidy(name, "name"), sn)
    session.add(row)
    await session.flush()
    return row


def _blank(name: str, sn: str) -> DeviceRow:
    return DeviceRow(
        name=name,
        sn=sn,
        state=DeviceState.PENDING,
        proof=Proof.SECRET,
        tokens="once",
        place="",
        classes="[]",
        config="{}",
        config_revision=0,
        agent="",
        created_at=now(),
    )


def _either(name: str, sn: str) -> ColumnElement[bool]:
    return or_(DeviceRow.name == name, DeviceRow.sn == sn)


def _refuse(row: DeviceRow, name: str) -> None:
    if row.name == name:
        raise Conflict("设备名称已被使用", "another terminal has this name", field="name")
    raise Conflict("序列号已被使用", "another terminal has this serial number", field="sn")


async def _tell(session: AsyncSession, device_id: int, change: DeviceChange, by: str) -> None:
    await audit(session, by, action_of(change), _subject(device_id))
    await announce(session, DeviceChanged(device_id=device_id, change=change, by=by))


def _subject(device_id: int) -> str:
    return f"device {device_id}"


# ---- the office's decisions


async def authorise(session: AsyncSession, vault: Vault, asked: AuthoriseDevice) -> IssuedSecret:
    """Raises NotFound."""
    row = await _row(session, asked.device_id)
    proof = asked.proof or Proof(row.proof)
    return await _let_in(session, vault, row, proof, DeviceChange.AUTHORISED, asked.by)


async def _let_in(
    session: AsyncSession, vault: Vault, row: DeviceRow, proof: Proof, change: DeviceChange, by: str
) -> IssuedSecret:
    """A terminal that proves itself with a secret keeps the one it has."""
    row.state, row.proof = DeviceState.AUTHORISED, proof
    secret = ""
    if proof is Proof.SERIAL:
        row.secret = None
    elif row.secret is None or change is DeviceChange.ADDED:
        secret = _seal_new_secret(vault, row)
    await session.flush()
    await _tell(session, row.id, change, by)
    return IssuedSecret(device=as_device(row), secret=SecretStr(secret))


def _seal_new_secret(vault: Vault, row: DeviceRow) -> str:
    secret = secrets.token_hex(SECRET_BYTES)
    row.secret = vault.seal(secret.encode(), _bound(row.id))
    return secret


def _bound(device_id: int) -> str:
    return f"device:{device_id}"


async def renew_secret(session: AsyncSession, vault: Vault, asked: RenewSecret) -> IssuedSecret:
    """Raises NotFound."""
    row = await _row(session, asked.device_id)
    row.proof = Proof.SECRET
    secret = _seal_new_secret(vault, row)
    await _tell(session, row.id, DeviceChange.SECRET_RENEWED, asked.by)
    return IssuedSecret(device=as_device(row), secret=SecretStr(secret))


async def suspend(session: AsyncSession, asked: SuspendDevice) -> Device:
    """Raises NotFound."""
    row = await _row(session, asked.device_id)
    row.state = DeviceState.SUSPENDED
    await _tell(session, row.id, DeviceChange.SUSPENDED, asked.by)
    return as_device(row)


async def edit(session: AsyncSession, asked: EditDevice) -> Device:
    """Raises NotFound, Conflict."""
    row = await _row(session, asked.device_id)
    name = tidy(asked.name, "name")
    other = await session.scalar(select(DeviceRow).where(DeviceRow.name == name, DeviceRow.id != row.id))
    if other is not None:
        _refuse(other, name)
    row.name, row.place, row.tokens = name, tidy(asked.place, "place") if asked.place.strip() else "", asked.tokens
    row.classes = json.dumps([tidy(c, "classes") for c in asked.classes], ensure_ascii=False)
    config = asked.config.model_dump_json()
    if config != row.config:
        row.config, row.config_revision = config, row.config_revision + 1
    await session.flush()
    await _tell(session, row.id, DeviceChange.EDITED, asked.by)
    return as_device(row)


async def remove(session: AsyncSession, asked: RemoveDevice) -> Done:
    """Raises NotFound."""
    await session.delete(await _row(session, asked.device_id))
    await _tell(session, asked.device_id, DeviceChange.REMOVED, asked.by)
    return Done()


async def _row(session: AsyncSession, device_id: int) -> DeviceRow:
    row = await session.get(DeviceRow, device_id, with_for_update=True) if is_row_id(device_id) else None
    if row is None:
        raise NotFound("没有这台设备", "no such terminal", field="device_id")
    return row


# ---- what is asked about them


async def listed(session: AsyncSession, asked: ListDevices) -> DeviceList:
    """A page: those that wait first, then by name."""
    wanted: list[ColumnElement[bool]] = [] if asked.state is None else [DeviceRow.state == asked.state]
    if text := asked.text.strip():
        wanted.append(
            or_(*(c.icontains(text, autoescape=True) for c in (DeviceRow.name, DeviceRow.place, DeviceRow.sn)))
        )
    order = (case((DeviceRow.state == DeviceState.PENDING, 0), else_=1), DeviceRow.name)
    page = select(DeviceRow).where(*wanted).order_by(*order)
    rows = await session.scalars(page.offset(min(asked.offset, LARGEST_ROW_ID)).limit(asked.limit))
    return DeviceList(
        devices=tuple(map(as_device, rows)),
        total=await _count(session, *wanted),
        pending=await _count(session, DeviceRow.state == DeviceState.PENDING),
    )


async def _count(session: AsyncSession, *wanted: ColumnElement[bool]) -> int:
    return await session.scalar(select(func.count(DeviceRow.id)).where(*wanted)) or 0


async def get(session: AsyncSession, asked: GetDevice) -> Device:
    """Raises NotFound."""
    row = await session.get(DeviceRow, asked.device_id) if is_row_id(asked.device_id) else None
    if row is None:
        raise NotFound("没有这台设备", "no such terminal", field="device_id")
    return as_device(row)


async def found(session: AsyncSession, asked: FindDevice) -> DeviceList:
    """Those with this name or this serial number."""
    wanted = select(DeviceRow).where(_either(asked.name, asked.sn)).order_by(DeviceRow.id)
    return DeviceList(devices=tuple(map(as_device, await session.scalars(wanted))))


async def log(session: AsyncSession, asked: GetDeviceLog) -> DeviceLog:
    """Newest first."""
    wanted = select(Audit).where(Audit.what == _subject(asked.device_id)).order_by(Audit.id.desc())
    rows = await session.scalars(wanted.limit(asked.limit))
    return DeviceLog(
        entries=tuple(LogEntry(at=row.at, by=row.by, action=row.action, detail=row.detail or "") for row in rows)
    )


def as_device(row: DeviceRow) -> Device:
    """A row as everybody but the hubs sees it."""
    return Device(
        device_id=row.id,
        name=row.name,
        sn=row.sn,
        state=DeviceState(row.state),
        proof=Proof(row.proof),
        tokens=row.tokens,
        place=row.place,
        classes=tuple(json.loads(row.classes)),
        config=DeviceConfig.model_validate_json(row.config),
        config_revision=row.config_revision,
        config_taken=row.config_taken,
        created_at=row.created_at,
        seen_at=row.seen_at,
        clock_offset_ms=row.clock_offset_ms,
        agent=row.agent,
    )


# ---- for the hubs

# The fields of HubDevice, in their order.
_COLUMNS = (
    DeviceRow.id,
    DeviceRow.name,
    DeviceRow.sn,
    DeviceRow.state,
    DeviceRow.proof,
    DeviceRow.tokens,
    DeviceRow.place,
    DeviceRow.classes,
    DeviceRow.config,
    DeviceRow.config_revision,
    DeviceRow.created_at,
    DeviceRow.secret,
)


async def listed_for_hub(session: AsyncSession, vault: Vault, asked: ListHubDevices) -> HubDevices:
    """A page by id."""
    return await _for_hub(session, vault, DeviceRow.id > asked.after, asked.limit)


async def found_for_hub(session: AsyncSession, vault: Vault, asked: FindHubDevices) -> HubDevices:
    """By id, or by name or serial number."""
    return await _for_hub(
        session, vault, DeviceRow.id == asked.device_id if asked.device_id else _either(asked.name, asked.sn)
    )


async def _for_hub(session: AsyncSession, vault: Vault, wanted: ColumnElement[bool], limit: int = 2) -> HubDevices:
    # Columns, not objects: each hub reads every terminal when it starts.
    rows = await session.execute(select(*_COLUMNS).where(wanted).order_by(DeviceRow.id).limit(limit))
    return HubDevices.of_rows([(*plain, _opened(vault, plain[0], sealed)) for *plain, sealed in rows])


def _opened(vault: Vault, device_id: int, sealed: bytes | None) -> bytes:
    return b"" if sealed is None else vault.open(sealed, _bound(device_id))


async def mark(session: AsyncSession) -> DevicesMark:
    """The newest entry of the audit that tells of a change of terminals. What they were told to do stands there too,
    and would have every hub read all of them again."""
    newest = select(Audit.id).where(Audit.action.in_(CHANGES)).order_by(Audit.id.desc()).limit(1)
    return DevicesMark(mark=await session.scalar(newest) or 0)


async def seen(session: AsyncSession, asked: DevicesSeen) -> Done:
    """One statement for all of them. What a terminal did not tell stays as it was."""
    rows: list[dict[str, Any]] = [
        {"key": s.device_id, "at": s.at, "ahead": s.clock_offset_ms, "bears": s.agent, "takes": s.config_taken}
        for s in asked.seen
        if is_row_id(s.device_id)
    ]
    if rows:
        connection = await session.connection()
        await connection.execute(
            update(DeviceRow)
            .where(DeviceRow.id == bindparam("key"))
            .values(
                seen_at=bindparam("at"),
                clock_offset_ms=func.coalesce(bindparam("ahead"), DeviceRow.clock_offset_ms),
                agent=bindparam("bears"),
                config_taken=func.coalesce(bindparam("takes"), DeviceRow.config_taken),
            ),
            rows,
        )
    return Done()


async def deeds_done(session: AsyncSession, asked: DeedsDone) -> Done:
    """Into the log of each terminal, at the time it was done; a deed that is told again is there already."""
    known = set(await enter(session, DEEDS, [deed.deed_id for deed in asked.deeds]))
    rows = [
        {
            "at": deed.at,
            "by": deed.by,
            "action": action_of(deed.action, done=deed.done),
            "what": _subject(deed.device_id),
            "detail": deed.detail,
        }
        for deed in asked.deeds
        if deed.deed_id not in known
    ]
    if rows:
        await session.execute(insert(Audit), rows)
    return Done()
