"""Accepts a spreadsheet: its rows are read and stored, all of them or none, before anything is linked.

The upload goes to a temporary file and is read part by part beside the service (services/linker/read_beside.py), so
neither memory nor the event loop notice how large it is. Each linker reads one file at a time. A file that turns out
unreadable at its last line leaves nothing behind, because all rows are stored in one transaction.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from services.linker.import_parts import Part
from services.linker.lines import Limits, SpreadsheetFile
from services.linker.preview_spreadsheet import Preview, preview
from services.linker.read_beside import parts_of
from services.linker.read_parts import Order
from services.linker.repeat_imports import first_receipt
from services.linker.settings import LinkerSettings
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
            order = Order(file, self._limits(), given, accepted.folder, self.settings.import_lot_rows)
            async with aclosing(parts_of(order)) as parts:
                first = await anext(parts, None)  # opens and unpacks the file: no transaction waits for that
                await self._store(accepted, first, parts, who=who)
            return accepted.import_id, False

    async def preview(self, file: SpreadsheetFile, given: Mapping[str, str]) -> Preview:
        """Look at the file's first lines. Raises Unreadable."""
        async with self._turn:
            return await asyncio.to_thread(preview, file, self._limits(), given=given)

    async def _store(
        self, accepted: Accepted, first: Part | None, others: AsyncIterator[Part], *, who: str | None
    ) -> None:
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            imports = Imports(connection)
            await imports.begin(accepted)
            if first:
                await imports.add(accepted.import_id, first)
            async for part in others:
                await imports.add(accepted.import_id, part)
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
