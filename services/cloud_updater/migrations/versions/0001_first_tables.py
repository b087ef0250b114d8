"""first tables

Revision ID: 0001
Revises:
"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(), nullable=True),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_by_time", "audit", ["time", "id"], unique=False)
    op.create_index("audit_by_subject", "audit", ["subject", "time"], unique=False)
    op.create_table(
        "claim",
        sa.Column("clouds_uuid", sa.String(), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("recording_ids", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.CheckConstraint("cardinality(recording_ids) > 0", name="claim_names_recordings"),
        sa.PrimaryKeyConstraint("clouds_uuid"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_as", sa.String()),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("settled_by", sa.String()),
        sa.PrimaryKeyConstraint("topic", "partition", "offset", "content"),
    )
    op.create_index(
        "dead_letter_unpublished",
        "dead_letter",
        ["failed_at", "topic", "partition", "offset"],
        unique=False,
        postgresql_where=sa.text("published_at is null"),
    )
    op.create_index(
        "dead_letter_open",
        "dead_letter",
        ["topic", "partition", "offset"],
        unique=False,
        postgresql_where=sa.text("settled_as is null"),
    )
    op.create_table(
        "duty",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("recording_id"),
    )
    op.create_index(op.f("ix_duty_due_at"), "duty", ["due_at"], unique=False)
    op.create_table(
        "file",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.CheckConstraint("left(body, 1) = '{'", name="file_is_an_object"),
        sa.PrimaryKeyConstraint("recording_id"),
    )
    op.create_table(
        "lane",
        sa.Column("one", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("allowance", sa.Integer(), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_request_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("capabilities", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("pinged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=True),
        sa.Column("paused_why", sa.String(), nullable=True),
        sa.CheckConstraint("failures >= 0", name="lane_counts_failures"),
        sa.CheckConstraint("one", name="lane_is_one_row"),
        sa.CheckConstraint(
            "reason in ('not_reached', 'unauthorized', 'rate_limited', 'no_route', 'circuit_open')",
            name="lane_stopped_for_a_reason",
        ),
        sa.PrimaryKeyConstraint("one"),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "ledger",
        sa.Column("clouds_uuid", sa.String(), nullable=False),
        sa.Column("folder_id", sa.String(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("announced_cursor", sa.BigInteger(), nullable=False),
        sa.Column("forced_until", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owed_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("batch_limit", sa.Integer(), nullable=True),
        sa.Column("missing", sa.Boolean(), nullable=False),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("batch_limit between 1 and 500", name="ledger_batch_limit_is_a_limit"),
        sa.CheckConstraint("generation >= 0 and attempts >= 0", name="ledger_counts_up"),
        sa.CheckConstraint(
            "0 <= announced_cursor and announced_cursor <= cursor and cursor <= last_seq", name="ledger_cursors_are_in_order"
        ),
        sa.CheckConstraint("forced_until between 0 and last_seq", name="ledger_forces_what_is_there"),
        sa.CheckConstraint("(lease_token is null) = (lease_until is null)", name="ledger_lease_is_whole"),
        sa.PrimaryKeyConstraint("clouds_uuid"),
    )
    op.create_index(op.f("ix_ledger_folder_id"), "ledger", ["folder_id"], unique=False)
    op.create_index("ledger_due", "ledger", ["due_at"], unique=False, postgresql_where=sa.text("due_at is not null"))
    op.create_index(
        "ledger_to_announce", "ledger", ["clouds_uuid"], unique=False, postgresql_where=sa.text("announced_cursor < cursor")
    )
    op.create_table(
        "origin",
        sa.Column("one", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cluster_id", sa.String(), nullable=True),
        sa.CheckConstraint("one", name="origin_is_one_row"),
        sa.PrimaryKeyConstraint("one"),
    )
    op.create_table(
        "position",
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("replay_until", sa.BigInteger()),
        sa.CheckConstraint("next_offset >= 0", name="position_is_an_offset"),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "replay",
        sa.Column("topic", sa.String(), primary_key=True),
        sa.Column("asked_by", sa.String()),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_read", sa.BigInteger(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False),
        sa.Column("newer", sa.BigInteger(), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), nullable=False),
        sa.Column("bad", sa.BigInteger(), nullable=False),
        sa.Column("empty", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "recording",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("folder_id", sa.String(), nullable=True),
        sa.Column("clouds_uuid", sa.String(), nullable=True),
        sa.Column("transfer_version", sa.Integer(), nullable=False),
        sa.Column("link_version", sa.Integer(), nullable=False),
        sa.Column("known_transfer_version", sa.Integer(), nullable=False),
        sa.Column("known_link_version", sa.Integer(), nullable=False),
        sa.Column("link_place", sa.BigInteger(), nullable=True),
        sa.Column("ticket", sa.String(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("rejected", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(clouds_uuid is null) = (transfer_version = 0) and (clouds_uuid is null) = (folder_id is null)",
            name="recording_is_placed_by_a_transfer",
        ),
        sa.CheckConstraint(
            "clouds_uuid is not null or (seq = 0 and not forced and rejected is null)",
            name="recording_owes_where_it_is_placed",
        ),
        sa.CheckConstraint(
            "transfer_version >= 0 and link_version >= 0 and known_transfer_version >= 0 and known_link_version >= 0",
            name="recording_versions_count_up",
        ),
        sa.CheckConstraint("(ticket is null) = (link_version = 0)", name="recording_has_its_links_ticket"),
        sa.CheckConstraint(
            "ticket = 'null' or left(ticket, 1) = '{'", name="recording_ticket_is_an_object_or_null"
        ),
        sa.PrimaryKeyConstraint("recording_id"),
    )
    op.create_index("recording_by_seq", "recording", ["clouds_uuid", "seq"], unique=False)
    op.create_index(
        "recording_rejected",
        "recording",
        ["clouds_uuid"],
        unique=False,
        postgresql_where=sa.text("rejected is not null"),
    )
    op.create_table(
        "sync_request",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("recording_ids", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("folder_id", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rate_per_minute", sa.Integer(), nullable=True),
        sa.Column("after_uuid", sa.String(), nullable=False),
        sa.Column("made_owed", sa.BigInteger(), nullable=False),
        sa.Column("made_owed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("recording_ids is null or folder_id is null", name="sync_request_selects_one_way"),
        sa.CheckConstraint("cancelled_at is null or done_at is not null", name="sync_request_ends_when_cancelled"),
        sa.CheckConstraint("done_at is null or paused_at is null", name="sync_request_is_over_or_paused"),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index("sync_request_newest", "sync_request", ["received_at", "request_id"], unique=False)
    op.create_index(
        "sync_request_open", "sync_request", ["received_at"], unique=False, postgresql_where=sa.text("done_at is null")
    )
    # A fifth of a large table is a million dead rows, and its folders' queries would pass over them; a fiftieth is not.
    for table in ("recording", "ledger"):
        op.execute(
            f"alter table {table} set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, "
            "autovacuum_vacuum_insert_scale_factor = 0.05)"
        )
    op.execute("insert into origin (one, created_at) values (true, now())")
    op.execute("insert into lane (one, reason, failures) values (true, 'not_reached', 0)")


def downgrade() -> None:
    op.drop_index("sync_request_newest", table_name="sync_request")
    op.drop_index("sync_request_open", table_name="sync_request", postgresql_where=sa.text("done_at is null"))
    op.drop_table("sync_request")
    op.drop_index("recording_rejected", table_name="recording", postgresql_where=sa.text("rejected is not null"))
    op.drop_index("recording_by_seq", table_name="recording")
    op.drop_table("recording")
    op.drop_table("position")
    op.drop_table("origin")
    op.drop_index("ledger_to_announce", table_name="ledger", postgresql_where=sa.text("announced_cursor < cursor"))
    op.drop_index("ledger_due", table_name="ledger", postgresql_where=sa.text("due_at is not null"))
    op.drop_index(op.f("ix_ledger_folder_id"), table_name="ledger")
    op.drop_table("ledger")
    op.drop_table("lease")
    op.drop_table("lane")
    op.drop_table("file")
    op.drop_index(op.f("ix_duty_due_at"), table_name="duty")
    op.drop_table("duty")
    op.drop_index("dead_letter_open", table_name="dead_letter", postgresql_where=sa.text("settled_as is null"))
    op.drop_index("dead_letter_unpublished", table_name="dead_letter", postgresql_where=sa.text("published_at is null"))
    op.drop_table("dead_letter")
    op.drop_table("claim")
    op.drop_table("audit")
