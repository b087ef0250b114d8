"""The first tables of transfer."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _plumbing()
    op.create_table(
        "recording",
        sa.Column("recording_id", sa.String, primary_key=True),
        sa.Column("folder_id", sa.String, nullable=False),
        sa.Column("folder_name", sa.String, nullable=False),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("transcript", sa.String, nullable=False),
        sa.Column("requires_ticket", sa.Boolean, nullable=False),
        sa.Column("recorded_at", MOMENT),
        sa.Column("processed_at", MOMENT, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("folded_at", MOMENT, nullable=False),
        sa.Column("wanted_version", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("rejected", sa.String),
        sa.CheckConstraint("not waiting or rejected is null", name="recording_waits_or_is_rejected"),
    )
    op.create_index(
        "recording_waiting",
        "recording",
        ["folder_id", "processed_at", "recording_id"],
        postgresql_where=sa.text("waiting"),
    )
    op.create_index("recording_rejected", "recording", ["folder_id"], postgresql_where=sa.text("rejected is not null"))
    op.create_table(
        "ticket",
        sa.Column("recording_id", sa.String, primary_key=True),
        sa.Column("link_version", sa.Integer, nullable=False),
        sa.Column("ticket_info", postgresql.JSONB),
    )
    op.create_table(
        "transfer",
        sa.Column("recording_id", sa.String, primary_key=True),
        sa.Column("folder_id", sa.String, nullable=False),
        sa.Column("clouds_uuid", sa.String, nullable=False),
        sa.Column("transfer_version", sa.Integer, nullable=False),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("size", sa.String, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("transcribe", sa.String, nullable=False),
        sa.Column("link_version", sa.Integer, nullable=False),
        sa.Column("transferred_at", MOMENT, nullable=False),
    )
    op.create_index("transfer_name", "transfer", ["folder_id", sa.text("md5(filename)")])
    op.create_table(
        "unheard_transfer",
        sa.Column("recording_id", sa.String, primary_key=True),
        sa.Column("folder_id", sa.String, nullable=False),
        sa.Column("transfer_version", sa.Integer, nullable=False),
    )
    op.create_index("unheard_transfer_by_folder", "unheard_transfer", ["folder_id", "recording_id"])
    _folders_and_requests()


def _folders_and_requests() -> None:
    op.create_table(
        "folder",
        sa.Column("folder_id", sa.String, primary_key=True),
        sa.Column("clouds_uuid", sa.String),
        sa.Column("uuid_since", MOMENT),
        sa.Column("due_at", MOMENT),
        sa.Column("retry_at", MOMENT),
        sa.Column("lease_token", sa.Uuid),
        sa.Column("lease_until", MOMENT),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.String),
        sa.Column("held", sa.String),
        sa.Column("max_files", sa.Integer),
        sa.CheckConstraint("held in ('outcome_unknown', 'missing_in_cloud')", name="folder_held_for_a_reason"),
        sa.CheckConstraint("(lease_token is null) = (lease_until is null)", name="folder_lease_is_whole"),
        sa.CheckConstraint("clouds_uuid is null or uuid_since is not null", name="folder_uuid_is_dated"),
    )
    op.create_index(
        "folder_next",
        "folder",
        [sa.text("greatest(due_at, retry_at, lease_until)")],
        postgresql_where=sa.text("due_at is not null and held is null"),
    )
    op.create_index("folder_in_cloud", "folder", ["clouds_uuid"])
    op.create_table(
        "upload_request",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("folder_id", sa.String, sa.ForeignKey("folder.folder_id"), nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("clouds_uuid", sa.String),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("keys_honoured", sa.Boolean, nullable=False),
        sa.Column("frozen_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.CheckConstraint("(kind = 'inject') = (clouds_uuid is not null)", name="upload_request_has_target"),
    )
    op.create_table(
        "frozen_file",
        sa.Column("recording_id", sa.String, primary_key=True),
        sa.Column("request_id", sa.Uuid, nullable=False, index=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("transfer_version", sa.Integer, nullable=False),
        sa.Column("link_version", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
    )
    _dead_rows()


def _dead_rows() -> None:
    """When PostgreSQL takes them away. Room left in pages would help hardly any: what changes in a recording or a folder
    is in an index as well, and a link seldom changes.
    """
    # Every recording dies once, when it is uploaded, and its folder with each request; a fifth of a large table is too
    # much for the indexes of what waits to pass over.
    for table in ("recording", "ticket", "folder"):
        op.execute(
            f"alter table {table} set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, "
            "autovacuum_vacuum_insert_scale_factor = 0.05)"
        )
    # These fill and are emptied: a share of what was there when somebody last looked says nothing.
    for table in ("unheard_transfer", "frozen_file"):
        op.execute(
            f"alter table {table} set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)"
        )


def _plumbing() -> None:
    op.create_table(
        "position",
        sa.Column("topic", sa.String, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("replay_until", sa.BigInteger),
    )
    op.create_table(
        "replay",
        sa.Column("topic", sa.String, primary_key=True),
        sa.Column("asked_by", sa.String),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("to_read", sa.BigInteger, nullable=False),
        sa.Column("read", sa.BigInteger, nullable=False),
        sa.Column("newer", sa.BigInteger, nullable=False),
        sa.Column("unchanged", sa.BigInteger, nullable=False),
        sa.Column("bad", sa.BigInteger, nullable=False),
        sa.Column("empty", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "origin",
        sa.Column("one", sa.Boolean, primary_key=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("cluster_id", sa.String),
    )
    op.execute("insert into origin (one, created_at) values (true, now())")
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("who", sa.String),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("detail", postgresql.JSONB, nullable=False),
    )
    op.create_index("audit_by_time", "audit", ["time", "id"])
    op.create_index("audit_by_subject", "audit", ["subject", "time"])
    op.create_table(
        "dead_letter",
        sa.Column("topic", sa.String, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary, primary_key=True),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("headers", postgresql.JSONB, nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("failed_at", MOMENT, nullable=False),
        sa.Column("published_at", MOMENT),
        sa.Column("settled_as", sa.String),
        sa.Column("settled_at", MOMENT),
        sa.Column("settled_by", sa.String),
    )
    op.create_index(
        "dead_letter_unpublished",
        "dead_letter",
        ["failed_at", "topic", "partition", "offset"],
        postgresql_where=sa.text("published_at is null"),
    )
    op.create_index(
        "dead_letter_open",
        "dead_letter",
        ["topic", "partition", "offset"],
        postgresql_where=sa.text("settled_as is null"),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("token", sa.Uuid, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
    )
    op.create_table(
        "lane",
        sa.Column("one", sa.Boolean, primary_key=True),
        sa.Column("reason", sa.String),
        sa.Column("message", sa.String),
        sa.Column("probe_at", MOMENT),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("allowance", sa.Integer),
        sa.Column("not_before", MOMENT),
        sa.Column("next_request_at", MOMENT),
        sa.Column("capabilities", postgresql.ARRAY(postgresql.TEXT)),
        sa.Column("pinged_at", MOMENT),
        sa.Column("paused_at", MOMENT),
        sa.Column("paused_by", sa.String),
        sa.Column("paused_why", sa.String),
    )
    op.execute(
        "insert into lane (one, reason, message, failures) "
        "values (true, 'not_reached', 'the cloud has not been asked for its capabilities yet', 0)"
    )
