"""The face library: apps with their keys, groups, users and faces.

The hierarchy and its rules are Baidu's (V3 §2.6, §3.6–3.8). A refusal carries Baidu's code in `number`. The school's
students are users of group `students` of app `default`; every other user is just an id with some text.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, SecretBytes, SecretStr, StringConstraints, field_serializer

from shared.contracts.base import Command, Done, Event, Message

DEFAULT_APP = "default"
STUDENTS_GROUP = "students"

LibraryId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_]+$", max_length=128)]
"""A group's or a user's id: digits, letters, underscore. Older pages allow 128 bytes, newer 48: we take both (§2.6)."""

FaceToken = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]

MAX_USER_INFO = 256
"""bytes of UTF-8"""
MAX_FACES = 20
"""of one user in one group"""
MAX_PAGE = 1_000
LOOSE_FOR_S = 3_600
"""How long the token of a face that is not registered can be used, in seconds (§2.5)."""
CLOUD_MODEL = "baidu-v3"
"""The model of faces that only Baidu's cloud can compare: they have no embedding here."""
UNIT_TOLERANCE = 0.0005
"""How far from 1 the length of an embedding may be: half of what the search takes (recognizer.codes.LONGEST), so that
nothing that was stored falls out there by rounding."""
MAX_KEPT = 16
"""loose faces in one message, and their pictures are at most MAX_KEPT_BYTES together"""
MAX_KEPT_BYTES = 3_000_000
"""or one picture that is larger by itself: the broker carries 4 MB"""


class App(Message):
    """One face library, as the gateway sees it. `token_key` makes its face tokens, `qps` is 0 for no limit."""

    app_id: int
    name: str
    qps: float
    key_id: int
    """the key that was shown"""
    token_key: SecretBytes

    @field_serializer("token_key")
    def _plain(self, value: SecretBytes) -> bytes:
        return value.get_secret_value()


class Key(Message):
    """A key as the office sees it."""

    key_id: int
    api_key: str
    app: str
    qps: float
    created_at: AwareDatetime


class IssuedKey(Message):
    """A new key; the secret is shown once."""

    key: Key
    secret_key: SecretStr

    @field_serializer("secret_key")
    def _plain(self, value: SecretStr) -> str:
        return value.get_secret_value()


class CreateKey(Command[IssuedKey]):
    """A key for the app of this name; an app that is not there is made. `qps` sets the app's limit."""

    subject: ClassVar[str] = "cmd.registry.create_key"

    name: str = Field(min_length=1, max_length=64)
    qps: float | None = Field(default=None, ge=0, le=100_000)
    by: str = Field(max_length=64)


class Keys(Message):
    """All keys that hold, by app and age."""

    keys: tuple[Key, ...]


class ListKeys(Command[Keys]):
    """At most `limit` keys after `after` (a key id)."""

    subject: ClassVar[str] = "cmd.registry.list_keys"

    after: int = Field(default=0, ge=0)
    limit: int = Field(default=500, ge=1, le=1_000)


class RevokeKey(Command[Done]):
    """The key, and every token made with it, holds no longer. Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.revoke_key"

    api_key: str = Field(max_length=64)
    by: str = Field(max_length=64)


class CheckKey(Command[App]):
    """Errors: NotAllowed with field `api_key` (unknown) or `secret_key` (wrong)."""

    subject: ClassVar[str] = "cmd.registry.check_key"

    api_key: str = Field(max_length=128)
    secret_key: SecretStr = Field(max_length=128)

    @field_serializer("secret_key")
    def _plain(self, value: SecretStr) -> str:
        return value.get_secret_value()


class CheckSignature(Command[App]):
    """Whether `signature` is `bce-auth-v1`'s for `canonical` (V3 §1.6). The secret never leaves the registry.
    Errors: NotAllowed."""

    subject: ClassVar[str] = "cmd.registry.check_signature"

    api_key: str = Field(max_length=128)
    prefix: str = Field(max_length=256)
    """bce-auth-v1/{api_key}/{time}/{seconds}"""
    canonical: str = Field(max_length=16_384)
    signature: str = Field(max_length=64)


class FindKey(Command[App]):
    """The app of a key that holds. Errors: NotFound."""

    subject: ClassVar[str] = "cmd.registry.find_key"

    key_id: int = Field(ge=0)


class KeyRevoked(Event):
    """Whoever remembers the key forgets it."""

    subject: ClassVar[str] = "evt.key.revoked"

    key_id: int


# ---- faces in flight and at rest


class EnrolledFace(Message):
    """A face that a recognizer measured and that shall enter the library together with its photo."""

    model: str = Field(max_length=64)
    embedding: bytes = Field(max_length=16_384)
    """empty for CLOUD_MODEL only"""
    jpeg: bytes = Field(min_length=4, max_length=3_000_000)
    box: tuple[float, float, float, float]
    """left, top, width, height in pixels of `jpeg`."""
    token: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{32})?$")] = ""
    """the image's name; made of `jpeg` when empty"""


class LibraryRevision(Message):
    """The library's revision after a change."""

    revision: int


class FaceAction(StrEnum):
    """What becomes of the user's other faces, and of a user who is not there."""

    APPEND = "append"
    """keep them; make the user"""
    REPLACE = "replace"
    """drop them; make the user"""
    UPDATE = "update"
    """drop them; the user must be there (223103)"""


