"""How imports of spreadsheets get on."""

from typing import Any, Literal

from ops.answers import Answer


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


class ImportRows(Answer):
    """Some rows of an import's report, in order of their lines."""

    items: list[dict[str, Any]]
    next_after_line: int | None = None
