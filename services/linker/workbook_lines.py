"""Reads the lines of a workbook (XLSX, XLS) through a process of its own, which turns one sheet into CSV.

A workbook has to be unpacked into memory to be read, and a few kilobytes can unpack to more than any machine has. The
process has limits on memory, time and what it writes; whatever happens to it, the service only loses that file. What it
wrote is then read like any text, so the service's own memory does not grow with the workbook.
"""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from services.linker.lines import CELL_MAX_CHARS, Limits, Line, Lines, SpreadsheetFile, Unreadable

TIME_LIMIT_S = 60.0
EXIT_UNREADABLE = 3
MESSAGE_MAX_BYTES = 2_000


def workbook_lines(file: SpreadsheetFile, limits: Limits) -> Lines:
    """The lines of one sheet. Raises Unreadable."""
    with TemporaryDirectory(prefix="ticketsync-workbook-") as folder:
        target = Path(folder, "sheet.csv")
        _unpack(file, target, limits)
        csv.field_size_limit(CELL_MAX_CHARS)
        with target.open(encoding="utf-8", newline="") as text:
            for number, *cells in csv.reader(text):
                yield Line(int(number), cells)


def _unpack(file: SpreadsheetFile, target: Path, limits: Limits) -> None:
    command = [sys.executable, "-m", "services.linker.unpack_workbook", str(file.path), str(target)]
    command += [str(limits.max_unpacked_bytes), str(limits.max_memory_bytes)]
    command += [file.sheet] if file.sheet is not None else []
    # Only what Python needs to find its modules: the workbook is a stranger's, and the environment holds secrets.
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
    try:
        ended = subprocess.run(
            command, capture_output=True, check=False, timeout=TIME_LIMIT_S, env=environment, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Unreadable(f"the workbook takes longer than {TIME_LIMIT_S:g} s to be read; send it as CSV") from None
    if ended.returncode == EXIT_UNREADABLE:
        raise Unreadable(ended.stdout[:MESSAGE_MAX_BYTES].decode(errors="replace"))
    if ended.returncode == -signal.SIGXCPU:
        raise Unreadable("the workbook takes too long to be read; send it as CSV")
    if ended.returncode:
        raise Unreadable(
            "the workbook is damaged, or needs more memory to be unpacked than "
            f"{limits.max_memory_bytes:,} bytes (IMPORT_WORKBOOK_MEMORY_BYTES); send it as CSV"
        )
