"""Which configuration a terminal works by; what the audit log says besides who did what.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("devices", sa.Column("config_taken", sa.Integer(), nullable=True))
    op.add_column("audit", sa.Column("detail", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("audit", "detail")
    op.drop_column("devices", "config_taken")
