"""Several processes may work off one pair's inbox, each a partition of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what partitions need; no row is lost or changed."""
    for table in ("inbox", "outbox"):
        op.add_column(table, sa.Column("slot", sa.Integer(), nullable=True))
    op.create_index("inbox_slot", "inbox", ["pair", "entity", "slot", "id"],
                    sqlite_where=sa.text("slot IS NOT NULL"),
                    postgresql_where=sa.text("slot IS NOT NULL"))
    op.create_table("partitions",
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pair", "slot")
    )


def downgrade() -> None:
    """Back to the second release's schema."""
    op.drop_table("partitions")
    op.drop_index("inbox_slot", "inbox")
    for table in ("inbox", "outbox"):
        op.drop_column(table, "slot")
