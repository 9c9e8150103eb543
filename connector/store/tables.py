"""The tables. One schema for SQLite and PostgreSQL; migrations make them, never this module.

What other systems name (their IDs, versions, keys) is `Text`: PostgreSQL would refuse a whole page
for one value longer than a column, where SQLite takes it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData()

# SQLite only counts up an INTEGER primary key; AUTOINCREMENT keeps ids from coming back.
_Id = BigInteger().with_variant(Integer, "sqlite")

links = Table(
    "links", metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),  # tells which link is older
    Column("pair", String(100), nullable=False),
    Column("entity", String(50), nullable=False),
    Column("system", String(100), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("canonical_id", String(36), nullable=False),
    Column("version", Text, nullable=False),
    Column("seen", LargeBinary),
    Column("changed_at", String(40)),
    Column("alias", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("pair", "entity", "system", "external_id", name="links_record"),
    Index("links_canonical", "pair", "entity", "canonical_id"),
    sqlite_autoincrement=True,
)

# Canonical IDs that became part of another: records kept from before still name them.
redirects = Table(
    "redirects", metadata,
    Column("pair", String(100), primary_key=True),
    Column("canonical_id", String(36), primary_key=True),
    Column("became", String(36), nullable=False),
    sqlite_with_rowid=False,
)

snapshots = Table(
    "snapshots", metadata,
    Column("pair", String(100), primary_key=True),
    Column("entity", String(50), primary_key=True),
    Column("canonical_id", String(36), primary_key=True),
    Column("record", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

cursors = Table(
    "cursors", metadata,
    Column("pair", String(100), primary_key=True),
    Column("entity", String(50), primary_key=True),
    Column("system", String(100), primary_key=True),
    Column("cursor", Text, nullable=False),
)

inbox = Table(
    "inbox", metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("pair", String(100), nullable=False),
    Column("entity", String(50), nullable=False),
    Column("system", String(100), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("version", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("reference", Text),
    Column("match_key", Text, nullable=False),
    Column("hint", Boolean, nullable=False),
    Column("derived_from", String(36), nullable=False),
    Column("wanted", Text),
    Column("changed_at", String(40)),
    Column("merged_into", Text, nullable=False, server_default=""),
    Column("received_at", String(40)),
    Column("slot", Integer),  # the partition it is in, while several processes work
    UniqueConstraint("pair", "entity", "system", "external_id", name="inbox_record"),
    Index("inbox_pending", "pair", "entity", "state", "id"),
    Index("inbox_match_key", "pair", "entity", "system", "match_key"),
    Index("inbox_merged", "pair", "entity", sqlite_where=text("merged_into != ''"),
          postgresql_where=text("merged_into != ''")),
    Index("inbox_wanted", "pair", "wanted", sqlite_where=text("wanted IS NOT NULL"),
          postgresql_where=text("wanted IS NOT NULL")),
    Index("inbox_slot", "pair", "entity", "slot", "id", sqlite_where=text("slot IS NOT NULL"),
          postgresql_where=text("slot IS NOT NULL")),
    sqlite_autoincrement=True,
)

# Records that something outside says have changed. Apart from the inbox, so that whoever takes
# deliveries in and whoever works the inbox off never wait for each other's rows.
hints = Table(
    "hints", metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("pair", String(100), nullable=False),
    Column("entity", String(50), nullable=False),
    Column("system", String(100), nullable=False),
    Column("external_id", Text, nullable=False),
    UniqueConstraint("pair", "entity", "system", "external_id", name="hints_record"),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries", metadata,
    Column("system", String(100), primary_key=True),
    Column("delivery_id", Text, primary_key=True),
    Column("at", String(40), nullable=False),
    Index("deliveries_at", "at"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox", metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("pair", String(100), nullable=False),
    Column("key", String(64), nullable=False),
    Column("run_id", String(36), nullable=False),
    Column("object", String(100), nullable=False),
    Column("operation", String(10), nullable=False),
    Column("intents", LargeBinary, nullable=False),
    Column("slot", Integer),  # the partition that writes it
    UniqueConstraint("pair", "key", name="outbox_batch"),
    sqlite_autoincrement=True,
)

claims = Table(
    "claims", metadata,
    Column("pair", String(100), primary_key=True),
    Column("entity", String(50), primary_key=True),
    Column("match_key", Text, primary_key=True),
    Column("canonical_id", String(36), nullable=False),
    sqlite_with_rowid=False,
)

runs = Table(
    "runs", metadata,
    Column("id", String(36), primary_key=True),
    Column("pair", String(100), nullable=False),
    Column("trigger", String(50), nullable=False),
    Column("state", String(20), nullable=False),
    Column("started_at", String(40), nullable=False),
    Column("ended_at", String(40)),
    Column("message", Text, nullable=False),
    Column("account", LargeBinary, nullable=False),
    Index("runs_started", "pair", "started_at"),
)

outcomes = Table(
    "outcomes", metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("pair", String(100), nullable=False),
    Column("run_id", String(36), nullable=False),
    Column("at", String(40), nullable=False),
    Column("entity", String(50), nullable=False),
    Column("canonical_id", String(36), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("side", String(3), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("target", String(3)),
    Column("changes", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("counted", Boolean, nullable=False),
    Index("outcomes_record", "pair", "entity", "canonical_id"),
    Index("outcomes_run", "pair", "run_id", "entity", "canonical_id"),
    sqlite_autoincrement=True,
)

conflicts = Table(
    "conflicts", metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("pair", String(100), nullable=False),
    Column("entity", String(50), nullable=False),
    Column("canonical_id", String(36), nullable=False),
    Column("path", Text, nullable=False),
    Column("kind", String(30), nullable=False),
    Column("title", Text, nullable=False),
    Column("sides", LargeBinary, nullable=False),
    Column("state", String(10), nullable=False),
    Column("settled_by", Text, nullable=False),
    Column("decision", LargeBinary),
    Column("run_id", String(36), nullable=False),
    Column("opened_at", String(40), nullable=False),
    Index("conflicts_record", "pair", "entity", "canonical_id", "state"),
    Index("conflicts_state", "pair", "state"),
    sqlite_autoincrement=True,
)

dead_letters = Table(
    "dead_letters", metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("pair", String(100), nullable=False),
    Column("trace_key", Text, nullable=False),
    Column("entity", String(50), nullable=False),
    Column("system", String(100), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("error", String(100), nullable=False),
    Column("message", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("match_key", Text, nullable=False),
    Column("run_id", String(36), nullable=False),
    Column("at", String(40), nullable=False),
    Column("next_try_at", String(40)),
    UniqueConstraint("pair", "trace_key", name="dead_letters_trace"),
    Index("dead_letters_match_key", "pair", "entity", "system", "match_key"),
    Index("dead_letters_due", "pair", "next_try_at"),
    sqlite_autoincrement=True,
)

# What a record was last told about how it stands with the other side; a row without a state is
# one that is yet to be told.
told = Table(
    "told", metadata,
    Column("pair", String(100), primary_key=True),
    Column("entity", String(50), primary_key=True),
    Column("system", String(100), primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("state", String(10), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", String(40)),
    Column("due", Boolean, nullable=False),
    Column("moved_to", Text, nullable=False),
    Index("told_due", "pair", "entity", "system", sqlite_where=text("due OR state != 'in_sync'"),
          postgresql_where=text("due OR state != 'in_sync'")),
    sqlite_with_rowid=False,
)

connections = Table(
    "connections", metadata,
    Column("system", String(100), primary_key=True),
    Column("account", LargeBinary),  # calls made, where they are counted
    Column("denied_at", String(40)),
    Column("denied", Text, nullable=False),
)

alerts = Table(
    "alerts", metadata,
    Column("pair", String(100), primary_key=True),
    Column("rule", String(50), primary_key=True),
    Column("subject", String(100), primary_key=True),
    Column("message", Text, nullable=False),
    Column("since", String(40), nullable=False),
    Column("state", String(10), nullable=False),
    Column("channels", LargeBinary, nullable=False),  # who was told of the state, who knew of it
)

# The parts into which the run at work has divided the inbox of an entity.
partitions = Table(
    "partitions", metadata,
    Column("pair", String(100), primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("run_id", String(36), nullable=False),
    Column("entity", String(50), nullable=False),
    Column("state", String(10), nullable=False),
    Column("account", LargeBinary, nullable=False),  # what its workers counted
)

leases = Table(
    "leases", metadata,
    Column("pair", String(100), primary_key=True),  # or one of its partitions: PAIR#SLOT
    Column("holder", String(255), nullable=False),
    Column("token", _Id, nullable=False),
    Column("until", Float, nullable=False),  # seconds since the epoch
    # the run with which requests can be left, if it takes any
    Column("run_id", String(36), nullable=False, server_default=""),
)

requests = Table(
    "requests", metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("pair", String(100), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("entities", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
