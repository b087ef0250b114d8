"""An announcer of linker that stops itself (SIGSTOP) between reading a link and publishing it, once.

Run as a process: `python -m tests.pipeline.late_announcer DATABASE_URL KAFKA`. It holds the announcer's lease until it
has something to publish, so that no other process is faster; it ends when it has published.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from uuid import uuid4

from services.linker import announce_links
from shared import lease
from shared.announce import LEASE_S, Announcer
from shared.database import Database
from shared.gate import Gate
from shared.kafka import plain
from shared.producer import Outgoing, Producer
from shared.topics import ends

NAME = "announce_links"


class _StopsFirst(Producer):
    async def publish(self, records: Sequence[Outgoing]) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        await super().publish(records)
        raise SystemExit


async def main(database_url: str, kafka: str) -> None:
    database = Database(database_url)

    async def own_ends() -> dict[tuple[str, int], int]:
        return await ends(kafka, ["TicketLinked"])

    gate = Gate(database, ["TicketLinked"], own_ends)
    opening = asyncio.create_task(gate.keep())
    await gate.wait_open()
    producer = _StopsFirst(plain(kafka), client_id="late")
    token = uuid4()
    announcer = Announcer(
        NAME, database, gate, producer, announce_links.unheard, announce_links.facts, again_s=30, _token=token
    )
    print("holding", flush=True)
    while True:
        async with database.transaction() as connection:
            await lease.take(connection, NAME, token, seconds=LEASE_S)
        await announcer.step()
        await asyncio.sleep(0.05)
        assert not opening.done()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
