"""Applies imports: links the rows of accepted files, a part in a transaction, until every row is decided.

A crash leaves the parts undecided that were under way, and the loop goes on with them: a row is never applied twice.
All rows count as requested when the file was accepted, in order of their lines, however late and in whatever order they
are applied; so while the database stores one part, another is decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketDetails
from services.linker.decisions import LinkRequest
from services.linker.import_parts import Decided, Outcomes, outcomes_of, rows_of, split
from services.linker.link_recordings import (
    AlreadySo,
    CameLate,
    HasAnother,
    Linked,
    NotFound,
    Result,
    Unclear,
    Waits,
    link_recordings,
)
from services.linker.read_row import Asked
from services.linker.settings import LinkerSettings
from services.linker.store_first_links import FirstLinksOf
from services.linker.store_imports import Accepted, Imports, Running
from services.linker.target import Target
from shared.database import Database, notify
from shared.gate import Gate

log = structlog.get_logger()

CANDIDATES_SHOWN = 10
WORKERS = 2


@dataclass(frozen=True)
class _PartDecided:
    outcomes: Outcomes
    some_wait: bool


@dataclass(frozen=True)
class ApplyImports:
    """The step of a reconcile loop of `WORKERS`."""

    settings: LinkerSettings
    database: Database
    gate: Gate

    async def step(self) -> float | None:
        """Link the next part of the oldest running import that has one left."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            imports = Imports(connection)
            part = await imports.claim_part()
            if part is None:
                return None
            running = part.accepted
            decided = await self._decide(part, connection, now=datetime.now(UTC))
            finished = await imports.decide(part, decided.outcomes)
            if not running.dry_run:
                wake = {"match_parked": decided.some_wait, "announce_links": finished}
                await notify(connection, [loop for loop, has_work in wake.items() if has_work])
        log.info("import rows applied", import_id=running.import_id, rows=part.rows)
        return 0

    async def _decide(self, part: Running, connection: AsyncConnection, *, now: datetime) -> _PartDecided:
        """Link the rows; a dry run does exactly the same and takes it back, and the locks with it."""
        running = part.accepted
        rows = [] if len(part.means) == part.rows and not part.replaced else rows_of(part.content, part.means)
        others, decided = split(rows, part.replaced, leave=part.means)
        trial = await connection.begin_nested()
        meant = list(part.means.values())
        results = await link_recordings(requests_of(running, others), connection, now=now, beside=meant)
        made, lines = await FirstLinksOf(connection).make(part, now=now) if part.means else (0, set())
        if lines:
            rows = rows or rows_of(part.content, part.means)
            again = [row for row in rows if isinstance(row, Asked) and row.line in lines]
            results += await link_recordings(requests_of(running, again), connection, now=now)
            others += again
        await (trial.rollback() if running.dry_run else trial.commit())
        decided += [decided_row(row.line, result) for row, result in zip(others, results, strict=True)]
        return _PartDecided(
            outcomes_of(decided, first_links=made), some_wait=any(isinstance(result, Waits) for result in results)
        )


def requests_of(running: Accepted, rows: Sequence[Asked]) -> list[LinkRequest]:
    """What the rows ask for. A field without a column in the file keeps its value while the ticket stays the same."""
    fields = frozenset(rows[0].ticket) if rows else frozenset()
    keeps = frozenset(TicketDetails.model_fields) - fields
    return [
        LinkRequest(
            f"{running.import_id}:{row.line:09d}",
            running.accepted_at,
            Target(row.means) if row.means else Target(row.recording_id, row.filename, row.folder),
            TicketDetails(**row.ticket),
            "import",
            running.linked_by,
            running.import_id,
            running.park,
            keeps if row.ticket.keys() == fields else frozenset(TicketDetails.model_fields) - row.ticket.keys(),
            running.on_existing,
        )
        for row in rows
    ]


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
        case HasAnother(recording, link_version, ticket_id, is_fault):
            there = f"ticket {ticket_id} is there already"
            detail = {"link_version": link_version} if recording else {}
            found = recording.recording_id if recording else None
            if is_fault:
                return Decided(line, "invalid", found, {**detail, "field": "ticket_id", "message": there})
            return Decided(line, "unchanged", found, {**detail, "message": f"{there} and is kept"})
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
