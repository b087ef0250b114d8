"""The rows that the services' tables have when all recordings are in sync, by SQL: to publish so many takes longer than
to measure with them.

`ROWS` are the statements of each service, in the order of their tables: $1 the uuids of the folders, $2 how many
recordings each of them has, $3 the ticket of all as JSON. Ids are "bench-FOLDER-NUMBER", both from 1.
"""

import json
from collections.abc import Sequence

import asyncpg

TICKET = {"ticket_id": "TKT-1", "customer_name": "John Doe", "linked_at": "2025-01-29T10:30:00Z"}
WORDS = "word " * 40

# A row per folder `f` (its number, its uuid) and file `n`; `place` stands for any offset.
_ROWS = """
    from unnest($1::text[]) with ordinality as folders (uuid, f) cross join generate_series(1, $2::int) as n
"""
_ID = "'bench-' || f || '-' || n"
_FOLDER = "'bench-' || f"
_NAME = "'recording_' || n || '.wav'"
_HASH = f"sha256(convert_to({_ID}, 'UTF8'))"
_AT = "timestamptz '2025-01-29 10:30:00+00'"

LINKER = (
    f"""
    insert into recording (recording_id, processed_folder_id, processed_folder_name, processed_filename,
        requires_ticket, processed_at, revision, content_hash, processed_place, transferred_folder_id,
        transferred_filename, transfer_version, clouds_uuid, transferred_at, transferred_place,
        known_transfer_version, known_link_version, known_at, known_place)
    select {_ID}, {_FOLDER}, {_FOLDER}, {_NAME}, true, {_AT}, 1, encode({_HASH}, 'hex'), n, {_FOLDER}, {_NAME}, 1, uuid,
        {_AT}, n, 1, 1, {_AT}, n {_ROWS}
    """,
    f"""
    insert into link (recording_id, link_version, ticket, ticket_id, folder_id, filename, source, request_id,
        requested_at, occurred_at, last_request_id, last_requested_at)
    select {_ID}, 1, $3, 'TKT-1', {_FOLDER}, {_NAME}, 'import', {_ID}, {_AT}, {_AT}, {_ID}, {_AT} {_ROWS}
    """,
)
TRANSFER = (
    f"""
    insert into folder (folder_id, clouds_uuid, uuid_since)
    select {_FOLDER}, uuid, {_AT} from unnest($1::text[]) with ordinality as folders (uuid, f)
    """,  # noqa: S608  # this module's own text
    f"""
    insert into recording (recording_id, folder_id, folder_name, filename, size_bytes, token, transcript,
        requires_ticket, processed_at, revision, content_hash, folded_at, wanted_version, waiting)
    select {_ID}, {_FOLDER}, {_FOLDER}, {_NAME}, 1000, 1, '{WORDS}', true, {_AT}, 1, {_HASH}, {_AT}, 1, false {_ROWS}
    """,
    f"insert into ticket (recording_id, link_version, ticket_info) select {_ID}, 1, $3 {_ROWS}",
    f"""
    insert into transfer (recording_id, folder_id, clouds_uuid, transfer_version, filename, size, token, transcribe,
        link_version, transferred_at)
    select {_ID}, {_FOLDER}, uuid, 1, {_NAME}, '1 KB', 1, '{WORDS}', 1, {_AT} {_ROWS}
    """,
)
CLOUD_UPDATER = (
    f"""
    insert into ledger (clouds_uuid, folder_id, last_seq, cursor, announced_cursor, forced_until, generation,
        attempts, missing)
    select uuid, {_FOLDER}, $2::int, $2, $2, 0, 0, 0, false
    from unnest($1::text[]) with ordinality as folders (uuid, f)
    """,  # noqa: S608  # this module's own text
    f"""
    insert into recording (recording_id, folder_id, clouds_uuid, transfer_version, link_version,
        known_transfer_version, known_link_version, link_place, ticket, seq, forced)
    select {_ID}, {_FOLDER}, uuid, 1, 1, 1, 1, n, $3, n, false {_ROWS}
    """,
    f"""
    insert into file (recording_id, body)
    select {_ID}, '{{"filename":"' || {_NAME} || '","size":"1 KB","token":1,"transcribe":"{WORDS}"}}' {_ROWS}
    """,
)
ROWS = {"linker": LINKER, "transfer": TRANSFER, "cloud_updater": CLOUD_UPDATER}


async def put(url: str, statements: Sequence[str], uuids: Sequence[str], recordings_each: int) -> None:
    """Say them to the database at this address, as asyncpg takes it, and see to it that they can be planned for."""
    connection = await asyncpg.connect(url)
    given = (uuids, recordings_each, json.dumps(TICKET))
    try:
        for statement in statements:
            await connection.execute(statement, *given[: max(n for n in (0, 1, 2, 3) if not n or f"${n}" in statement)])
        await connection.execute("vacuum analyze")  # as autovacuum would have, long before there are so many
    finally:
        await connection.close()