class PutFace(Command[LibraryRevision]):
    """Errors: Conflict 223105 (the image is in the group already), 222210 (more than MAX_FACES); NotFound 223103
    (UPDATE of nobody; anybody but a student in the school's group `students`). Under REPLACE and UPDATE a token that
    the user has already is accepted."""

    subject: ClassVar[str] = "cmd.registry.put_face"
    timeout: ClassVar[float] = 8.0

    app_id: int
    group_id: LibraryId
    user_id: LibraryId
    user_info: str | None = None
    """None leaves what is there"""
    action: FaceAction
    face: EnrolledFace


class RemoveFace(Command[LibraryRevision]):
    """The last face takes its user along. Errors: NotFound 223103, 223106."""

    subject: ClassVar[str] = "cmd.registry.remove_face"

    app_id: int
    group_id: LibraryId
    user_id: LibraryId
    face_token: str = Field(max_length=64)


class RemoveUser(Command[LibraryRevision]):
    """From one group, or from all (`group_id` empty). Errors: NotFound 223100, 223103."""

    subject: ClassVar[str] = "cmd.registry.remove_user"

    app_id: int
    group_id: LibraryId | None
    user_id: LibraryId


class CopyUser(Command[LibraryRevision]):
    """Errors: NotFound 223111 (no such destination), 223103; Conflict 223102 (there already)."""

    subject: ClassVar[str] = "cmd.registry.copy_user"

    app_id: int
    user_id: LibraryId
    source: LibraryId
    destination: LibraryId


class UserEntry(Message):
    """A user in one group."""

    group_id: str
    user_info: str


class UserEntries(Message):
    """One user, in every group asked for."""

    entries: tuple[UserEntry, ...]


class GetUser(Command[UserEntries]):
    """In one group, or in all (None). Errors: NotFound 223103."""

    subject: ClassVar[str] = "cmd.registry.get_user"

    app_id: int
    group_id: LibraryId | None
    user_id: LibraryId


class FaceEntry(Message):
    """A registered face."""

    face_token: str
    created_at: AwareDatetime


class FaceEntries(Message):
    """Oldest first."""

    faces: tuple[FaceEntry, ...]


class ListFaces(Command[FaceEntries]):
    """Errors: NotFound 223103."""

    subject: ClassVar[str] = "cmd.registry.list_faces"

    app_id: int
    group_id: LibraryId
    user_id: LibraryId


class Ids(Message):
    """Group or user ids, in the order they were made."""

    ids: tuple[str, ...]


class ListUsers(Command[Ids]):
    """Errors: NotFound 223100."""

    subject: ClassVar[str] = "cmd.registry.list_users"

    app_id: int
    group_id: LibraryId
    start: int = Field(default=0, ge=0)
    length: int = Field(default=100, ge=1, le=MAX_PAGE)


class ListGroups(Command[Ids]):
    """The app's groups."""

    subject: ClassVar[str] = "cmd.registry.list_groups"

    app_id: int
    start: int = Field(default=0, ge=0)
    length: int = Field(default=100, ge=1, le=MAX_PAGE)


class AddGroup(Command[LibraryRevision]):
    """Errors: Conflict 223101."""

    subject: ClassVar[str] = "cmd.registry.add_group"

    app_id: int
    group_id: LibraryId


class DeleteGroup(Command[LibraryRevision]):
    """The group is gone at once, its rows in a while. Errors: NotFound 223100; NotAllowed 6 for the students."""

    subject: ClassVar[str] = "cmd.registry.delete_group"

    app_id: int
    group_id: LibraryId


class StoredFace(Message):
    """A picture and which of its faces is meant."""

    jpeg: bytes
    box: tuple[float, float, float, float]
    """left, top, width, height in pixels of `jpeg`."""


class LooseFace(Message):
    """A face that was looked at and is not registered."""

    app_id: int
    token: FaceToken
    face: StoredFace


class KeepFaces(Command[Done]):
    """Remember loose faces for LOOSE_FOR_S, so that their tokens can be used; one transaction for all of them."""

    subject: ClassVar[str] = "cmd.registry.keep_faces"

    faces: tuple[LooseFace, ...] = Field(min_length=1, max_length=MAX_KEPT)


class FindFace(Command[StoredFace]):
    """Registered in any group of the app, or kept. Errors: NotFound 222209."""

    subject: ClassVar[str] = "cmd.registry.find_face"

    app_id: int
    token: FaceToken


# ---- faces that an earlier model measured


class OldFace(Message):
    """A registered face that another model measured; `GetFaceCopy` has its photo and box."""

    face_id: int
    app_id: int
    group_id: str
    user_id: str


class OldFaces(Message):
    """A page, by face id; none after the last."""

    faces: tuple[OldFace, ...]


class ListOldFaces(Command[OldFaces]):
    """At most `limit` faces of all apps after `after` (a face id) that neither `model` nor the cloud measured."""

    subject: ClassVar[str] = "cmd.registry.list_old_faces"
    timeout: ClassVar[float] = 10.0

    model: str = Field(max_length=64)
    after: int = Field(default=0, ge=0)
    limit: int = Field(default=200, ge=1, le=500)


class ReplaceEmbedding(Command[LibraryRevision]):
    """The same photo was measured again, by `model`. Token, photo and box stay; to ask twice changes nothing.
    Errors: NotFound (the face left meanwhile); Conflict (CLOUD_MODEL: the cloud's face has no embedding)."""

    subject: ClassVar[str] = "cmd.registry.replace_embedding"

    app_id: int
    face_id: int
    model: str = Field(max_length=64)
    embedding: bytes = Field(max_length=16_384)
