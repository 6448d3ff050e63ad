"""Every table, and nothing else. Migrations must lead to exactly this (a test compares).

Text compares by code point on both databases (`utf8mb4_bin` on MySQL, BINARY on SQLite): the student numbers
`Ab` and `aB` are two numbers, 😀 is not 😂, 𠮷 is not 𡈽, and one suite holds for both. Searching folds case itself.
Ids are never given twice (InnoDB keeps its counter; SQLite needs AUTOINCREMENT): an event about a deleted student
must not become the punch of the next one.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMBLOB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.contracts.base import MAX_TOKEN
from shared.contracts.people import Gender

OPTIONS = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "sqlite_autoincrement": True,
}
"""Of every table."""

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""Constraints by stable names, so that later migrations can speak of them."""

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite only counts up by itself in a column that is exactly INTEGER, which there has 64 bits anyway."""

SealedPhoto = LargeBinary().with_variant(MEDIUMBLOB(), "mysql")
"""16 MiB; a plain LargeBinary is a BLOB of 64 KiB on MySQL."""


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC with microseconds, returned aware."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "mysql":
            return dialect.type_descriptor(DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Table(DeclarativeBase):
    """What all have in common."""

    metadata = MetaData(naming_convention=NAMES)
    __table_args__: Any = OPTIONS


class Student(Table):
    """As the seed prints it (`st_*`), and what we need besides."""

    __tablename__ = "students"

    id: Mapped[int] = mapped_column(primary_key=True)
    st_name: Mapped[str] = mapped_column(String(128))
    st_class: Mapped[str] = mapped_column(String(128), index=True)
    st_num: Mapped[str] = mapped_column(String(128), unique=True)
    st_gender: Mapped[Gender] = mapped_column(
        Enum(Gender, name="gender"), default=Gender.MAN, server_default=text("'MAN'")
    )
    created_at: Mapped[datetime] = mapped_column(Moment)
    request_id: Mapped[str | None] = mapped_column(String(MAX_TOKEN), unique=True)
    """the registration's idempotency key"""
    revision: Mapped[int] = mapped_column(BigInteger, index=True)
    """the library revision that last touched this student's fields"""


class LibraryHead(Table):
    """One row: `revision` counts the changes of all libraries without gaps, in the order of the commits."""

    __tablename__ = "library_head"

    id: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)


class App(Table):
    """One face library (Baidu's app)."""

    __tablename__ = "apps"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    token_key: Mapped[bytes] = mapped_column(LargeBinary)
    """sealed; keys the face tokens, so that they stay the same when the library key changes"""
    key_id: Mapped[str] = mapped_column(String(8))
    qps: Mapped[float] = mapped_column(Double, default=0.0, server_default=text("0"))
    """calls a second that it may make, 0 for no limit"""
    created_at: Mapped[datetime] = mapped_column(Moment)


class AppKey(Table):
    """An API key of an app. The secret is sealed, not hashed: signed calls are checked with it."""

    __tablename__ = "app_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    api_key: Mapped[str] = mapped_column(String(64), unique=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(Moment)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)


class FaceGroup(Table):
    """A group of an app; `group_id` is its name as Baidu's clients give it. A deleted group has given its name up
    and waits for the sweeper."""

    __tablename__ = "face_groups"
    __table_args__ = (UniqueConstraint("app_id", "group_id"), OPTIONS)

    id: Mapped[int] = mapped_column(primary_key=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    group_id: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(Moment)
    deleted_at: Mapped[datetime | None] = mapped_column(Moment, index=True)


class FaceUser(Table):
    """A user of a group. The school's students are users of group `students`, user_id = student number."""

    __tablename__ = "face_users"
    __table_args__ = (UniqueConstraint("group_pk", "user_id"), OPTIONS)

    id: Mapped[int] = mapped_column(primary_key=True)
    group_pk: Mapped[int] = mapped_column(ForeignKey("face_groups.id"))
    user_id: Mapped[str] = mapped_column(String(128))
    user_info: Mapped[str] = mapped_column(String(256), default="")
    student_id: Mapped[int | None] = mapped_column(ForeignKey("students.id"), index=True)
    born: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """the library revision that brought the user"""
    revision: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"), index=True)
    """the library revision that last touched the user's fields"""
    created_at: Mapped[datetime] = mapped_column(Moment)


class PhotoFile(Table):
    """A photo as it was registered, sealed. `sha256` is of the sealed bytes: backups can be checked without the
    key, and nobody can test a guess at the photo against it."""

    __tablename__ = "photos"

    id: Mapped[int] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(SealedPhoto)
    key_id: Mapped[str] = mapped_column(String(8))
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Moment)


