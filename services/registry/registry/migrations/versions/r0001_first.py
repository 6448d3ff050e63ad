"""Everything the first version needs.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A migration is history: it does not import the models of today.
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PHOTO = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "sqlite_autoincrement": True,
}


def upgrade() -> None:
    op.create_table(
        "apps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("token_key", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(length=8), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apps")),
        sa.UniqueConstraint("name", name=op.f("uq_apps_name")),
        **OPTIONS,
    )
    op.create_table(
        "audit",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_table(
        "devices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sn", sa.String(length=64), nullable=False),
        sa.Column("authorised", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("name", name=op.f("uq_devices_name")),
        sa.UniqueConstraint("sn", name=op.f("uq_devices_sn")),
        **OPTIONS,
    )
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.String(length=32), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("settled_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_inbox")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_inbox_settled_at"), "inbox", ["settled_at"], unique=False)
    op.create_table(
        "office_accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("password_id", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_office_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_office_accounts_name")),
        **OPTIONS,
    )
    op.create_table(
        "outbox",
        sa.Column("seq", BIG_ID, nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=True),
        sa.Column("trace", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_outbox_event_id")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_outbox_cause"), "outbox", ["cause"], unique=False)
    op.create_index(op.f("ix_outbox_sent_at_seq"), "outbox", ["sent_at", "seq"], unique=False)
    op.create_table(
        "photos",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sealed", PHOTO, nullable=False),
        sa.Column("key_id", sa.String(length=8), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_photos")),
        **OPTIONS,
    )
    op.create_table(
        "students",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("st_name", sa.String(length=128), nullable=False),
        sa.Column("st_class", sa.String(length=128), nullable=False),
        sa.Column("st_num", sa.String(length=128), nullable=False),
        sa.Column("st_gender", sa.Enum("MAN", "WOMAN", name="gender"), server_default=sa.text("'MAN'"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_students")),
        sa.UniqueConstraint("request_id", name=op.f("uq_students_request_id")),
        sa.UniqueConstraint("st_num", name=op.f("uq_students_st_num")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_students_revision"), "students", ["revision"], unique=False)
    op.create_index(op.f("ix_students_st_class"), "students", ["st_class"], unique=False)
    op.create_table(
        "face_groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.String(length=128), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_face_groups_app_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_face_groups")),
        sa.UniqueConstraint("app_id", "group_id", name=op.f("uq_face_groups_app_id_group_id")),
        **OPTIONS,
    )
    op.create_table(
        "punches",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("student_id", sa.Integer(), nullable=True),
        sa.Column("st_name", sa.String(length=128), nullable=False),
        sa.Column("st_class", sa.String(length=128), nullable=False),
        sa.Column("st_num", sa.String(length=128), nullable=False),
        sa.Column("place", sa.String(length=128), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("captured_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("identified_event", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["student_id"], ["students.id"], name=op.f("fk_punches_student_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_punches")),
        sa.UniqueConstraint("identified_event", name=op.f("uq_punches_identified_event")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_punches_captured_at"), "punches", ["captured_at"], unique=False)
    op.create_index(
        op.f("ix_punches_student_id_place_captured_at"), "punches", ["student_id", "place", "captured_at"], unique=False
    )
    op.create_table(
        "removals",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(length=8), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("born", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_removals_app_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removals")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_removals_app_id_revision"), "removals", ["app_id", "revision"], unique=False)
    op.create_table(
        "face_users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("group_pk", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("user_info", sa.String(length=256), nullable=False),
        sa.Column("student_id", sa.Integer(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["group_pk"], ["face_groups.id"], name=op.f("fk_face_users_group_pk")),
        sa.ForeignKeyConstraint(["student_id"], ["students.id"], name=op.f("fk_face_users_student_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_face_users")),
        sa.UniqueConstraint("group_pk", "user_id", name=op.f("uq_face_users_group_pk_user_id")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_face_users_student_id"), "face_users", ["student_id"], unique=False)
    op.create_table(
        "faces",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("group_pk", sa.Integer(), nullable=False),
        sa.Column("user_pk", sa.Integer(), nullable=False),
        sa.Column("face_token", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(length=8), nullable=False),
        sa.Column("box_left", sa.Double(), nullable=False),
        sa.Column("box_top", sa.Double(), nullable=False),
        sa.Column("box_width", sa.Double(), nullable=False),
        sa.Column("box_height", sa.Double(), nullable=False),
        sa.Column("photo_id", sa.Integer(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_faces_app_id")),
        sa.ForeignKeyConstraint(["group_pk"], ["face_groups.id"], name=op.f("fk_faces_group_pk")),
        sa.ForeignKeyConstraint(["photo_id"], ["photos.id"], name=op.f("fk_faces_photo_id")),
        sa.ForeignKeyConstraint(["user_pk"], ["face_users.id"], name=op.f("fk_faces_user_pk")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_faces")),
        sa.UniqueConstraint("group_pk", "face_token", name=op.f("uq_faces_group_pk_face_token")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_faces_app_id_revision"), "faces", ["app_id", "revision"], unique=False)
    op.create_index(op.f("ix_faces_photo_id"), "faces", ["photo_id"], unique=False)
    op.create_index(op.f("ix_faces_user_pk"), "faces", ["user_pk"], unique=False)


def downgrade() -> None:
    op.drop_table("faces")
    op.drop_table("face_users")
    op.drop_table("removals")
    op.drop_table("punches")
    op.drop_table("face_groups")
    op.drop_table("students")
    op.drop_table("photos")
    op.drop_table("outbox")
    op.drop_table("office_accounts")
    op.drop_table("inbox")
    op.drop_table("devices")
    op.drop_table("audit")
    op.drop_table("apps")
