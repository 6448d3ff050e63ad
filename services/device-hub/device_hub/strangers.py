"""Whom a full door sends away, so that those who only sit there keep nobody out. Pure."""

import socket
from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

SILENCE_S: Final = 3.0
"""what a stranger may owe us a request for while others wait outside"""
AT_ONCE: Final = 125
"""that are sent away together"""


class Stranger(Protocol):
    """A connection that was not let in yet."""

    @property
    def address(self) -> str:
        """Where it comes from."""

    @property
    def owes_since(self) -> float:
        """Since when it owes a whole request, or its own end, by the event loop's clock; 0: we owe it an answer."""


S = TypeVar("S", bound=Stranger)


def to_send_away(strangers: Iterable[S], now: float) -> list[S]:
    """Those that have been silent for SILENCE_S, of the neighbourhoods that hold the most, the longest silent first.

    Never those that are merely in line: a fleet behind one address comes in as fast as one from everywhere."""
    homes = {stranger: neighbourhood(stranger.address) for stranger in strangers}
    crowds = Counter(homes.values())
    silent = [stranger for stranger in homes if 0 < stranger.owes_since <= now - SILENCE_S]
    return sorted(silent, key=lambda s: (-crowds[homes[s]], s.owes_since))[:AT_ONCE]


def neighbourhood(address: str) -> str:
    """Whose an address is: an IPv6 host owns its whole /64."""
    if ":" not in address:
        return address
    return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8].hex()
