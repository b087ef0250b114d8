"""A large file is read by a process of its own, which says what a thread would."""

import os
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from services.linker.import_parts import Part
from services.linker.lines import Limits, SpreadsheetFile, Unreadable
from services.linker.read_beside import LARGE_BYTES, parts_of
from services.linker.read_parts import Order, read_parts

LIMITS = Limits(max_rows=1_000_000, max_unpacked_bytes=1_000_000, max_memory_bytes=500_000_000)
ROW = "R{0}.wav,T-{0},,Café \\ 测试 " + "x" * 90 + "\n"


def _order(folder: Path, content: str) -> Order:
    file = folder / "file"
    file.write_text(f"name,ticket_id,customer,agent\n{content}", encoding="utf-8")
    return Order(SpreadsheetFile(file, "tickets.csv"), LIMITS, {"recording_name": "name"}, "F1", 2_000)


async def _parts(order: Order) -> list[Part]:
    async with aclosing(parts_of(order)) as parts:
        return [part async for part in parts]


async def test_a_process_says_what_a_thread_would(tmp_path: Path) -> None:
    content = "".join(ROW.format(number) for number in range(LARGE_BYTES // 100)) + "R1.wav,,,\n" * 2_000
    order = _order(tmp_path, content)

    assert await _parts(order) == list(read_parts(order))


def test_a_process_that_reads_does_not_load_what_only_odd_rows_need() -> None:
    says = "import sys, services.linker.read_parts; print({'schemas', 'pydantic', 'sqlalchemy'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", says], capture_output=True, check=True).stdout == b"set()\n"


async def test_a_large_file_that_breaks_off_is_refused_with_its_line(tmp_path: Path) -> None:
    order = _order(tmp_path, ROW.format(1) * (LARGE_BYTES // 100) + '"not closed')

    with pytest.raises(Unreadable, match="line 10002: a quotation mark is not closed"):
        await _parts(order)


async def test_whoever_does_not_read_to_the_end_leaves_no_process(tmp_path: Path) -> None:
    order = _order(tmp_path, ROW.format(1) * (LARGE_BYTES // 20))

    async with aclosing(parts_of(order)) as parts:
        first = await anext(parts)
        meanwhile = _reading()

    assert first.rows == 2_000
    assert len(meanwhile) == 1
    assert _reading() == []


async def test_a_file_whose_reader_was_killed_is_refused_and_may_be_tried_again(tmp_path: Path) -> None:
    order = _order(tmp_path, ROW.format(1) * (LARGE_BYTES // 20))

    async with aclosing(parts_of(order)) as parts:
        await anext(parts)
        [reader] = _reading()
        os.kill(reader, signal.SIGKILL)
        with pytest.raises(Unreadable, match="ended by signal 9; nothing was imported: try it again"):
            async for _ in parts:
                pass


def _reading() -> list[int]:
    """Processes that read for this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it is over
        if parent == os.getpid() and b"services.linker.read_parts" in command:
            found.append(int(process.name))
    return found
