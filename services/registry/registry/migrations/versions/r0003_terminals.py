"""Terminals that wait, prove themselves with a secret, belong to a place and to classes.

Those of before stay what they were: authorised, known by name and serial number.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def _text(name: str, length: int, default: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), server_default=sa.text(f"'{default}'"), nullable=False)


def upgrade() -> None:
    for column in (
        _text("state", 16, "authorised"),
        _text("proof", 16, "serial"),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        _text("tokens", 16, "once"),
        _text("place", 128, ""),
        # MySQL gives TEXT no default: filled below, and required from then on.
        sa.Column("classes", sa.Text(), nullable=True),
        sa.Column("config", sa.Text(), nullable=True),
        sa.Column("config_revision", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=True),
        sa.Column("clock_offset_ms", sa.BigInteger(), nullable=True),
        _text("agent", 128, ""),
    ):
        op.add_column("devices", column)
    op.execute("UPDATE devices SET classes = '[]', config = '{}'")
    # Before, a token held as often as it was shown until it expired.
    op.execute("UPDATE devices SET tokens = 'timed'")
    op.execute("UPDATE devices SET state = 'suspended' WHERE NOT authorised")
    with op.batch_alter_table("devices", table_kwargs={"sqlite_autoincrement": True}) as devices:
        devices.alter_column("classes", existing_type=sa.Text(), nullable=False)
        devices.alter_column("config", existing_type=sa.Text(), nullable=False)
        devices.drop_column("authorised")
    op.create_index(op.f("ix_devices_state"), "devices", ["state"], unique=False)


def downgrade() -> None:
    """Secrets, places and wishes are lost; who was authorised stays so."""
    op.drop_index(op.f("ix_devices_state"), table_name="devices")
    op.add_column("devices", sa.Column("authorised", sa.Boolean(), server_default=sa.text("0"), nullable=False))
    op.execute("UPDATE devices SET authorised = (state = 'authorised')")
    gone = ("state", "proof", "secret", "tokens", "place", "classes", "config", "config_revision", "seen_at")
    for column in (*gone, "clock_offset_ms", "agent"):
        op.drop_column("devices", column)
