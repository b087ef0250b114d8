"""Accepts a spreadsheet: its rows are read and stored, all of them or none, before anything is linked.

The upload goes to a temporary file and is read part by part in a thread, so neither memory nor the event loop notice
how large it is. One file is read at a time in a process. A file that turns out unreadable at its last line leaves
nothing behind, because all rows are stored in one transaction.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import Found, KnownRecording, Target, decide_match
from services.linker.import_parts import lots_of, part_of
from services.linker.lines import Limits, SpreadsheetFile
from services.linker.preview_spreadsheet import Preview, preview
from services.linker.read_row import Asked, Row
from services.linker.read_spreadsheet import read_rows
from services.linker.repeat_imports import first_receipt
from services.linker.settings import LinkerSettings
from services.linker.store_candidates import Candidates
from services.linker.store_imports import Accepted, Imports
from shared import audit
from shared.database import Database, notify
from shared.gate import Gate


@dataclass(frozen=True)
class Upload:
    """A file as it came in."""

    path: Path
    sha256: str


@asynccontextmanager
async def uploaded(chunks: AsyncIterable[bytes]) -> AsyncIterator[Upload]:
    """The body of a request as a file, as long as the block lasts."""
    with TemporaryDirectory(prefix="ticketsync-upload-") as folder:
        path = Path(folder, "upload")
        digest = hashlib.sha256()
        file = await asyncio.to_thread(path.open, "wb")
        try:
            async for chunk in chunks:
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        finally:
            await asyncio.to_thread(file.close)
        yield Upload(path, digest.hexdigest())


@dataclass(frozen=True)
class AcceptImports:
    """Takes files in, one at a time."""

    settings: LinkerSettings
    database: Database
    gate: Gate
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def accept(
        self, accepted: Accepted, file: SpreadsheetFile, given: Mapping[str, str], *, who: str | None
    ) -> tuple[str, bool]:
        """(import_id, whether it is the receipt of an import that was done before). Raises Unreadable, GateClosed."""
        async with self._turn:
            if not accepted.dry_run and (known := await self._known(accepted.fingerprint)):
                return known, True
            rows = read_rows(file, self._limits(), given=given)
            lots = lots_of(rows, folder=accepted.folder, size=self.settings.import_lot_rows)
            lot = await asyncio.to_thread(next, lots, None)  # opens and unpacks the file: no transaction waits for that
            async with self.database.transaction() as connection:
                await self.gate.pass_through(connection)
                imports = Imports(connection)
                await imports.begin(accepted)
                while lot:
                    lot = await _next(lots, meanwhile=_store(lot, accepted.import_id, connection))
                await imports.accept(accepted.import_id, now=datetime.now(UTC))
                if not accepted.dry_run:
                    await audit.record(
                        connection,
                        who=who or accepted.linked_by,
                        what="import_accepted",
                        subject=accepted.import_id,
                        detail={"filename": accepted.filename, "sha256": accepted.sha256},
                    )
                await notify(connection, ["apply_imports"])
            return accepted.import_id, False

    async def preview(self, file: SpreadsheetFile, given: Mapping[str, str]) -> Preview:
        """Look at the file's first lines. Raises Unreadable."""
        async with self._turn:
            return await asyncio.to_thread(preview, file, self._limits(), given=given)

    async def _known(self, fingerprint: str) -> str | None:
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            return await first_receipt(connection, fingerprint)

    def _limits(self) -> Limits:
        return Limits(
            max_rows=self.settings.import_max_rows,
            max_unpacked_bytes=self.settings.import_max_unpacked_bytes,
            max_memory_bytes=self.settings.import_workbook_memory_bytes,
        )


async def _next(lots: Iterator[list[Row]], *, meanwhile: Awaitable[None]) -> list[Row] | None:
    """The lot that is read in a thread while the database is busy. Both have ended, whichever of them fails."""
    reading = asyncio.create_task(asyncio.to_thread(next, lots, None))
    try:
        await meanwhile
    finally:
        await asyncio.gather(reading, return_exceptions=True)
    return await reading


async def _store(lot: Sequence[Row], import_id: str, connection: AsyncConnection) -> None:
    meant = await _meant(lot, Candidates(connection))
    await Imports(connection).add(import_id, await asyncio.to_thread(part_of, lot, meant))


async def _meant(lot: Sequence[Row], candidates: Candidates) -> dict[int, KnownRecording]:
    """Line → the recording that its row names: so rows that name one in different ways are known as such."""
    asked = [row for row in lot if isinstance(row, Asked)]
    found = await candidates.of([Target(row.recording_id, row.filename, row.folder) for row in asked])
    return {
        row.line: match.recording
        for row, fitting in zip(asked, found, strict=True)
        if isinstance(match := decide_match(fitting), Found)
    }
