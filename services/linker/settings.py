"""The settings that only linker has."""

from typing import Annotated

from pydantic import Field

from shared.settings import CommonSettings, DatabaseUrl


class LinkerSettings(CommonSettings):
    """See docs/settings.md."""

    linker_database_url: Annotated[
        DatabaseUrl, Field(description="Database of linker, as postgresql+asyncpg://user:password@host:port/database.")
    ]
    import_max_rows: int = Field(1_000_000, ge=1, description="Rows that one imported file may have at most.")
    import_max_unpacked_bytes: int = Field(
        1_000_000_000, gt=0, description="Bytes that an imported workbook may have when it is unpacked."
    )
    import_workbook_memory_bytes: int = Field(
        1_500_000_000, ge=300_000_000, description="Memory of the process that reads one workbook, in bytes."
    )
    uploads_max: int = Field(
        20, ge=1, le=1_000, description="Spreadsheets kept at a time that were uploaded to be looked at first."
    )
    upload_keep_s: float = Field(3_600.0, gt=0, le=604_800, description="Seconds that such a spreadsheet is kept.")
    parked_expire_after_days: float = Field(
        90.0,
        gt=0,
        le=36_500,
        description="Days after which a link that still waits for its recording is shown and counted as expired.",
    )
    import_lot_rows: int = Field(2_000, ge=1, le=10_000, description="Rows of an import that one transaction links.")
