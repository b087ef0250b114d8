"""The SQL of what a folder in the cloud should show."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.comparison import Expected
from services.cloud_updater.predicates import ACKNOWLEDGED_LINK, ACKNOWLEDGED_TRANSFER
from shared.sql import text

# The name stands first in the file's JSON; the transcript behind it need not be unpacked for it.
_FILENAME = r"""
    cast(substring(left(f.body, 4000) from '^."filename":("([^"\\]|\\.)*")') as json) #>> '{}'
"""


@dataclass(frozen=True)
class FolderExpected:
    """What a folder should show; equal if nothing of that has changed."""

    folder_id: str
    recordings: Sequence[Expected]


async def expected(connection: AsyncConnection, clouds_uuid: str) -> FolderExpected | None:
    """None: no such folder is known."""
    folder_id = await connection.scalar(
        text("select folder_id from ledger where clouds_uuid = :uuid"), {"uuid": clouds_uuid}
    )
    if folder_id is None:
        return None
    rows = await connection.execute(
        text(f"""
            select r.recording_id, r.link_version, r.ticket,
                {_FILENAME} as filename,
                ({ACKNOWLEDGED_TRANSFER}, {ACKNOWLEDGED_LINK}) >= (r.transfer_version, r.link_version)
                    as acknowledged
            from recording r join ledger l using (clouds_uuid) join file f using (recording_id)
            where r.clouds_uuid = :uuid order by r.recording_id
        """),  # noqa: S608  # this module's own text
        {"uuid": clouds_uuid},
    )
    recordings = [
        Expected(
            one.recording_id,
            one.filename,
            one.link_version,
            from_json(one.ticket) if one.ticket else None,
            one.acknowledged,
        )
        for one in rows
    ]
    return FolderExpected(folder_id, recordings)
