"""Telling a terminal to do something: find the hub that holds it, ask that hub, hand the terminal's answer back."""

from typing import TypeVar

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError

from shared.bus.bus import Bus
from shared.bus.topology import HUBS, PRESENCE
from shared.contracts.base import ContractError, Message
from shared.contracts.hubs import HubLease, Presence
from shared.contracts.terminals import OrderOutcome, TerminalOrder
from shared.errors import Gone, Nobody, Unavailable

ON_THE_WAY_S = 1.0
"""what the way to the hub and back may take on top of the terminal's own time, in seconds"""

M = TypeVar("M", bound=Message)


async def order(bus: Bus, asked: TerminalOrder) -> OrderOutcome:
    """The terminal's own answer, which may be that it could not.

    Raises Gone at once if the terminal is not connected; Unavailable if it did not answer in time (it may have done
    it), has too many orders already, or the broker is away.
    """
    presence = await _look_up(bus, PRESENCE, str(asked.device_id), Presence)
    if presence is None or await _look_up(bus, HUBS, presence.hub, HubLease) is None:
        raise offline()
    subject = TerminalOrder.subject_for(presence.hub, str(asked.device_id))
    try:
        return await bus.ask_at(subject, asked, OrderOutcome, asked.within_s + ON_THE_WAY_S)
    except Nobody:  # the hub is dead, and its lease not over yet
        raise offline() from None


def offline() -> Gone:
    """The terminal is not connected."""
    return Gone("终端不在线", "the terminal is offline")


async def _look_up(bus: Bus, bucket: str, key: str, kind: type[M]) -> M | None:
    try:
        entry = await (await bus.js.key_value(bucket)).get(key)
        return kind.decode(entry.value or b"")
    except KeyNotFoundError:
        return None
    except (JetStreamError, NatsError, ContractError, TimeoutError) as error:
        raise Unavailable(en=f"it cannot be looked up where the terminal is: {type(error).__name__}") from error
