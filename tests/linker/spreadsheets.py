"""Spreadsheets for tests: written with a library where it can, by hand where no library would write such a thing."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from string import ascii_uppercase
from tempfile import TemporaryDirectory

import xlsxwriter

from services.linker.lines import Limits, SpreadsheetFile
from services.linker.read_row import Row
from services.linker.read_spreadsheet import read_rows

MEGABYTES = 1_000_000
# The parts without which nobody takes a ZIP archive for a workbook.
PARTS = {
    "[Content_Types].xml": """<?xml version="1.0"?>
        <Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
        <Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
        <Default Extension="xml" ContentType="application/xml"/></Types>""",
    "_rels/.rels": """<?xml version="1.0"?>
        <Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1"
        Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
        Target="xl/workbook.xml"/></Relationships>""",
    "xl/workbook.xml": """<?xml version="1.0"?>
        <workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>
        <sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>""",
    "xl/_rels/workbook.xml.rels": """<?xml version="1.0"?>
        <Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1"
        Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"
        Target="worksheets/sheet1.xml"/></Relationships>""",
}


def read(
    content: bytes | str,
    filename: str = "tickets.csv",
    *,
    sheet: str | None = None,
    given: Mapping[str, str] | None = None,
    max_rows: int = 100,
    max_unpacked_bytes: int = 100 * MEGABYTES,
) -> list[Row]:
    """The rows of a file with this content."""
    limits = Limits(max_rows=max_rows, max_unpacked_bytes=max_unpacked_bytes, max_memory_bytes=1_000 * MEGABYTES)
    with TemporaryDirectory() as folder:
        path = Path(folder, "upload")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_rows(SpreadsheetFile(path, filename, sheet), limits, given=given))


def workbook(sheets: Mapping[str, Iterable[Sequence[object]]], *, hidden: str | None = None) -> bytes:
    """An XLSX workbook; of a text that begins with = a formula is made."""
    written = io.BytesIO()
    with xlsxwriter.Workbook(written, {"in_memory": True, "default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            if name == hidden:
                sheet.hide()
            elif sheet.get_name() != next(iter(sheets)):
                sheet.activate()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return written.getvalue()


def raw_workbook(sheet: str, *, more: Mapping[str, bytes] | None = None) -> bytes:
    """A workbook of one sheet whose XML is written as it is given, with more parts beside it."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in PARTS.items():
            archive.writestr(name, text)
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return written.getvalue()


def sheet_xml(*cells: tuple[str, str]) -> str:
    """The XML of a sheet, its cells given as (place, text), row by row."""
    rows = ""
    for number, row in groupby(cells, key=lambda cell: cell[0].lstrip(ascii_uppercase)):
        written = "".join(f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>' for place, text in row)
        rows += f'<row r="{number}">{written}</row>'
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<?xml version="1.0"?><worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>'
