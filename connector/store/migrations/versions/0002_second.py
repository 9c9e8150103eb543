"""The second release's schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """When others changed a record last, by its system's clock."""
    for table in ("links", "inbox"):
        op.add_column(table, sa.Column("changed_at", sa.String(length=40), nullable=True))


def downgrade() -> None:
    """Back to the first release's schema."""
    for table in ("links", "inbox"):
        op.drop_column(table, "changed_at")
