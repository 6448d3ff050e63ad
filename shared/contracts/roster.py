"""The faces of some classes, for terminals that recognise by themselves: who came, who left, since a revision."""

from typing import ClassVar

from pydantic import Field

from shared.contracts.base import Command, Message
from shared.contracts.people import Person

FACES_EACH = 4
"""The newest faces of a student, at most: 1,000 students of four faces stay under the broker's 4 MB."""
MAX_ROSTER = 1_000


class RosterFace(Message):
    """`embedding`: little-endian float32, length 1, made by `model`."""

    model: str
    embedding: bytes


class RosterEntry(Message):
    """A student with a face, as of now; newest face first."""

    person: Person
    faces: tuple[RosterFace, ...]


class RosterPage(Message):
    """What changed after the asked revision, up to and with `revision`; `head` is the newest there is.

    First forget the student numbers `removed`, then take the entries: one that comes again replaces. `revision < head`:
    ask again from `revision`. `revision` below the asked one: the library is an older one, begin at 0.
    """

    revision: int
    head: int
    entries: tuple[RosterEntry, ...] = ()
    removed: tuple[str, ...] = ()


class GetRoster(Command[RosterPage]):
    """The students of `classes` (none: of all) that have a face; pages of about `limit` changes."""

    subject: ClassVar[str] = "cmd.registry.get_roster"

    classes: tuple[str, ...] = Field(default=(), max_length=500)
    since: int = Field(default=0, ge=0)
    limit: int = Field(default=500, ge=1, le=MAX_ROSTER)
