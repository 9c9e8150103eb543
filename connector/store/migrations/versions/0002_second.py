"""The second release's schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what the second release has and the first had not; no row is lost or changed."""
    _when_others_changed_a_record_last()
    _several_records_of_one_thing()
    _parked_records_tried_again()
    _what_a_run_wrote()
    _webhooks()
    _connections()
    _alerts()


def _when_others_changed_a_record_last() -> None:
    for table in ("links", "inbox"):
        op.add_column(table, sa.Column("changed_at", sa.String(length=40), nullable=True))


def _several_records_of_one_thing() -> None:
    op.create_table("redirects",
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("canonical_id", sa.String(length=36), nullable=False),
        sa.Column("became", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("pair", "canonical_id"),
        sqlite_with_rowid=False
    )
    op.add_column("links", sa.Column("alias", sa.Boolean(), nullable=False,
                                     server_default=sa.false()))
    op.add_column("inbox", sa.Column("merged_into", sa.Text(), nullable=False,
                                     server_default=""))
    op.create_index("inbox_merged", "inbox", ["pair", "entity"],
                    sqlite_where=sa.text("merged_into != ''"),
                    postgresql_where=sa.text("merged_into != ''"))


def _parked_records_tried_again() -> None:
    op.add_column("dead_letters", sa.Column("next_try_at", sa.String(length=40), nullable=True))
    op.create_index("dead_letters_due", "dead_letters", ["pair", "next_try_at"])


def _what_a_run_wrote() -> None:
    op.create_index("outcomes_run", "outcomes", ["pair", "run_id", "entity", "canonical_id"])


def _webhooks() -> None:
    op.create_table("hints",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("entity", sa.String(length=50), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pair", "entity", "system", "external_id", name="hints_record"),
        sqlite_autoincrement=True
    )
    op.create_table("deliveries",
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("system", "delivery_id"),
        sqlite_with_rowid=False
    )
    op.create_index("deliveries_at", "deliveries", ["at"])


def _connections() -> None:
    op.create_table("connections",
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=True),
        sa.Column("denied_at", sa.String(length=40), nullable=True),
        sa.Column("denied", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("system")
    )


def _alerts() -> None:
    op.add_column("inbox", sa.Column("received_at", sa.String(length=40), nullable=True))
    op.create_table("alerts",
        sa.Column("pair", sa.String(length=100), nullable=False),
        sa.Column("rule", sa.String(length=50), nullable=False),
        sa.Column("subject", sa.String(length=100), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("since", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("channels", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pair", "rule", "subject")
    )


def downgrade() -> None:
    """Back to the first release's schema."""
    op.drop_index("outcomes_run", "outcomes")
    op.drop_index("dead_letters_due", "dead_letters")
    op.drop_column("dead_letters", "next_try_at")
    op.drop_table("deliveries")
    op.drop_table("hints")
    op.drop_table("alerts")
    op.drop_column("inbox", "received_at")
    op.drop_table("connections")
    op.drop_index("inbox_merged", "inbox")
    op.drop_column("inbox", "merged_into")
    op.drop_column("links", "alias")
    op.drop_table("redirects")
    for table in ("links", "inbox"):
        op.drop_column(table, "changed_at")
