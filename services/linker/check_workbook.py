"""Looks at an XLSX file before it is loaded: a few kilobytes of ZIP can hold more than any machine has.

In: the file. Out: nothing, or Unreadable with the reason. Checked are the number of entries, what each claims to be
when unpacked and how far that is from its packed size, and that no XML part declares a document type or an entity.
What is declared is believed no further than it is read: the sizes are counted while the parts are unpacked.
"""

import zipfile
import zlib
from pathlib import Path

from services.linker.lines import Unreadable

ENTRIES_MAX = 10_000
# A sheet of 100,000 equal rows was seen to reach 12; deflate's own limit, which bombs are near to, is 1,032.
RATIO_MAX = 250
RATIO_FROM_BYTES = 1_000_000
CHUNK_BYTES = 1_048_576
LONGEST_WORD = 16
FORBIDDEN = (b"<!doctype", b"<!entity")


def check_workbook(path: Path, *, max_unpacked_bytes: int) -> None:
    """Raises Unreadable if the file is no XLSX workbook that can be loaded without harm."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > ENTRIES_MAX:
                raise Unreadable(f"the workbook has {len(entries):,} entries; at most {ENTRIES_MAX:,} are read")
            if "xl/workbook.xml" not in archive.namelist():
                raise Unreadable("the file is a ZIP archive but no XLSX workbook")
            _check_sizes(entries, max_unpacked_bytes)
            for entry in entries:
                if entry.filename.lower().endswith((".xml", ".rels", ".vml")):
                    _check_xml(archive, entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        if "password" in str(error):
            raise Unreadable("the workbook is encrypted; save it without a password") from error
        raise Unreadable("the workbook is damaged: it cannot be unpacked") from error


def _check_sizes(entries: list[zipfile.ZipInfo], max_unpacked_bytes: int) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max_unpacked_bytes:
        raise Unreadable(
            f"the workbook has {unpacked:,} bytes when unpacked; at most {max_unpacked_bytes:,} are read "
            "(IMPORT_MAX_UNPACKED_BYTES)"
        )
    for entry in entries:
        if entry.file_size > RATIO_FROM_BYTES and entry.file_size > RATIO_MAX * max(entry.compress_size, 1):
            raise Unreadable(
                f"the workbook's part {entry.filename[:100]} unpacks to more than {RATIO_MAX} times its size, "
                "as a zip bomb does"
            )


def _check_xml(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    before = b""
    with archive.open(entry) as part:
        while chunk := part.read(CHUNK_BYTES):
            # Without zeros UTF-16 reads like ASCII.
            text = before + chunk.replace(b"\0", b"").lower()
            if any(word in text for word in FORBIDDEN):
                raise Unreadable(f"the workbook's part {entry.filename[:100]} declares XML entities or a document type")
            before = text[-LONGEST_WORD:]
