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
        "arrival", sa.Column("recording_id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("recording_id")
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
        "import",
        sa.Column("import_id", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=True),
        sa.Column("park", sa.Boolean(), nullable=False),
        sa.Column("on_existing", sa.String(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("linked_by", sa.String(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows_total", sa.Integer(), nullable=False),
        sa.Column("rows_done", sa.Integer(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("on_existing in ('overwrite', 'keep', 'fail', 'first')", name="import_on_existing"),
        sa.PrimaryKeyConstraint("import_id"),
    )
    op.create_index(
        "import_by_fingerprint",
        "import",
        ["fingerprint", "accepted_at"],
        unique=False,
        postgresql_where=sa.text("not dry_run"),
    )
    op.create_index("import_by_time", "import", ["accepted_at", "import_id"], unique=False)
    op.create_index(
        "import_running", "import", ["accepted_at"], unique=False, postgresql_where=sa.text("finished_at is null")
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "link",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("link_version", sa.Integer(), nullable=False),
        sa.Column("ticket", sa.String(), nullable=True),
        sa.Column("ticket_id", sa.String(), nullable=True),
        sa.Column("folder_id", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("linked_by", sa.String(), nullable=True),
        sa.Column("import_id", sa.String(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_request_id", sa.String(), nullable=False),
        sa.Column("last_requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("recording_id"),
    )
    op.create_index(op.f("ix_link_ticket_id"), "link", ["ticket_id"], unique=False)
    op.create_index(
        "link_by_request",
        "link",
        [
            "request_id",
            sa.literal_column("md5(regexp_replace(normalize(filename, NFC), '(.)\\.[[:alnum:]]{1,10}$', '\\1'))"),
        ],
        unique=False,
        postgresql_where=sa.text("source <> 'import'"),
    )
    op.create_table(
        "link_history",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("link_version", sa.Integer(), nullable=False),
        sa.Column("ticket", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("linked_by", sa.String(), nullable=True),
        sa.Column("import_id", sa.String(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("recording_id", "link_version"),
    )
    op.create_table(
        "origin",
        sa.Column("one", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cluster_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("one"),
    )
    op.create_table(
        "parked_link",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("recording_id", sa.String(), nullable=True),
        sa.Column("folder", sa.String(), nullable=True),
        sa.Column("filename", sa.String(), nullable=True),
        sa.Column("name_key", sa.String(), nullable=True),
        sa.Column("has_extension", sa.Boolean(), nullable=False),
        sa.Column("ticket", sa.String(), nullable=True),
        sa.Column("keeps", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("linked_by", sa.String(), nullable=True),
        sa.Column("import_id", sa.String(), nullable=True),
        sa.Column("on_existing", sa.String(), nullable=False),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("applied_to", sa.String(), nullable=True),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropped_by", sa.String(), nullable=True),
        sa.CheckConstraint("state in ('parked', 'applied', 'withdrawn', 'superseded', 'dropped')", name="parked_link_state"),
        sa.PrimaryKeyConstraint("request_id", "target"),
    )
    op.create_index(
        "parked_link_by_name",
        "parked_link",
        ["name_key", "folder"],
        unique=False,
        postgresql_where=sa.text("state = 'parked' and name_key is not null"),
    )
    op.create_index(
        "parked_link_by_recording",
        "parked_link",
        ["recording_id"],
        unique=False,
        postgresql_where=sa.text("state = 'parked' and recording_id is not null"),
    )
    op.create_index(
        "parked_link_oldest",
        "parked_link",
        ["parked_at", "target"],
        unique=False,
        postgresql_where=sa.text("state = 'parked' and ticket is not null"),
    )
    op.create_index(
        "parked_link_target", "parked_link", ["target"], unique=True, postgresql_where=sa.text("state = 'parked'")
    )
    # If nothing waited when they were gathered, statistics say so until the next time, and to read all that waits by any of
    # these indexes seems to cost no more than to look up a name. Without them a two-hundredth is taken to wait.
    op.execute("alter table parked_link alter column state set statistics 0")
    op.create_table(
        "fresh_parked",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("target"),
    )
    op.create_table(
        "position",
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("replay_until", sa.BigInteger()),
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
        sa.Column("arrived", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("processed_folder_id", sa.String(), nullable=True),
        sa.Column("processed_folder_name", sa.String(), nullable=True),
        sa.Column("processed_filename", sa.String(), nullable=True),
        sa.Column("requires_ticket", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("processed_place", sa.BigInteger(), nullable=True),
        sa.Column("transferred_folder_id", sa.String(), nullable=True),
        sa.Column("transferred_filename", sa.String(), nullable=True),
        sa.Column("transfer_version", sa.Integer(), nullable=False),
        sa.Column("clouds_uuid", sa.String(), nullable=True),
        sa.Column("transferred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("transferred_place", sa.BigInteger(), nullable=True),
        sa.Column("known_transfer_version", sa.Integer(), nullable=False),
        sa.Column("known_link_version", sa.Integer(), nullable=False),
        sa.Column("known_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("known_place", sa.BigInteger(), nullable=True),
        sa.Column(
            "folder_id",
            sa.Text(),
            sa.Computed("coalesce(transferred_folder_id, processed_folder_id)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "folder_name",
            sa.Text(),
            sa.Computed(
                "case when coalesce(transferred_folder_id, processed_folder_id) = processed_folder_id then processed_folder_name end",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column(
            "filename",
            sa.Text(),
            sa.Computed("coalesce(transferred_filename, processed_filename)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "name_key",
            sa.Text(),
            sa.Computed("normalize(coalesce(transferred_filename, processed_filename), NFC)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "stem_key",
            sa.Text(),
            sa.Computed(
                "regexp_replace(normalize(coalesce(transferred_filename, processed_filename), NFC), '(.)\\.[[:alnum:]]{1,10}$', '\\1')",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("recording_id"),
    )
    op.create_index(
        "recording_by_call",
        "recording",
        [sa.literal_column("coalesce(recorded_at, processed_at)"), "recording_id"],
        unique=False,
    )
    op.create_index("recording_by_folder", "recording", ["folder_id", "recording_id"], unique=False)
    op.create_index("recording_by_folder_name", "recording", ["folder_name", "folder_id"], unique=False)
    op.create_index("recording_by_name", "recording", ["name_key", "folder_id"], unique=False)
    op.create_index("recording_by_stem", "recording", ["stem_key", "folder_id"], unique=False)
    op.create_table(
        "import_part",
        sa.Column("import_id", sa.String(), nullable=False),
        sa.Column("last_line", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("meant_lines", postgresql.ARRAY(sa.Integer()), nullable=True),
        sa.Column("meant_ids", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("first_tickets", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("first_ticket_ids", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("first_shown", postgresql.ARRAY(sa.TEXT()), nullable=True),
        sa.Column("replaced", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("outcomes", sa.String(), nullable=True),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("need_a_look", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["import.import_id"],
        ),
        sa.PrimaryKeyConstraint("import_id", "last_line"),
    )
    # Written once and read once: to compress them would take longer than to store them.
    for column in ("meant_lines", "meant_ids", "first_tickets", "first_ticket_ids", "first_shown"):
        op.execute(f"alter table import_part alter column {column} set storage external")
    op.create_index(
        "import_part_undecided",
        "import_part",
        ["import_id", "last_line"],
        unique=False,
        postgresql_where=sa.text("outcomes is null"),
    )
    op.create_table(
        "unheard_link",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("folder_id", sa.String(), nullable=False),
        sa.Column("link_version", sa.Integer(), nullable=False),
        sa.Column("import_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("recording_id"),
    )
    op.create_index("unheard_link_by_folder", "unheard_link", ["import_id", "folder_id"], unique=False)
    op.create_table(
        "upload",
        sa.Column("upload_id", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("upload_id"),
    )
    op.create_table(
        "upload_part",
        sa.Column("upload_id", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.upload_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("upload_id", "place"),
    )
    op.create_table(
        "api_request",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "target"),
    )
    op.create_index("api_request_by_time", "api_request", ["requested_at"], unique=False)
    # A recording is stored once and changes twice, when it is transferred and when its ticket is acknowledged, nearly
    # always in columns without an index. With room for that on its page none of its six indexes is written again: they
    # stay half as large, and so does what is logged, while the table may become twice as large as without.
    op.execute("alter table recording set (fillfactor = 50)")
    # A fifth of a large table is hundreds of thousands of dead rows, over which lists and the oldest requests are looked
    # for; a fiftieth is not.
    for table in ("recording", "link", "parked_link", "api_request"):
        op.execute(
            f"alter table {table} set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, "
            "autovacuum_vacuum_insert_scale_factor = 0.05)"
        )
    # What waits is put in and taken out again, and always looked for from the front, where the dead are. However much
    # waits, as for an import of a million rows to be decided, no more than these are passed over each time.
    for table in ("unheard_link", "arrival", "fresh_parked"):
        op.execute(
            f"alter table {table} set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)"
        )
    op.execute("insert into origin (one, created_at) values (true, now())")


def downgrade() -> None:
    op.drop_index("api_request_by_time", table_name="api_request")
    op.drop_table("api_request")
    op.drop_index("unheard_link_by_folder", table_name="unheard_link")
    op.drop_table("unheard_link")
    op.drop_table("upload_part")
    op.drop_table("upload")
    op.drop_index("import_part_undecided", table_name="import_part", postgresql_where=sa.text("outcomes is null"))
    op.drop_table("import_part")
    op.drop_index("recording_by_stem", table_name="recording")
    op.drop_index("recording_by_name", table_name="recording")
    op.drop_index("recording_by_folder_name", table_name="recording")
    op.drop_index("recording_by_folder", table_name="recording")
    op.drop_index("recording_by_call", table_name="recording")
    op.drop_table("recording")
    op.drop_table("position")
    op.drop_table("fresh_parked")
    op.drop_index("parked_link_target", table_name="parked_link", postgresql_where=sa.text("state = 'parked'"))
    op.drop_index(
        "parked_link_oldest",
        table_name="parked_link",
        postgresql_where=sa.text("state = 'parked' and ticket is not null"),
    )
    op.drop_index(
        "parked_link_by_recording",
        table_name="parked_link",
        postgresql_where=sa.text("state = 'parked' and recording_id is not null"),
    )
    op.drop_index(
        "parked_link_by_name",
        table_name="parked_link",
        postgresql_where=sa.text("state = 'parked' and name_key is not null"),
    )
    op.drop_table("parked_link")
    op.drop_table("origin")
    op.drop_table("link_history")
    op.drop_index("link_by_request", table_name="link", postgresql_where=sa.text("source <> 'import'"))
    op.drop_index(op.f("ix_link_ticket_id"), table_name="link")
    op.drop_table("link")
    op.drop_table("lease")
    op.drop_index("import_by_time", table_name="import")
    op.drop_index("import_running", table_name="import", postgresql_where=sa.text("finished_at is null"))
    op.drop_index("import_by_fingerprint", table_name="import", postgresql_where=sa.text("not dry_run"))
    op.drop_table("import")
    op.drop_index("dead_letter_open", table_name="dead_letter", postgresql_where=sa.text("settled_as is null"))
    op.drop_index("dead_letter_unpublished", table_name="dead_letter", postgresql_where=sa.text("published_at is null"))
    op.drop_table("dead_letter")
    op.drop_table("arrival")
    op.drop_table("audit")
