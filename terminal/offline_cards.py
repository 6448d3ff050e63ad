"""Cards where no server answers: whose they are by what this terminal has, and their punches on its own disk."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from terminal.cards import NOBODYS
from terminal.events import CardAnswer
from terminal.library import Known, Library
from terminal.punches import StoreFull
from terminal.reserve import Reserve
from terminal.sealing import CannotOpen

FULL = ("本机存储已满，请联系管理员", "This terminal's storage is full; please ask the office")


class Owner(NamedTuple):
    """`held`: only this terminal knows them."""

    known: Known
    held: bool


def owner_of(card: str, theirs: Mapping[str, Known], own: Mapping[str, Known]) -> Owner | None:
    """Whose card it is: as the server says it, the one with this number, else the only one of this name; then whoever
    was registered on this box. None: nobody's, or a number that the server gave to somebody of another name."""
    same_name = [known for known in theirs.values() if known.name == card]
    known = theirs.get(card) or (same_name[0] if len(same_name) == 1 else None)
    mine = own.get(card)
    if mine is None:
        return Owner(known, held=False) if known else None
    if known is None:
        return Owner(mine, held=True)
    return Owner(known, held=False) if known.name == mine.name else None


async def keep_card(reserve: Reserve, card: str, at: datetime) -> CardAnswer:
    """The punch of a card that was read `at`: on the disk when this has a state."""
    return await asyncio.to_thread(_keep, reserve, card, at)


def _keep(reserve: Reserve, card: str, at: datetime) -> CardAnswer:
    own = _people(reserve.own) if reserve.own is not None else {}
    owner = owner_of(card, _people(reserve.library), own)
    if owner is None:
        return CardAnswer(card, "", *NOBODYS)
    try:
        reserve.punches.add(owner.known.num, owner.known.name, at, 0.0, held=owner.held)
    except StoreFull:
        return CardAnswer(card, "", *FULL)
    return CardAnswer(card, "kept")  # this one, or that of a moment ago


def _people(library: Library) -> Mapping[str, Known]:
    """As the file has them now; of one that cannot be read any more, those who were in it."""
    with contextlib.suppress(CannotOpen, OSError):
        library.refresh()
    return library.people
