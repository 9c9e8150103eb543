"""What a run leaves with the one that works on its pair."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the requests, and with which run they can be left."""
    op.add_column("leases", sa.Column("run_id", sa.String(length=36), nullable=False,
                                      server_default=""))
    op.create_table("requests",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("entities", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True
    )


def downgrade() -> None:
    """Back to the third revision."""
    op.drop_table("requests")
    op.drop_column("leases", "run_id")