class Face(Table):
    """One face. The token names the image: the same image cannot enter one group twice (Baidu 223105)."""

    __tablename__ = "faces"
    __table_args__ = (UniqueConstraint("group_pk", "face_token"), Index(None, "app_id", "face_token"), OPTIONS)

    id: Mapped[int] = mapped_column(primary_key=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    group_pk: Mapped[int] = mapped_column(ForeignKey("face_groups.id"))
    user_pk: Mapped[int] = mapped_column(ForeignKey("face_users.id"), index=True)
    face_token: Mapped[str] = mapped_column(String(32))
    model: Mapped[str] = mapped_column(String(64))
    embedding: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[str] = mapped_column(String(8))
    box_left: Mapped[float]
    box_top: Mapped[float]
    box_width: Mapped[float]
    box_height: Mapped[float]
    photo_id: Mapped[int | None] = mapped_column(ForeignKey("photos.id"), index=True)
    revision: Mapped[int] = mapped_column(BigInteger, index=True)
    created_at: Mapped[datetime] = mapped_column(Moment)


class LooseFace(Table):
    """A face that was looked at and not registered, sealed: its token can be used until `expires_at`."""

    __tablename__ = "loose_faces"
    __table_args__ = (UniqueConstraint("app_id", "face_token"), OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    app_id: Mapped[int] = mapped_column(ForeignKey("apps.id"))
    face_token: Mapped[str] = mapped_column(String(32))
    sealed: Mapped[bytes] = mapped_column(SealedPhoto)
    key_id: Mapped[str] = mapped_column(String(8))
    box_left: Mapped[float]
    box_top: Mapped[float]
    box_width: Mapped[float]
    box_height: Mapped[float]
    expires_at: Mapped[datetime] = mapped_column(Moment, index=True)


class Removal(Table):
    """A tombstone: at `revision` a face, a user, a group or a person (`what`) left the library, known since `born`."""

    __tablename__ = "removals"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, index=True)
    what: Mapped[str] = mapped_column(String(8))
    item_id: Mapped[int]
    born: Mapped[int] = mapped_column(BigInteger)


class Departure(Table):
    """At `revision` this student number left this class, or lost its last face: terminals that keep the class's faces
    forget it. Tombstones of rows do not know a number, and a terminal knows nothing else."""

    __tablename__ = "departures"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, index=True)
    username: Mapped[str] = mapped_column(String(128))
    st_class: Mapped[str] = mapped_column(String(128))


class Punch(Table):
    """A punch; name, number and class are copies, as they were. It outlives the student."""

    __tablename__ = "punches"
    __table_args__ = (Index(None, "student_id", "place", "captured_at"), Index(None, "source", "captured_at"), OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    student_id: Mapped[int | None] = mapped_column(ForeignKey("students.id", ondelete="SET NULL"))
    st_name: Mapped[str] = mapped_column(String(128))
    st_class: Mapped[str] = mapped_column(String(128))
    st_num: Mapped[str] = mapped_column(String(128))
    place: Mapped[str] = mapped_column(String(128))
    source: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    captured_at: Mapped[datetime] = mapped_column(Moment, index=True)
    recorded_at: Mapped[datetime] = mapped_column(Moment)
    score: Mapped[float]
    identified_event: Mapped[str] = mapped_column(String(MAX_TOKEN), unique=True)


class Inbox(Table):
    """An event that a consumer has dealt with. This row, not the broker, makes a punch happen once."""

    __tablename__ = "inbox"

    consumer: Mapped[str] = mapped_column(String(32), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(MAX_TOKEN), primary_key=True)
    settled_at: Mapped[datetime] = mapped_column(Moment, index=True)


class Outbox(Table):
    """An event that was committed together with its cause and waits for the relay (`sent_at` NULL)."""

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "sent_at", "seq"), OPTIONS)

    seq: Mapped[int] = mapped_column(BigId, primary_key=True)
    event_id: Mapped[str] = mapped_column(String(MAX_TOKEN), unique=True)
    subject: Mapped[str] = mapped_column(String(128))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    cause: Mapped[str | None] = mapped_column(String(MAX_TOKEN), index=True)
    """the event that this one answers"""
    trace: Mapped[str] = mapped_column(String(64), default="")
    """the correlation id of the work that led to it"""
    created_at: Mapped[datetime] = mapped_column(Moment)
    sent_at: Mapped[datetime | None] = mapped_column(Moment)


class DeviceRow(Table):
    """A terminal that the office knows, or that asks to be known. `secret` is sealed, not hashed: challenges are
    checked with it."""

    __tablename__ = "devices"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    sn: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(16), default="pending", server_default=text("'authorised'"), index=True)
    proof: Mapped[str] = mapped_column(String(16), default="secret", server_default=text("'serial'"))
    secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    tokens: Mapped[str] = mapped_column(String(16), default="once", server_default=text("'once'"))
    place: Mapped[str] = mapped_column(String(128), default="", server_default=text("''"))
    classes: Mapped[str] = mapped_column(Text, default="[]")
    """a JSON list of class names"""
    config: Mapped[str] = mapped_column(Text, default="{}")
    """a JSON DeviceConfig"""
    config_revision: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    config_taken: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(Moment)
    seen_at: Mapped[datetime | None] = mapped_column(Moment)
    clock_offset_ms: Mapped[int | None] = mapped_column(BigInteger)
    agent: Mapped[str] = mapped_column(String(128), default="", server_default=text("''"))


class PunchNumbers(Table):
    """Which of a terminal's own punch numbers were heard of, since its store was made (`epoch`)."""

    __tablename__ = "punch_numbers"
    __table_args__ = (UniqueConstraint("device_id", "epoch"), OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    device_id: Mapped[int] = mapped_column(ForeignKey("devices.id", ondelete="CASCADE"))
    epoch: Mapped[str] = mapped_column(String(32))
    heard: Mapped[str] = mapped_column(Text)
    """ranges as text: shared.ranges"""


class OfficeAccount(Table):
    """`password_id` is drawn anew with every change, so sessions of an older password end."""

    __tablename__ = "office_accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    password_id: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(Moment)


class Audit(Table):
    """Who changed what."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment, index=True)
    by: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    what: Mapped[str] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
