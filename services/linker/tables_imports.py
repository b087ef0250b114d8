"""The tables of linker's database that hold spreadsheets: imports with their rows, and uploads looked at first.

They are beside the others in services/linker/tables.py. SQL that reads and writes them is in the store_*.py files only.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field

from services.linker.tables import LinkerTable
from shared.tables import BIGINT, JSON, MOMENT, TEXTS

NUMBERS: Any = ARRAY(Integer)


class Import(LinkerTable, table=True):
    """A spreadsheet that was accepted; its rows are linked part by part.

    `fingerprint`: of the content with mapping and options, by which the same import is known again. `dry_run`: its
    rows are decided and nothing else is changed.
    """

    import_id: str = Field(primary_key=True)
    filename: str
    sha256: str
    fingerprint: str
    folder: str | None
    park: bool
    on_existing: str
    dry_run: bool
    linked_by: str | None
    accepted_at: datetime = Field(sa_type=MOMENT)
    rows_total: int
    rows_done: int
    finished_at: datetime | None = Field(sa_type=MOMENT)

    __table_args__ = (
        Index("import_running", "accepted_at", postgresql_where=text("finished_at is null")),
        Index("import_by_time", "accepted_at", "import_id"),
        Index("import_by_fingerprint", "fingerprint", "accepted_at", postgresql_where=text("not dry_run")),
        CheckConstraint("on_existing in ('overwrite', 'keep', 'fail', 'first')", name="import_on_existing"),
    )


class ImportPart(LinkerTable, table=True):
    """Some thousand rows of an import, up to `last_line`; the JSON in it is that of import_parts.py.

    `content`: what the rows ask for. `meant_*`: of those that named exactly one recording when the file was accepted,
    which; `first_*`: their links, if they are the first, not needed any more once the part is decided. `replaced`: line
    → the later line that names the same recording.
    `outcomes`: what became of the rows, once all of them are decided; `counts`: how many came to what, `need_a_look` of
    them to something that a person has to see to.
    """

    __tablename__ = "import_part"

    import_id: str = Field(primary_key=True, foreign_key="import.import_id")
    last_line: int = Field(primary_key=True)
    rows: int
    content: str
    meant_lines: list[int] | None = Field(sa_type=NUMBERS)
    meant_ids: list[str] | None = Field(sa_type=TEXTS)
    first_tickets: list[str] | None = Field(sa_type=TEXTS)
    first_ticket_ids: list[str] | None = Field(sa_type=TEXTS)
    first_shown: list[str] | None = Field(sa_type=TEXTS)
    replaced: dict[str, int] | None = Field(sa_type=JSON)
    outcomes: str | None
    counts: dict[str, int] | None = Field(sa_type=JSON)
    need_a_look: int | None

    __table_args__ = (
        Index("import_part_undecided", "import_id", "last_line", postgresql_where=text("outcomes is null")),
    )


class KeptUpload(LinkerTable, table=True):
    """A spreadsheet that was uploaded to be looked at before it is imported; see store_uploads.py."""

    __tablename__ = "upload"

    upload_id: str = Field(primary_key=True)
    filename: str
    sha256: str
    size_bytes: int = Field(sa_type=BIGINT)
    uploaded_at: datetime = Field(sa_type=MOMENT)


class UploadPart(LinkerTable, table=True):
    """A part of its content; `place` counts them from 0."""

    __tablename__ = "upload_part"

    upload_id: str = Field(primary_key=True, foreign_key="upload.upload_id", ondelete="CASCADE")
    place: int = Field(primary_key=True)
    content: bytes
