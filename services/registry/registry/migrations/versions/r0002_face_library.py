"""Several apps with keys, one revision for all of them, deleted groups, faces that are not registered.

Revision ID: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PHOTO = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "sqlite_autoincrement": True,
}
ZERO = sa.text("0")


def upgrade() -> None:
    head = op.create_table(
        "library_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_library_head")),
        **OPTIONS,
    )
    reached = op.get_bind().execute(sa.text("SELECT COALESCE(MAX(revision), 0) FROM apps")).scalar_one()
    op.bulk_insert(head, [{"id": 1, "revision": reached}])
    op.drop_column("apps", "revision")
    op.add_column("apps", sa.Column("qps", sa.Double(), server_default=ZERO, nullable=False))
    op.create_table(
        "app_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("api_key", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(length=8), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_app_keys_app_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_keys")),
        sa.UniqueConstraint("api_key", name=op.f("uq_app_keys_api_key")),
        **OPTIONS,
    )
    op.add_column("face_groups", sa.Column("deleted_at", MOMENT, nullable=True))
    op.create_index(op.f("ix_face_groups_deleted_at"), "face_groups", ["deleted_at"], unique=False)
    for column in ("born", "revision"):
        op.add_column("face_users", sa.Column(column, sa.BigInteger(), server_default=ZERO, nullable=False))
    op.create_index(op.f("ix_face_users_revision"), "face_users", ["revision"], unique=False)
    # The new index on app_id comes first: MySQL keeps one for the foreign key.
    op.create_index(op.f("ix_faces_app_id_face_token"), "faces", ["app_id", "face_token"], unique=False)
    op.create_index(op.f("ix_faces_revision"), "faces", ["revision"], unique=False)
    op.drop_index(op.f("ix_faces_app_id_revision"), table_name="faces")
    op.create_table(
        "loose_faces",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("face_token", sa.String(length=32), nullable=False),
        sa.Column("sealed", PHOTO, nullable=False),
        sa.Column("key_id", sa.String(length=8), nullable=False),
        sa.Column("box_left", sa.Double(), nullable=False),
        sa.Column("box_top", sa.Double(), nullable=False),
        sa.Column("box_width", sa.Double(), nullable=False),
        sa.Column("box_height", sa.Double(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_loose_faces_app_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loose_faces")),
        sa.UniqueConstraint("app_id", "face_token", name=op.f("uq_loose_faces_app_id_face_token")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_loose_faces_expires_at"), "loose_faces", ["expires_at"], unique=False)
    with op.batch_alter_table("removals", table_kwargs={"sqlite_autoincrement": True}) as removals:
        removals.drop_constraint("fk_removals_app_id", type_="foreignkey")
        removals.drop_index("ix_removals_app_id_revision")
        removals.drop_column("app_id")
        removals.create_index("ix_removals_revision", ["revision"])


def downgrade() -> None:
    """Keys, loose faces and tombstones are lost: recognizers must start anew, as they do with another program."""
    op.execute("DELETE FROM removals")
    with op.batch_alter_table("removals", table_kwargs={"sqlite_autoincrement": True}) as removals:
        removals.drop_index("ix_removals_revision")
        removals.add_column(sa.Column("app_id", sa.Integer(), nullable=False))
        removals.create_foreign_key("fk_removals_app_id", "apps", ["app_id"], ["id"])
        removals.create_index("ix_removals_app_id_revision", ["app_id", "revision"])
    op.drop_table("loose_faces")
    op.create_index(op.f("ix_faces_app_id_revision"), "faces", ["app_id", "revision"], unique=False)
    op.drop_index(op.f("ix_faces_revision"), table_name="faces")
    op.drop_index(op.f("ix_faces_app_id_face_token"), table_name="faces")
    op.drop_index(op.f("ix_face_users_revision"), table_name="face_users")
    for column in ("born", "revision"):
        op.drop_column("face_users", column)
    op.drop_index(op.f("ix_face_groups_deleted_at"), table_name="face_groups")
    op.drop_column("face_groups", "deleted_at")
    op.drop_table("app_keys")
    op.drop_column("apps", "qps")
    op.add_column("apps", sa.Column("revision", sa.BigInteger(), server_default=ZERO, nullable=False))
    op.execute("UPDATE apps SET revision = (SELECT MAX(revision) FROM library_head)")
    op.drop_table("library_head")
