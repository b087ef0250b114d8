"""How many recordings a second are uploaded for the first time: RecordingProcessed in, RecordingTransferred out.

    python -m bench.upload --recordings 50000

transfer runs alone, folders hold 100 recordings, and no recording waits for a ticket.
"""

import argparse
import asyncio
import signal
import statistics
import time

from bench.cpu import cpu_s
from bench.facts import processed, publish
from bench.reading import BEAT_S, folded, largest_mb, written
from bench.system import System, running_services, running_system, say, stopped
from schemas.events import RecordingProcessed, RecordingTransferred


async def upload(system: System, recordings: int, *, number: int) -> dict[str, float]:
    """Recordings a second until the last RecordingTransferred is on its topic, and what one costs, as medians of some
    times; and transfer's largest memory in MB.
    """
    async with running_services(system, ["transfer"]), written(system, RecordingTransferred.__name__) as transferred:

        async def until(total: int) -> None:
            while await transferred() < total:  # noqa: ASYNC110  # another process
                await asyncio.sleep(BEAT_S)

        total = await transferred() + 1
        await publish(system.kafka_bootstrap_servers, processed(1, run="warm", requires_ticket=False))
        await until(total)
        pids = {"transfer": system.pids["transfer"]}
        rates, costs = [], []
        for one in range(number):
            await folded(system, "transfer", RecordingProcessed.__name__, RecordingTransferred.__name__)
            records = list(processed(recordings, run=f"upload-{one}", requires_ticket=False))
            stopped(pids["transfer"])
            await publish(system.kafka_bootstrap_servers, records)
            total += recordings
            used, began_at = cpu_s(pids), time.time()
            stopped(pids["transfer"], signal.SIGCONT)
            await until(total)
            rates.append(recordings / (time.time() - began_at))
            costs.append({name: (seconds - used[name]) / recordings * 1e6 for name, seconds in cpu_s(pids).items()})
        memory = largest_mb(pids["transfer"])
    typical = {name: statistics.median(one[name] for one in costs) for name in costs[0]}
    each = ", ".join(f"{name} {us:.0f}" for name, us in typical.items())
    say(f"upload: {[round(one) for one in rates]} recordings/s; CPU of a recording, µs: {each}")
    return {
        "upload_per_s": statistics.median(rates),
        "transfer_mb": memory,
        **{f"upload_{name}_us": us for name, us in typical.items()},
    }


async def _alone(recordings: int, number: int) -> dict[str, float]:
    async with running_system() as system:
        return await upload(system, recordings, number=number)


def main() -> None:
    """Measure uploads alone."""
    parser = argparse.ArgumentParser(prog="python -m bench.upload", description="Measure uploads alone.")
    parser.add_argument("--recordings", type=int, default=50_000, help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="how often (default: %(default)s)")
    given = parser.parse_args()
    for name, value in asyncio.run(_alone(given.recordings, given.rounds)).items():
        print(f"{name:32} {value:12,.1f}")


if __name__ == "__main__":
    main()
