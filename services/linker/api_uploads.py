"""linker's HTTP API for imports in steps: upload a spreadsheet, look at it, map its columns, then import it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, NoReturn

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from schemas.fields import Name
from services.linker.accept_imports import AcceptImports, Upload
from services.linker.accept_imports import uploaded as as_file
from services.linker.api import NOT_FOUND
from services.linker.api_import_models import ImportAccepted, ImportOptions, ReadOptions, RowOptions
from services.linker.api_imports import ANY_FILE, CUT_OFF, accepted_import, cut_off, unreadable
from services.linker.keep_uploads import KeepUploads
from services.linker.lines import SpreadsheetFile, Unreadable
from services.linker.preview_spreadsheet import Preview
from services.linker.store_uploads import KeptUpload
from shared.requested_by import RequestedBy
from shared.service import Service
from shared.web import PROBLEMS, Problem


class PreviewRow(BaseModel):
    """A row of the file as it stands there; long cells are cut."""

    line: int
    cells: list[str]


class UploadAnswer(BaseModel):
    """A spreadsheet that is kept until `expires_at`, and how it would be read.

    `mapping`: field → column, as found or as given; `missing`: fields without which it cannot be imported.
    """

    upload_id: str
    filename: str
    sha256: str
    size_bytes: int
    expires_at: datetime
    columns: list[str]
    mapping: dict[str, str]
    missing: list[str]
    rows: list[PreviewRow]


class UploadOptions(ReadOptions):
    """How an uploaded spreadsheet is to be read."""

    filename: Name = Field(description="the file's name; its ending has to fit its content")


def routes(service: Service, uploads: KeepUploads, door: AcceptImports) -> APIRouter:
    """The routes of uploads."""
    router = APIRouter(tags=["uploads"], responses=PROBLEMS)

    @router.post("/uploads", status_code=201, openapi_extra=ANY_FILE, responses=CUT_OFF)
    async def upload_file(request: Request, options: Annotated[UploadOptions, Query()]) -> UploadAnswer:
        """Keep a spreadsheet for a while and show its columns and first rows; nothing is imported."""
        try:
            async with as_file(request.stream()) as upload:
                found = await _preview(door, upload, options.filename, options)
                kept = await uploads.keep(upload, filename=options.filename)
        except ClientDisconnect as error:
            raise cut_off() from error
        return _answer(kept, found, expires_at=uploads.expires_at(kept))

    @router.get("/uploads/{upload_id}", responses=NOT_FOUND)
    async def read_upload(upload_id: str, options: Annotated[ReadOptions, Query()]) -> UploadAnswer:
        """Look at an uploaded spreadsheet again, perhaps with another mapping."""
        async with uploads.file(upload_id) as found:
            kept, upload = found or _gone()
            preview = await _preview(door, upload, kept.filename, options)
        return _answer(kept, preview, expires_at=uploads.expires_at(kept))

    @router.post("/uploads/{upload_id}/imports", status_code=202, responses=NOT_FOUND)
    async def import_upload(
        upload_id: str, options: Annotated[RowOptions, Query()], who: RequestedBy = None
    ) -> ImportAccepted:
        """Import an uploaded spreadsheet, or with dry_run only say what would become of each row."""
        async with uploads.file(upload_id) as found:
            kept, upload = found or _gone()
            whole = ImportOptions(**options.model_dump(), filename=kept.filename)
            file = SpreadsheetFile(upload.path, kept.filename, options.sheet)
            try:
                accepted = accepted_import(whole, kept.sha256, who=who)
                import_id, repeated = await door.accept(accepted, file, options.mapping, who=who)
            except Unreadable as error:
                raise unreadable(kept.filename, error) from error
        if not repeated:
            service.wake("apply_imports")
        return ImportAccepted(import_id=import_id, repeated=repeated)

    @router.delete("/uploads/{upload_id}", status_code=204, responses=NOT_FOUND)
    async def forget_upload(upload_id: str) -> None:
        """Forget an uploaded spreadsheet before its time; imports that were made of it stay."""
        if not await uploads.forget(upload_id):
            _gone()

    return router


async def _preview(door: AcceptImports, upload: Upload, filename: str, options: ReadOptions) -> Preview:
    try:
        return await door.preview(SpreadsheetFile(upload.path, filename, options.sheet), options.mapping)
    except Unreadable as error:
        raise unreadable(filename, error) from error


def _answer(kept: KeptUpload, found: Preview, *, expires_at: datetime) -> UploadAnswer:
    shown: Mapping[str, object] = {name: value for name, value in vars(kept).items() if name != "uploaded_at"}
    return UploadAnswer.model_validate(
        {
            **shown,
            "expires_at": expires_at,
            "columns": found.columns,
            "mapping": found.mapping,
            "missing": found.missing,
            "rows": [PreviewRow(line=line.number, cells=line.cells) for line in found.rows],
        }
    )


def _gone() -> NoReturn:
    raise Problem(404, "Unknown upload", "No upload has this id; it may have been too long ago: send the file again")
