"""Where terminals are connected; and telling one to do something: find the hub that holds it, ask that hub, hand the
terminal's answer back."""

import asyncio
from collections.abc import Collection
from typing import TypeVar

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from shared.bus.bus import Bus
from shared.bus.topology import HUBS, PRESENCE
from shared.contracts.base import ContractError, Message
from shared.contracts.hubs import HubLease, Presence
from shared.contracts.terminals import OrderOutcome, TerminalOrder
from shared.errors import Gone, Nobody, Unavailable

ON_THE_WAY_S = 1.0
"""what the way to the hub and back may take on top of the terminal's own time, in seconds"""

AT_ONCE = 32
"""keys that are looked up together"""
LOOK_UP_S = 3.0
"""for all that is looked up by one call, in seconds"""

M = TypeVar("M", bound=Message)


async def connected(bus: Bus, device_ids: Collection[int]) -> dict[int, Presence]:
    """Those of these terminals that are connected: a hub said that it holds them, and that hub lives. One look-up for
    each, AT_ONCE at a time, and one for each hub. Raises Unavailable."""
    held = await held_by(bus, device_ids)
    leases = await _look_up(bus, HUBS, {presence.hub for presence in held.values()}, HubLease)
    return {device_id: presence for device_id, presence in held.items() if presence.hub in leases}


async def held_by(bus: Bus, device_ids: Collection[int]) -> dict[int, Presence]:
    """Which hub said last that it holds each of these terminals; it may be dead since. Raises Unavailable."""
    found = await _look_up(bus, PRESENCE, {str(device_id) for device_id in device_ids}, Presence)
    return {int(key): presence for key, presence in found.items()}


async def order(bus: Bus, asked: TerminalOrder) -> OrderOutcome:
    """The terminal's own answer, which may be that it could not.

    Raises Gone at once if the terminal is not connected; Unavailable if it did not answer in time (it may have done
    it), has too many orders already, or the broker is away.
    """
    presence = (await connected(bus, [asked.device_id])).get(asked.device_id)
    if presence is None:
        raise offline()
    subject = TerminalOrder.subject_for(presence.hub, str(asked.device_id))
    try:
        return await bus.ask_at(subject, asked, OrderOutcome, asked.within_s + ON_THE_WAY_S)
    except Nobody:  # the hub is dead, and its lease not over yet
        raise offline() from None


def offline() -> Gone:
    """The terminal is not connected."""
    return Gone("终端不在线", "the terminal is offline")


async def _look_up(bus: Bus, bucket: str, keys: Collection[str], kind: type[M]) -> dict[str, M]:
    """The values of those keys that are there. Raises Unavailable."""
    if not keys:
        return {}
    found: dict[str, M] = {}
    wanted = sorted(keys)
    try:
        async with asyncio.timeout(LOOK_UP_S):
            entries = await bus.js.key_value(bucket)
            for start in range(0, len(wanted), AT_ONCE):
                some = wanted[start : start + AT_ONCE]
                values = await asyncio.gather(*(_value(entries, key, kind) for key in some))
                found |= {key: value for key, value in zip(some, values, strict=True) if value is not None}
    except (JetStreamError, NatsError, ContractError, TimeoutError) as error:
        raise Unavailable(en=f"it cannot be looked up where the terminal is: {type(error).__name__}") from error
    return found


async def _value(bucket: KeyValue, key: str, kind: type[M]) -> M | None:
    try:
        return kind.decode((await bucket.get(key)).value or b"")
    except KeyNotFoundError:
        return None
