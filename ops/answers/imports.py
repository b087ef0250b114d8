"""How imports of spreadsheets get on."""

from datetime import datetime
from typing import Any, Literal

from ops.answers import Answer, PageOf


class ImportStarted(Answer):
    """The linker has taken a spreadsheet. `repeated`: it had it before, all of it still stands, nothing is done."""

    import_id: str
    repeated: bool = False


class ImportProgress(Answer):
    """How far an import is; `counts` by outcome."""

    status: Literal["running", "done"]
    rows_total: int
    rows_done: int
    counts: dict[str, int]


class Import(ImportProgress):
    """An import as it is listed."""

    import_id: str
    filename: str
    dry_run: bool
    linked_by: str | None = None
    accepted_at: datetime
    finished_at: datetime | None


class Imports(PageOf[Import]):
    """A page of imports, the newest first."""


class ImportRows(Answer):
    """Some rows of an import's report, in order of their lines."""

    items: list[dict[str, Any]]
    next_after_line: int | None = None
