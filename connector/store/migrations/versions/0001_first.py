"""The first release's schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table("claims",
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("match_key", sa.Text(), nullable=False),
        sa.Column("canonical_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("pair", "entity", "match_key"),
        sqlite_with_rowid=False
    )
    op.create_table("conflicts",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("canonical_id", sa.String(length=36), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("sides", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("settled_by", sa.Text(), nullable=False),
        sa.Column("decision", sa.LargeBinary(), nullable=True),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("opened_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True
    )
    op.create_index(
        "conflicts_record", "conflicts", ["pair", "entity", "canonical_id", "state"], unique=False)
    op.create_index("conflicts_state", "conflicts", ["pair", "state"], unique=False)
    op.create_table("cursors",
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pair", "entity", "system")
    )
    op.create_table("dead_letters",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("trace_key", sa.Text(), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("error", sa.String(length=100), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("match_key", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pair", "trace_key", name="dead_letters_trace"),
        sqlite_autoincrement=True
    )
    op.create_index("dead_letters_match_key", "dead_letters",
                    ["pair", "entity", "system", "match_key"])
    op.create_table("inbox",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("match_key", sa.Text(), nullable=False),
        sa.Column("hint", sa.Boolean(), nullable=False),
        sa.Column("derived_from", sa.String(length=36), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pair", "entity", "system", "external_id", name="inbox_record"),
        sqlite_autoincrement=True
    )
    op.create_index(
        "inbox_match_key", "inbox", ["pair", "entity", "system", "match_key"], unique=False)
    op.create_index("inbox_pending", "inbox", ["pair", "entity", "state", "id"], unique=False)
    op.create_index(
        "inbox_wanted", "inbox", ["pair", "wanted"], unique=False,
        sqlite_where=sa.text("wanted IS NOT NULL"),
        postgresql_where=sa.text("wanted IS NOT NULL"))
    op.create_table("leases",
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=False),
        sa.Column("token", _ID, nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("pair")
    )
    op.create_table("links",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("canonical_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("seen", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pair", "entity", "system", "external_id", name="links_record"),
        sqlite_autoincrement=True
    )
    op.create_index("links_canonical", "links", ["pair", "entity", "canonical_id"], unique=False)
    op.create_table("outbox",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("object", sa.String(length=100), nullable=False),
        sa.Column("operation", sa.String(length=10), nullable=False),
        sa.Column("intents", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pair", "key", name="outbox_batch"),
        sqlite_autoincrement=True
    )
    op.create_table("outcomes",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("canonical_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("side", sa.String(length=3), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("target", sa.String(length=3), nullable=True),
        sa.Column("changes", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True
    )
    op.create_index("outcomes_record", "outcomes", ["pair", "entity", "canonical_id"], unique=False)
    op.create_table("runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("trigger", sa.String(length=50), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("started_at", sa.String(length=40), nullable=False),
        sa.Column("ended_at", sa.String(length=40), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id")
    )
    op.create_index("runs_started", "runs", ["pair", "started_at"], unique=False)
    op.create_table("snapshots",
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("canonical_id", sa.String(length=36), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pair", "entity", "canonical_id"),
        sqlite_with_rowid=False
    )


def downgrade() -> None:
    """Drop every table."""
    op.drop_table("snapshots")
    op.drop_table("runs")
    op.drop_table("outcomes")
    op.drop_table("outbox")
    op.drop_table("links")
    op.drop_table("leases")
    op.drop_table("inbox")
    op.drop_table("dead_letters")
    op.drop_table("cursors")
    op.drop_table("conflicts")
    op.drop_table("claims")
