"""Reads the lines of a text file: its encoding and its delimiter are found by looking at it.

In: a file of any size. Out: its lines, read as they are asked for, so that memory does not grow with the file. Nothing
is guessed from statistics: a file is UTF-16 if it says so or every second byte is zero, else UTF-8 if all of it is
valid UTF-8, else Windows-1252. A wrong guess would turn a name into another name, and link a wrong recording.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from services.linker.lines import CELL_MAX_CHARS, Line, Lines, Unreadable

PREFERRED = ",;\t|"
# These stand in the names of columns, so they separate none.
NO_DELIMITERS = frozenset("\"'_-. #()/\\\r\n\ufeff\x00")
SAMPLE_BYTES = 65_536
CHUNK_BYTES = 1_048_576
NOT_IN_CP1252 = b"\x81\x8d\x8f\x90\x9d"


def text_lines(path: Path, *, fits: Callable[[list[str]], bool]) -> Lines:
    """The lines of the file. `fits` says whether a heading has the columns that are needed. Raises Unreadable."""
    encoding = encoding_of(path)
    with path.open(encoding=encoding, newline="") as text:
        try:
            sample = text.read(SAMPLE_BYTES)
            delimiter = delimiter_of(sample, fits=fits)
            text.seek(0)
            yield from _lines(text, delimiter)
        except UnicodeDecodeError as error:
            line = _first_undecodable(path, encoding)
            raise Unreadable(f"line {line}: the file is no valid {encoding.upper()} text") from error


def _lines(text: Iterable[str], delimiter: str) -> Lines:
    # The limit is one for all readers of the process, and this is the only place that reads CSV.
    csv.field_size_limit(CELL_MAX_CHARS)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    before = 0
    try:
        for cells in reader:
            if not (before == 0 and _names_delimiter(delimiter.join(cells))):
                yield Line(before + 1, cells)
            before = reader.line_num
    except csv.Error as error:
        raise Unreadable(f"line {before + 1}: {_in_words(error)}") from error


def _first_undecodable(path: Path, encoding: str) -> int:
    """The line on which a text that is broken is broken first."""
    with path.open(encoding=encoding, errors="replace") as text:
        return next((number for number, line in enumerate(text, start=1) if "\N{REPLACEMENT CHARACTER}" in line), 1)


def _in_words(error: csv.Error) -> str:
    words = str(error)
    if "field limit" in words:
        return f"a cell is longer than {CELL_MAX_CHARS:,} characters; is a quotation mark missing?"
    if "unexpected end" in words or "expected after" in words:
        return "a quotation mark is not closed, or closed in the middle of a cell"
    return words


def encoding_of(path: Path) -> str:
    """The encoding that all of the file is in, as Python calls it."""
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
        if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if sample[:2].count(0) == 1:
            zeros = sample[0::2].count(0), sample[1::2].count(0)
            if max(zeros) > len(sample) // 8:
                return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        file.seek(0)
        if _is_utf_8(file):
            return "utf-8-sig"
        file.seek(0)
        _check_cp1252(file)
    return "cp1252"


def _is_utf_8(file: io.BufferedReader) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(CHUNK_BYTES):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _check_cp1252(file: io.BufferedReader) -> None:
    line = 1
    while chunk := file.read(CHUNK_BYTES):
        found = [place for byte in NOT_IN_CP1252 if (place := chunk.find(byte)) >= 0]
        if found:
            line += chunk.count(b"\n", 0, min(found))
            raise Unreadable(f"line {line}: the file is neither UTF-8, UTF-16 nor Windows-1252 text")
        line += chunk.count(b"\n")


def delimiter_of(sample: str, *, fits: Callable[[list[str]], bool]) -> str:
    """What separates the columns: the first candidate with which the heading has the columns that are needed."""
    text = sample.removeprefix("\ufeff")
    first = next((line for line in text.splitlines() if line.strip(PREFERRED + " ")), "")
    if _names_delimiter(first):
        return first[4:5]
    others = sorted(
        {one for one in first if not one.isalnum() and one.isascii()} - NO_DELIMITERS, key=first.count, reverse=True
    )
    candidates = [*sorted(PREFERRED, key=first.count, reverse=True), *(one for one in others if one not in PREFERRED)]
    return next((one for one in candidates if fits(_heading(text, one))), candidates[0])


def _heading(text: str, delimiter: str) -> list[str]:
    csv.field_size_limit(CELL_MAX_CHARS)
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if any(cell.strip() for cell in cells):
                return cells
    except csv.Error:
        pass  # nothing that fits; reading the file with what is chosen then says where it is broken
    return []


def _names_delimiter(line: str) -> bool:
    """Spreadsheet programs may say it themselves: a first line such as sep=;"""
    return re.fullmatch(r'(?i:sep=)[^"\r\n]', line.rstrip("\r\n")) is not None
