"""The face library as it is copied out: by `rollcall export`, and by who keeps another library like it."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from shared.contracts.base import Command, Done, Message
from shared.contracts.library import DEFAULT_APP, FaceToken, LibraryId
from shared.contracts.people import Person


class FaceName(Message):
    """A face of a user: its row, its token."""

    face_id: int
    token: str


class UserCopy(Message):
    """A user of one group; `person` if it is a student."""

    row: int
    """the next page starts after it"""
    group_id: str
    user_id: str
    user_info: str
    person: Person | None = None
    faces: tuple[FaceName, ...] = ()
    """oldest first"""


class UserCopies(Message):
    """A page of users, in the order they were made; none after the last. `app_id` is for the faces."""

    app_id: int
    users: tuple[UserCopy, ...]


class CopyUsers(Command[UserCopies]):
    """Users of an app, or of one of its groups, or one user of one group. Errors: NotFound (no such app)."""

    subject: ClassVar[str] = "cmd.registry.copy_users"
    timeout: ClassVar[float] = 10.0

    app: str = Field(default=DEFAULT_APP, max_length=64)
    group_id: LibraryId | None = None
    user_id: LibraryId | None = None
    after: int = Field(default=0, ge=0)
    limit: int = Field(default=200, ge=1, le=500)


class FaceCopy(Message):
    """A face with all that is known of it."""

    token: str
    model: str
    embedding: bytes
    """little-endian float32; empty for CLOUD_MODEL"""
    box: tuple[float, float, float, float]
    """left, top, width, height in pixels of `jpeg`"""
    jpeg: bytes
    """empty if the photo was not kept"""
    created_at: AwareDatetime
    own: bool = True
    """the token is of our making; if not, a cloud that has the photo gave it"""


class GetFaceCopy(Command[FaceCopy]):
    """One face. Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.get_face_copy"
    timeout: ClassVar[float] = 10.0

    app_id: int
    face_id: int


class NameFace(Command[Done]):
    """Call a face by another token: the one that the cloud gave to the same photo. Errors: NotFound, Conflict."""

    subject: ClassVar[str] = "cmd.registry.name_face"

    app_id: int
    face_id: int
    token: FaceToken
