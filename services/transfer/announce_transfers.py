"""Announces RecordingTransferred: what is in the cloud, until the topic says so.

A row is to be announced while the last record of the topic about its recording says another version. One that was
published late, and so stands behind a newer one, is corrected by the same rule.
"""

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring as _quoted
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.envelope import rfc3339
from schemas.events import RecordingTransferred
from schemas.topics import RECORDING_TRANSFERRED
from services.transfer.transfers import COLUMNS
from shared.arrays import with_arrays
from shared.facts import as_record
from shared.own_records import Skimmed
from shared.producer import Outgoing
from shared.sql import text

LOT_BYTES = 16_000_000


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    """Recording → transfer_version, folder by folder."""
    rows = await connection.execute(
        text("""
            select recording_id, transfer_version from unheard_transfer order by folder_id, recording_id limit :limit
        """),
        {"limit": limit},
    )
    return {row[0]: row[1] for row in rows.all()}


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """Recording → (transfer_version, record) as the transfers are now, as many as memory should hold at once."""
    rows = await connection.execute(
        with_arrays(f"""
            with wanted as (
                select *, sum(octet_length(transcribe)) over (order by folder_id, recording_id) as bytes
                from transfer where recording_id = any(cast(:ids as text[]))
            )
            select {COLUMNS} from wanted
            where bytes - octet_length(transcribe) <= :lot_bytes order by folder_id, recording_id
        """),  # noqa: S608  # this module's own text
        {"ids": list(recording_ids), "lot_bytes": LOT_BYTES},
    )
    return {row[0]: (row[3], record_of(row)) for row in rows}


async def forget_heard(connection: AsyncConnection) -> None:
    """Nothing was heard on the topic as it is now: every transfer is to be announced."""
    await connection.execute(
        text("""
            insert into unheard_transfer (recording_id, folder_id, transfer_version)
            select recording_id, folder_id, transfer_version from transfer order by recording_id
            on conflict do nothing
        """)
    )


def record_of(row: Row[Any]) -> Outgoing:
    """The record that announces a transfer, of its row with the columns of TransferRow.

    Written as text: all of it was valid when it was stored, and as an event it would take three times as long.
    """
    columns: tuple[Any, ...] = tuple(row)
    recording_id, folder_id, clouds_uuid, version, filename, size, token, transcribe, link_version, at = columns[:10]
    value = (
        f'{{"recording_id":{_quoted(recording_id)},"folder_id":{_quoted(folder_id)},'
        f'"clouds_uuid":{_quoted(clouds_uuid)},"transfer_version":{version},'
        f'"file":{{"filename":{_quoted(filename)},"size":{_quoted(size)},"token":{token},'
        f'"transcribe":{_quoted(transcribe)}}},"link_version":{link_version},"transferred_at":"{rfc3339(at).decode()}"}}'
    )
    return as_record(
        RECORDING_TRANSFERRED,
        (RecordingTransferred, value.encode()),
        key=recording_id,
        version=str(version),
        source="transfer",
        time=at,
        says=Skimmed(recording_id, (version,), ""),
    )
