"""The recognizers' copy of the face library, kept by revisions."""

from typing import ClassVar

from pydantic import Field

from shared.contracts.base import Command, Event, Message
from shared.contracts.people import Person


class GalleryFace(Message):
    """One face of the library: `embedding` is little-endian float32, L2-normalised, made by `model`."""

    face_id: int
    owner: int
    """a LibraryUser's"""
    model: str
    embedding: bytes


class LibraryUser(Message):
    """One user of one group; `student_id` is 0 for a user who is no student."""

    owner: int
    app_id: int
    group: int
    """the group's row: a group that was deleted and made again is another one"""
    group_id: str
    user_id: str
    user_info: str = ""
    student_id: int = 0


class LibraryDelta(Message):
    """All that changed after the asked revision, up to and with `revision`; `head` is the newest there is.

    Apply removals first (a group takes its users along, a user its faces), then people, users, faces; what comes
    again replaces. `revision < head` means: ask again from `revision`.
    """

    version: ClassVar[int] = 2

    revision: int
    head: int
    removed_groups: tuple[int, ...] = ()
    removed_users: tuple[int, ...] = ()
    removed_faces: tuple[int, ...] = ()
    removed_people: tuple[int, ...] = ()
    people: tuple[Person, ...] = ()
    users: tuple[LibraryUser, ...] = ()
    faces: tuple[GalleryFace, ...] = ()


class LibraryChanges(Command[LibraryDelta]):
    """Snapshot (since 0) and delta in one: pages of at most `limit` faces."""

    subject: ClassVar[str] = "cmd.registry.library_changes"

    since: int = Field(ge=0)
    limit: int = Field(default=2_000, ge=1, le=4_000)


class FaceChanged(Event):
    """The library reached `revision`: whoever keeps a copy asks for the changes. Only a nudge, safe to miss."""

    subject: ClassVar[str] = "evt.face.changed"

    revision: int
