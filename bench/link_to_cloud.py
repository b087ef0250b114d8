"""How many links a second reach the cloud, and how long a single one takes when nothing else is going on.

Throughput: TicketLinked events for recordings that are in the cloud already are published as fast as Kafka takes them;
the time runs from the first of them until the receiver has the last. cloud_updater runs alone, as the consumers it is
compared with do. Latency: links are made one by one by linker's API, each in a folder where nothing else goes on, while
linker and cloud_updater run; the time of each runs from the API's answer to the receiver's log.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterable
from itertools import islice

from bench.facts import FILES_PER_FOLDER, linked, transferred
from bench.system import TOKEN, System, running_system
from shared.kafka import plain
from shared.producer import Outgoing, Producer
from shared.topics import ends

LOT = 5_000
PAUSE_S = 0.03


async def throughput(links: int, *, rounds: int) -> dict[str, float]:
    """Median links/s over `rounds`, and the requests that the last round took."""
    rates, requests = [], 0.0
    async with running_system(["cloud_updater"]) as system:
        for number in range(rounds):
            run = f"round{number}"
            await publish(system, transferred(links, run=run))
            await folded(system, "cloud_updater", "RecordingTransferred")
            before = await _seen(system)
            # Made beforehand: the load's own making is no part of what is measured.
            records = list(linked(links, run=run))
            began_at = time.time()
            publishing = asyncio.create_task(publish(system, records))
            while (seen := await _seen(system))["files"] < before["files"] + links:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await publishing
            rates.append(links / (seen["last_at"] - began_at))
            requests = seen["requests"] - before["requests"]
            print(f"round {number + 1}: {rates[-1]:,.0f} links/s in {requests:,.0f} requests", file=sys.stderr)
    return {
        "link_to_cloud_per_s": statistics.median(rates),
        "requests": requests,
        "requests_ratio": requests / (links / FILES_PER_FOLDER),
    }


async def latency(links: int) -> dict[str, float]:
    """Milliseconds from the API's answer until the receiver has the link."""
    answered: dict[str, float] = {}
    async with running_system(["linker", "cloud_updater"]) as system:
        await publish(system, transferred(links, run="rest", files_per_folder=1))
        await folded(system, "cloud_updater", "RecordingTransferred")
        await folded(system, "linker", "RecordingTransferred")
        for number in range(links):
            body = {"recording_id": f"rest-{number}", "ticket_info": {"ticket_id": f"rest-{number}"}}
            url = f"{system.service_urls['linker']}/links"
            answer = await system.http.post(url, json=body, headers={"Authorization": f"Bearer {TOKEN}"})
            answer.raise_for_status()
            answered[f"rest-{number}"] = time.time()
            await asyncio.sleep(PAUSE_S)
        moments: dict[str, float] = {}
        while len(moments) < links:
            moments = (await system.http.get(f"{system.receiver_url}/moments")).json()
    waits = [max(0.0, moments[one] - at) * 1000 for one, at in answered.items()]
    hundredths = statistics.quantiles(waits, n=100)
    return {"latency_p50_ms": hundredths[49], "latency_p99_ms": hundredths[98]}


async def publish(system: System, records: Iterable[Outgoing]) -> None:
    """Give the records to Kafka, a lot at a time."""
    producer = Producer(plain(system.kafka_bootstrap_servers), client_id="bench")
    remaining = iter(records)
    while lot := list(islice(remaining, LOT)):
        await producer.publish(lot)
    await producer.close()


async def folded(system: System, service: str, topic: str) -> None:
    """Wait until the service has folded the topic up to where it ends now."""
    targets = await ends(system.kafka_bootstrap_servers, [topic])
    url = f"{system.service_urls[service]}/positions"
    while True:
        answer = (await system.http.get(url, headers={"Authorization": f"Bearer {TOKEN}"})).json()
        folded = {(one["topic"], one["partition"]): one["next_offset"] for one in answer["positions"]}
        if all(folded.get(partition, 0) >= end for partition, end in targets.items()):
            break
        await asyncio.sleep(0.1)


async def _seen(system: System) -> dict[str, float]:
    seen: dict[str, float] = (await system.http.get(f"{system.receiver_url}/seen")).json()
    return seen
