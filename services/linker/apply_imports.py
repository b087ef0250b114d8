"""Applies imports: links the rows of accepted files, a lot in a transaction, until every row is decided.

A crash leaves an import where its last lot ended, and the loop goes on there: a row is never applied twice. All rows
count as requested when the file was accepted, in order of their lines, however late they are applied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, assert_never

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketDetails
from services.linker.decisions import LinkRequest, Target
from services.linker.link_recordings import (
    AlreadySo,
    CameLate,
    Linked,
    NotFound,
    Result,
    Unclear,
    Waits,
    link_recordings,
)
from services.linker.settings import LinkerSettings
from services.linker.store_catalogue import Catalogue
from services.linker.store_imports import Accepted, Decided, Imports, Undecided
from services.linker.store_links import Links
from shared.database import Database, notify
from shared.gate import Gate

log = structlog.get_logger()

CANDIDATES_SHOWN = 10


@dataclass(frozen=True)
class ApplyImports:
    """The step of a reconcile loop."""

    settings: LinkerSettings
    database: Database
    gate: Gate

    async def step(self) -> float | None:
        """Link one lot of the oldest running import."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            imports = Imports(connection)
            running = await imports.lock_running()
            if running is None:
                return None
            rows = await imports.undecided(running.import_id, self.settings.import_lot_rows)
            requests = await _requests(running, rows, connection)
            results = await link_recordings(requests, connection, now=datetime.now(UTC))
            decided = [decided_row(row.line, result) for row, result in zip(rows, results, strict=True)]
            await imports.decide(running.import_id, decided)
            await notify(connection, ["announce_links", "match_parked"])
        log.info("import rows applied", import_id=running.import_id, rows=len(rows))
        return 0


async def _requests(running: Accepted, rows: list[Undecided], connection: AsyncConnection) -> list[LinkRequest]:
    """What the rows ask for. A field without a column in the file keeps its value while the ticket stays the same."""
    targets = [Target(row.recording_id, row.filename, row.folder) for row in rows]
    found = await Catalogue(connection).candidates(targets)
    ids = {one[0].recording_id for one in found if len(one) == 1}
    await Catalogue(connection).lock(ids)
    current = await Links(connection).current(ids)
    requests = []
    for row, target, recordings in zip(rows, targets, found, strict=True):
        before = current.get(recordings[0].recording_id) if len(recordings) == 1 else None
        kept: Mapping[str, Any] = {}
        if before and before.ticket and before.ticket.ticket_id == row.ticket["ticket_id"]:
            kept = before.ticket.model_dump(include=set(TicketDetails.model_fields))
        requests.append(
            LinkRequest(
                request_id=f"{running.import_id}:{row.line:09d}",
                requested_at=running.accepted_at,
                target=target,
                ticket=TicketDetails(**{**kept, **row.ticket}),
                source="import",
                linked_by=running.linked_by,
                import_id=running.import_id,
                park=running.park,
            )
        )
    return requests


def decided_row(line: int, result: Result) -> Decided:
    """A result as a row of the receipt."""
    match result:
        case Linked(recording, link_version, _, replaced):
            if replaced is None:
                return Decided(line, "matched", recording.recording_id, {"link_version": link_version})
            detail = {"link_version": link_version, "replaced_ticket_id": replaced}
            return Decided(line, "overwrite", recording.recording_id, detail)
        case AlreadySo(recording, link_version):
            return Decided(line, "unchanged", recording.recording_id, {"link_version": link_version})
        case CameLate(recording, _):
            newer = "a newer request was there first"
            return Decided(line, "unchanged", recording.recording_id if recording else None, {"message": newer})
        case Waits():
            return Decided(line, "parked", None, {})
        case NotFound():
            return Decided(line, "invalid", None, {"field": "recording_name", "message": "no recording of that name"})
        case Unclear(candidates):
            shown = [
                {"recording_id": one.recording_id, "folder_id": one.folder_id, "filename": one.filename}
                for one in candidates[:CANDIDATES_SHOWN]
            ]
            return Decided(line, "ambiguous", None, {"candidates": shown})
        case _:
            assert_never(result)


def duplicates(rows: list[tuple[int, Target]]) -> dict[int, int]:
    """Line → the last line that names the same recording, for all lines but that last."""
    last: dict[tuple[str | None, str | None, str | None], int] = {}
    for line, target in rows:
        last[target.recording_id, target.folder, target.name_key] = line
    return {
        line: last[target.recording_id, target.folder, target.name_key]
        for line, target in rows
        if last[target.recording_id, target.folder, target.name_key] != line
    }
