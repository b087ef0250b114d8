"""linker's HTTP API for spreadsheets: upload one, see how far it is, read what became of each row."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from services.linker import seen_imports
from services.linker.accept_imports import AcceptImports, uploaded
from services.linker.api import NOT_FOUND, Page
from services.linker.api_import_models import (
    ImportAccepted,
    ImportAnswer,
    ImportOptions,
    ImportRowAnswer,
    ImportRowsAnswer,
    ImportsAnswer,
)
from services.linker.import_report import report
from services.linker.lines import SpreadsheetFile, Unreadable
from services.linker.repeat_imports import fingerprint
from services.linker.store_imports import Accepted
from shared.cursors import Cursor
from shared.requested_by import RequestedBy
from shared.service import Service
from shared.web import PROBLEMS, Problem, ProblemDetails

UNKNOWN = "No import has this id"
ANY_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "the file as it is: CSV, XLSX or XLS",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
CUT_OFF: dict[int | str, dict[str, Any]] = {
    400: {"model": ProblemDetails, "description": "The upload ended before it was whole"}
}
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


def routes(service: Service, door: AcceptImports) -> APIRouter:
    """The routes of imports."""
    router = APIRouter(tags=["imports"], responses=PROBLEMS)

    @router.post("/imports", status_code=202, openapi_extra=ANY_FILE, responses=CUT_OFF)
    async def start_import(
        request: Request, options: Annotated[ImportOptions, Query()], who: RequestedBy = None
    ) -> ImportAccepted:
        """Accept a spreadsheet: read all of it, store its rows, link them in the background."""
        try:
            async with uploaded(request.stream()) as upload:
                accepted = accepted_import(options, upload.sha256, who=who)
                file = SpreadsheetFile(upload.path, options.filename, options.sheet)
                import_id, repeated = await door.accept(accepted, file, options.mapping, who=who)
        except Unreadable as error:
            raise unreadable(options.filename, error) from error
        except ClientDisconnect as error:
            raise cut_off() from error
        if not repeated:
            service.wake("apply_imports")
        return ImportAccepted(import_id=import_id, repeated=repeated)

    @router.get("/imports")
    async def list_imports(cursor: Annotated[Cursor, Query()] = "", limit: Page = 100) -> ImportsAnswer:
        """All imports, the newest first, a page at a time."""
        async with service.database.transaction() as connection:
            rows, next_cursor = await seen_imports.receipts(connection, cursor=cursor, limit=limit)
        return ImportsAnswer(items=[ImportAnswer.of(row) for row in rows], next_cursor=next_cursor)

    @router.get("/imports/{import_id}", responses=NOT_FOUND)
    async def read_import(import_id: str) -> ImportAnswer:
        """How far an import is."""
        return ImportAnswer.of(await _receipt(service, import_id))

    @router.get("/imports/{import_id}/rows", responses=NOT_FOUND)
    async def read_import_rows(
        import_id: str,
        after_line: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        limit: Page = 1000,
        *,
        attention: bool = False,
    ) -> ImportRowsAnswer:
        """What became of each row, a page at a time; with `attention` only rows that somebody has to look at."""
        await _receipt(service, import_id)
        async with service.database.transaction() as connection:
            rows = await seen_imports.rows(
                connection, import_id, after_line=after_line, limit=limit, attention=attention
            )
        items = [
            ImportRowAnswer(**{name: value for name, value in row.items() if name != "detail"}, **(row["detail"] or {}))
            for row in rows
        ]
        return ImportRowsAnswer(items=items, next_after_line=items[-1].line if len(items) == limit else None)

    @router.get("/imports/{import_id}/report", responses=NOT_FOUND | CSV, response_class=StreamingResponse)
    async def read_import_report(import_id: str) -> StreamingResponse:
        """What became of each row that is decided, as CSV; cells that a spreadsheet would run are made text."""
        await _receipt(service, import_id)
        return StreamingResponse(
            report(service.database, import_id),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="import-report.csv"'},
        )

    return router


async def _receipt(service: Service, import_id: str) -> Mapping[str, Any]:
    async with service.database.transaction() as connection:
        row = await seen_imports.receipt(connection, import_id) if "\x00" not in import_id else None
    if row is None:
        raise Problem(404, "Unknown import", UNKNOWN)
    return row


def unreadable(filename: str, error: Unreadable) -> Problem:
    """What the sender of a file is told that cannot be read or mapped."""
    return Problem(422, "Unreadable file", f"{filename}: {error}", errors=[{"field": "file", "message": str(error)}])


def cut_off() -> Problem:
    """The end of a request whose sender is gone: nobody is there to be told, and nothing is wrong with the service."""
    return Problem(400, "Incomplete request", "The upload ended before it was whole")


def accepted_import(options: ImportOptions, sha256: str, *, who: str | None) -> Accepted:
    """The import that these options ask for; it counts as made by `who` unless they name somebody else."""
    return Accepted(
        import_id=str(uuid4()),
        filename=options.filename,
        sha256=sha256,
        fingerprint=fingerprint(sha256, options.model_dump(exclude={"filename", "linked_by", "dry_run"})),
        folder=options.folder,
        park=options.park,
        on_existing=options.on_existing,
        dry_run=options.dry_run,
        linked_by=options.linked_by or who,
        accepted_at=datetime.now(UTC),
    )
