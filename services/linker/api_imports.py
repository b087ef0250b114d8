"""linker's HTTP API for spreadsheets: upload one, see how far it is, read what became of each row."""

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Query, Request

from services.linker.api import NOT_FOUND, Page, Text
from services.linker.api_models import ImportAccepted, ImportAnswer, ImportRowAnswer, ImportRowsAnswer
from services.linker.apply_imports import duplicates
from services.linker.decisions import Target
from services.linker.read_spreadsheet import Asked, Unreadable, read_csv
from services.linker.settings import LinkerSettings
from services.linker.store_imports import Accepted, Imports
from shared.database import notify
from shared.service import Service
from shared.web import PROBLEMS, Problem

UNKNOWN = "No import has this id"


def routes(service: Service, settings: LinkerSettings) -> APIRouter:
    """The routes of imports."""
    router = APIRouter(tags=["imports"], responses=PROBLEMS)

    @router.post(
        "/imports",
        status_code=202,
        openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    async def start_import(
        request: Request,
        filename: Text,
        folder: Text | None = None,
        linked_by: Annotated[str, Query(min_length=1, max_length=255, pattern=r"^[^\x00]*$")] | None = None,
        *,
        park: bool = True,
    ) -> ImportAccepted:
        """Accept a CSV file: check it, store its rows, link them in the background."""
        content = await request.body()
        accepted = Accepted(
            import_id=str(uuid4()),
            filename=filename,
            sha256=hashlib.sha256(content).hexdigest(),
            folder=folder,
            park=park,
            linked_by=linked_by,
            accepted_at=datetime.now(UTC),
        )
        try:
            rows = await asyncio.to_thread(read_csv, content, max_rows=settings.import_max_rows)
        except Unreadable as error:
            raise Problem(422, "Unreadable file", f"{filename}: {error}") from error
        asked = [one for one in rows if isinstance(one, Asked)]
        named = [(one.line, Target(one.recording_id, one.filename, one.folder or folder)) for one in asked]
        async with service.database.transaction() as connection:
            await service.gate.pass_through(connection)
            await Imports(connection).accept(accepted, rows, duplicates(named))
            await notify(connection, ["apply_imports"])
        service.wake("apply_imports")
        return ImportAccepted(import_id=accepted.import_id)

    @router.get("/imports/{import_id}", responses=NOT_FOUND)
    async def read_import(import_id: str) -> ImportAnswer:
        """How far an import is."""
        async with service.database.transaction() as connection:
            row = await Imports(connection).receipt(import_id) if "\x00" not in import_id else None
        if row is None:
            raise Problem(404, "Unknown import", UNKNOWN)
        done = row["finished_at"] is not None
        return ImportAnswer(**{**row, "counts": row["counts"] or {}, "status": "done" if done else "running"})

    @router.get("/imports/{import_id}/rows", responses=NOT_FOUND)
    async def read_import_rows(
        import_id: str,
        after_line: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        limit: Page = 1000,
        *,
        attention: bool = False,
    ) -> ImportRowsAnswer:
        """What became of each row, a page at a time; with `attention` only rows that somebody has to look at."""
        async with service.database.transaction() as connection:
            imports = Imports(connection)
            if "\x00" in import_id or await imports.receipt(import_id) is None:
                raise Problem(404, "Unknown import", UNKNOWN)
            rows = await imports.rows(import_id, after_line=after_line, limit=limit, attention=attention)
        items = [
            ImportRowAnswer(**{name: value for name, value in row.items() if name != "detail"}, **(row["detail"] or {}))
            for row in rows
        ]
        return ImportRowsAnswer(items=items, next_after_line=items[-1].line if len(items) == limit else None)

    return router
