"""What linker's HTTP API takes and answers about spreadsheets: how one is read, how far it is, what came of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.fields import Actor, Name
from services.linker.decisions import OnExisting
from services.linker.map_columns import NAMES


class ReadOptions(BaseModel):
    """How a spreadsheet is to be read."""

    sheet: Name | None = Field(None, description="the sheet of a workbook; the first that is shown if missing")
    map: list[Annotated[str, Field(max_length=1000, pattern=r"^[a-z_]+=[^\x00]+$")]] = Field(
        default=[], max_length=len(NAMES), description="field=Column, once per field; wins over what is detected"
    )

    @field_validator("map")
    @classmethod
    def _maps_a_field_once(cls, given: list[str]) -> list[str]:
        if len({one.partition("=")[0] for one in given}) < len(given):
            raise ValueError("a field is mapped more than once")
        return given

    @property
    def mapping(self) -> dict[str, str]:
        """Field → column's name."""
        return {field: column for field, _, column in (one.partition("=") for one in self.map)}


class RowOptions(ReadOptions):
    """What else is to be known of a spreadsheet: what its rows may do."""

    folder: Name | None = Field(None, description="folder of rows that do not name theirs")
    on_existing: OnExisting = Field(
        "overwrite",
        description="what a row does to another ticket that is there: replace it, keep it, or fail; first: a row links "
        "only what was never linked or unlinked",
    )
    park: bool = Field(default=True, description="keep links until their recordings arrive; false: refuse them")
    dry_run: bool = Field(default=False, description="decide every row and change nothing")
    linked_by: Actor | None = None


class ImportOptions(RowOptions):
    """How a spreadsheet is to be read and what its rows may do."""

    filename: Name = Field(description="the file's name; its ending has to fit its content")


class ImportAccepted(BaseModel):
    """The import is stored and will be carried out, whatever happens to the caller.

    `repeated`: the same was imported before and all that it did still stands; this is that import, nothing is done.
    """

    import_id: str
    repeated: bool = False


class ImportAnswer(BaseModel):
    """How far an import is. `counts`: rows by outcome."""

    import_id: str
    filename: str
    sha256: str
    dry_run: bool
    status: Literal["running", "done"]
    rows_total: int
    rows_done: int
    accepted_at: datetime
    linked_by: str | None
    finished_at: datetime | None
    counts: dict[str, int]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The answer for one row of seen_imports.receipts."""
        return cls(**{**row, "counts": row["counts"] or {}, "status": "done" if row["finished_at"] else "running"})


class ImportsAnswer(BaseModel):
    """Imports, the newest first; the list is over when `next_cursor` is null."""

    items: list[ImportAnswer]
    next_cursor: str | None


class ImportRowAnswer(BaseModel):
    """One row of an import. `detail` depends on the outcome: the candidates, the field and message, the replaced
    ticket.
    """

    model_config = ConfigDict(extra="allow")

    line: int
    outcome: str
    recording_id: str | None
    folder: str | None
    filename: str | None
    ticket_id: str | None


class ImportRowsAnswer(BaseModel):
    """A page of rows; `next_after_line` is null on the last."""

    items: list[ImportRowAnswer]
    next_after_line: int | None
