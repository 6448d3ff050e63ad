"""Who left a class, for terminals that keep its faces; the newest punch of a terminal.

Revision ID: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "sqlite_autoincrement": True,
}


def upgrade() -> None:
    op.create_table(
        "departures",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.String(length=128), nullable=False),
        sa.Column("st_class", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_departures")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_departures_revision"), "departures", ["revision"], unique=False)
    op.create_index(op.f("ix_punches_source_captured_at"), "punches", ["source", "captured_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_punches_source_captured_at"), table_name="punches")
    op.drop_table("departures")
