"""What records were told about how they stand with the other side."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what records were told about how they stand."""
    op.create_table("told",
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.String(length=40), nullable=True),
        sa.Column("due", sa.Boolean(), nullable=False),
        sa.Column("moved_to", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pair", "entity", "system", "external_id"),
        sqlite_with_rowid=False
    )
    op.create_index("told_due", "told", ["pair", "entity", "system"],
                    sqlite_where=sa.text("due OR state != 'in_sync'"),
                    postgresql_where=sa.text("due OR state != 'in_sync'"))


def downgrade() -> None:
    """Back to where no record was told anything."""
    op.drop_table("told")
