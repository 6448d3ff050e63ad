"""The words of a terminal's log: what the registry writes of a terminal, and the office reads."""

from enum import StrEnum
from typing import get_args

from shared.contracts.devices import DeviceChange
from shared.contracts.terminals import Order

PREFIX, FAILED = "device ", " failed"


class Trouble(StrEnum):
    """What the office shall know of punches that a terminal made by itself."""

    PUNCH_REFUSED = "punch refused"
    PUNCHES_LOST = "punches lost"


ORDERS: tuple[str, ...] = tuple(order.model_fields["action"].default for order in get_args(get_args(Order)[0]))

DEEDS: tuple[str, ...] = (*(change for change in DeviceChange if change is not DeviceChange.MANY), *Trouble, *ORDERS)
"""All that can stand in a terminal's log; an older or newer hub may have told of others."""


def action_of(deed: str, *, done: bool = True) -> str:
    """As it stands in the registry's audit: `device open_door failed`."""
    return f"{PREFIX}{deed}{'' if done else FAILED}"


def deed_of(action: str) -> tuple[str, bool]:
    """The deed, and whether it was done."""
    return action.removeprefix(PREFIX).removesuffix(FAILED), not action.endswith(FAILED)
