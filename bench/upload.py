"""How many recordings a second are uploaded for the first time: RecordingProcessed in, RecordingTransferred out.

transfer runs alone, folders hold 100 recordings, and no recording waits for a ticket.
"""

import asyncio
import signal
import time

from bench.facts import processed, publish
from bench.reading import BEAT_S, folded, largest_mb
from bench.system import System, running_services, say, stopped
from schemas.events import RecordingProcessed, RecordingTransferred
from shared.topics import ends


async def upload(system: System, recordings: int) -> dict[str, float]:
    """Recordings a second until the last RecordingTransferred is on its topic, and transfer's largest memory in MB."""
    async with running_services(system, ["transfer"]):
        await publish(system.kafka_bootstrap_servers, processed(1, run="warm", requires_ticket=False))
        before = await _until(system, 1 + await _transferred(system))
        await folded(system, "transfer", RecordingProcessed.__name__)
        records = list(processed(recordings, run="upload", requires_ticket=False))
        stopped(system.pids["transfer"])
        await publish(system.kafka_bootstrap_servers, records)
        began_at = time.time()
        stopped(system.pids["transfer"], signal.SIGCONT)
        await _until(system, before + recordings)
        rate = recordings / (time.time() - began_at)
        memory = largest_mb(system.pids["transfer"])
    say(f"upload: {rate:,.0f} recordings/s")
    return {"upload_per_s": rate, "transfer_mb": memory}


async def _until(system: System, total: int) -> int:
    while (found := await _transferred(system)) < total:  # noqa: ASYNC110  # another process
        await asyncio.sleep(BEAT_S)
    return found


async def _transferred(system: System) -> int:
    return sum((await ends(system.kafka_bootstrap_servers, [RecordingTransferred.__name__])).values())
