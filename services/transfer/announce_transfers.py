"""Announces RecordingTransferred: what is in the cloud, until the topic says so.

A row is to be announced while the last record of the topic about its recording says another version. One that was
published late, and so stands behind a newer one, is corrected by the same rule.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import RECORDING_TRANSFERRED
from shared.arrays import with_arrays
from shared.facts import WRITTEN, facts_of
from shared.own_records import Skimmed
from shared.producer import Outgoing
from shared.sql import text

LOT_BYTES = 16_000_000
_FACTS = facts_of(RECORDING_TRANSFERRED, "transfer")


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
    """Recording → (transfer_version, record) as the transfers are now, as many as memory should hold at once.

    They were valid when they were stored, so PostgreSQL writes each as the JSON of RecordingTransferred, its fields in
    order.
    """
    rows = await connection.execute(
        with_arrays(f"""
            with wanted as (
                select *, {WRITTEN.format(column="transferred_at")} as transferred,
                    sum(octet_length(transcribe)) over (order by folder_id, recording_id) as bytes
                from transfer where recording_id = any(cast(:ids as text[]))
            )
            select recording_id, transfer_version, convert_to(transferred, 'UTF8'), convert_to(concat(
                '{{"recording_id":', to_json(recording_id), ',"folder_id":', to_json(folder_id),
                ',"clouds_uuid":', to_json(clouds_uuid), ',"transfer_version":', transfer_version,
                ',"file":{{"filename":', to_json(filename), ',"size":', to_json(size), ',"token":', token,
                ',"transcribe":', to_json(transcribe), '}},"link_version":', link_version,
                ',"transferred_at":"', transferred, '"}}'), 'UTF8')
            from wanted
            where bytes - octet_length(transcribe) <= :lot_bytes order by folder_id, recording_id
        """),  # noqa: S608  # this module's own text
        {"ids": list(recording_ids), "lot_bytes": LOT_BYTES},
    )
    return {
        recording_id: (
            version,
            _FACTS.record(
                value, key=recording_id, version=str(version), time=time, says=Skimmed(recording_id, (version,), "")
            ),
        )
        for recording_id, version, time, value in rows.all()
    }


async def forget_heard(connection: AsyncConnection) -> None:
    """Nothing was heard on the topic as it is now: every transfer is to be announced."""
    await connection.execute(
        text("""
            insert into unheard_transfer (recording_id, folder_id, transfer_version)
            select recording_id, folder_id, transfer_version from transfer order by recording_id
            on conflict do nothing
        """)
    )
