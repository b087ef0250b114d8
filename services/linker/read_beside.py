"""Reads a spreadsheet beside the service: a small one in a thread, a large one in a process of its own.

Python runs one thread at a time, and to read a row takes as long as all that is done about it afterwards; the process
reads on while this one has the parts stored. To start it takes a tenth of a second, so it has to be worth that. It
gets none of linker's environment but the path of its modules, and ends with whoever reads from it.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator
from typing import cast

from services.linker.import_parts import Part
from services.linker.lines import Unreadable
from services.linker.read_parts import LENGTH, Order, order_as_json, part_from_json, read_parts

LARGE_BYTES = 1_000_000
READ_AHEAD_BYTES = 1_000_000


async def parts_of(order: Order) -> AsyncGenerator[Part, None]:
    """The parts of the file. Raises Unreadable. To be closed by whoever does not read to the end."""
    size_bytes = (await asyncio.to_thread(order.file.path.stat)).st_size
    parts = _in_a_thread(order) if size_bytes < LARGE_BYTES else _in_a_process(order)
    try:
        async for part in parts:
            yield part
    finally:
        await parts.aclose()


async def _in_a_thread(order: Order) -> AsyncGenerator[Part, None]:
    parts = await asyncio.to_thread(read_parts, order)
    while part := await asyncio.to_thread(next, parts, None):
        yield part


async def _in_a_process(order: Order) -> AsyncGenerator[Part, None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.linker.read_parts", order_as_json(order)),
        stdin=DEVNULL,
        stdout=PIPE,
        env={name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ},
        limit=READ_AHEAD_BYTES,
    )
    try:
        told = cast("asyncio.StreamReader", process.stdout)
        while said := await told.readexactly(*LENGTH.unpack(await told.readexactly(LENGTH.size))):
            yield part_from_json(said)
    except asyncio.IncompleteReadError:
        if (code := await process.wait()) >= 0:
            raise
        # By whoever ends what takes too much memory, for one: nothing is wrong here, and perhaps not with the file.
        raise Unreadable(f"what read it was ended by signal {-code}; nothing was imported: try it again") from None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
