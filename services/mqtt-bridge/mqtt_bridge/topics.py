"""The topics that third parties see, all in one place. `v1` changes when a reader of today would misread."""

import re
from dataclasses import dataclass

ROOT = "rollcall/v1"
STATUS = f"{ROOT}/status"
PUNCHES = f"{ROOT}/punch"
ECHO = f"{ROOT}/bridge/echo"
"""the bridge to itself: all retained messages before it have come"""

BRIDGE = "rollcall-bridge"
"""the bridge's own name; no client can be called so"""
CLIENT_NAME = r"[a-z0-9_-]{1,24}"
"""24 characters: with the client's own id it must fit into an order id"""

ALL_COMMANDS = f"{ROOT}/device/+/+/set/+"
ALL_STATES = f"{ROOT}/device/+/state"

_COMMAND = re.compile(rf"{ROOT}/device/([0-9]{{1,10}})/(door|message)/set/({CLIENT_NAME})")


def punch(device_id: int) -> str:
    """Punches made at one terminal."""
    return f"{ROOT}/device/{device_id}/punch"


def state(device_id: int) -> str:
    """Whether a terminal is connected; retained."""
    return f"{ROOT}/device/{device_id}/state"


def door(device_id: int, client: str) -> str:
    """Where `client` asks for a door."""
    return f"{ROOT}/device/{device_id}/door/set/{client}"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants what of which terminal; the broker lets a client publish under its own name only."""

    device_id: int
    what: str
    """`door` or `message`"""
    client: str

    @property
    def result(self) -> str:
        """Where the answer goes."""
        return f"{ROOT}/device/{self.device_id}/{self.what}/result/{self.client}"


def command(topic: str) -> Asked | None:
    """What a topic asks for; None if it is no command of a terminal."""
    found = _COMMAND.fullmatch(topic)
    return Asked(int(found[1]), found[2], found[3]) if found else None


def discovery(prefix: str) -> str:
    """All that the bridge announces to Home Assistant."""
    return f"{prefix}/+/+/+/config"


# ---- what a client may do, as filters


def readable(client: str) -> tuple[str, ...]:
    """What every client may subscribe to."""
    return (STATUS, PUNCHES, f"{ROOT}/device/+/punch", ALL_STATES, f"{ROOT}/device/+/+/result/{client}")


def commandable(client: str) -> tuple[str, ...]:
    """What a client that may command publishes to."""
    return (f"{ROOT}/device/+/door/set/{client}", f"{ROOT}/device/+/message/set/{client}")


def bridge_rights(prefix: str) -> tuple[str, ...]:
    """What the bridge publishes and subscribes to."""
    return (f"{ROOT}/#", f"{prefix}/#")
