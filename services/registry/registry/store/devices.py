"""Terminals that the office knows."""

from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.rules import LARGEST_ROW_ID, is_row_id, tidy
from registry.store.events import announce, audit
from registry.tables import DeviceRow
from shared.contracts.base import Done, now
from shared.contracts.devices import (
    AddDevice,
    Device,
    DeviceChanged,
    DeviceList,
    FindDevice,
    ListDevices,
    RemoveDevice,
)
from shared.errors import Conflict, NotFound


async def add(session: AsyncSession, asked: AddDevice) -> Device:
    """Raises Conflict. Adding the same terminal again answers it again."""
    name = tidy(asked.name, "name")
    for row in await session.scalars(select(DeviceRow).where(_either(name, asked.sn))):
        if (row.name, row.sn) == (name, asked.sn):
            return _device(row)
        _refuse(row, name)
    row = DeviceRow(name=name, sn=asked.sn, authorised=True, created_at=now())
    session.add(row)
    await session.flush()
    await _tell(session, row.id, "added", asked.by)
    return _device(row)


def _either(name: str, sn: str) -> ColumnElement[bool]:
    return or_(DeviceRow.name == name, DeviceRow.sn == sn)


def _refuse(row: DeviceRow, name: str) -> None:
    if row.name == name:
        raise Conflict("设备名称已被使用", "another terminal has this name", field="name")
    raise Conflict("序列号已被使用", "another terminal has this serial number", field="sn")


async def _tell(session: AsyncSession, device_id: int, change: str, by: str) -> None:
    await audit(session, by, f"device {change}", f"device {device_id}")
    await announce(session, DeviceChanged(device_id=device_id, change=change, by=by))


async def remove(session: AsyncSession, asked: RemoveDevice) -> Done:
    """Raises NotFound."""
    row = await session.get(DeviceRow, asked.device_id) if is_row_id(asked.device_id) else None
    if row is None:
        raise NotFound("没有这台设备", "no such terminal", field="device_id")
    await session.delete(row)
    await _tell(session, asked.device_id, "removed", asked.by)
    return Done()


async def listed(session: AsyncSession, asked: ListDevices) -> DeviceList:
    """A page of all terminals, by name."""
    page = select(DeviceRow).order_by(DeviceRow.name).offset(min(asked.offset, LARGEST_ROW_ID)).limit(asked.limit)
    return DeviceList(devices=tuple(map(_device, await session.scalars(page))))


async def found(session: AsyncSession, asked: FindDevice) -> DeviceList:
    """Those with this name or this serial number."""
    wanted = select(DeviceRow).where(_either(asked.name, asked.sn)).order_by(DeviceRow.id)
    return DeviceList(devices=tuple(map(_device, await session.scalars(wanted))))


def _device(row: Any) -> Device:
    return Device(device_id=row.id, name=row.name, sn=row.sn, authorised=row.authorised, created_at=row.created_at)
