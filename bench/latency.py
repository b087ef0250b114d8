"""How long a single link takes when nothing else is going on, here and with a queue of jobs.

Links are made one by one by linker's API, each in a folder where nothing else goes on, while linker and cloud_updater
run; the time of each runs from the API's answer to the receiver's log. Celery's runs from when the queue has the job.
"""

import asyncio
import json
import statistics
import time

from bench.facts import linked, publish, transferred
from bench.peers.running import CELERY, HERE, Contender, job_of
from bench.reading import folded, received, seen
from bench.system import TOKEN, System, running_services
from schemas.events import RecordingTransferred

PAUSE_S = 0.03
WARM_UP = 20


async def latency(system: System, links: int) -> dict[str, float]:
    """Milliseconds from the API's answer until the receiver has the link."""
    answered: dict[str, float] = {}
    await seen(system, "again")
    async with running_services(system, ["linker", "cloud_updater"]):
        await publish(system.kafka_bootstrap_servers, transferred(links, run="rest", files_per_folder=1))
        for service in ("cloud_updater", "linker"):
            await folded(system, service, RecordingTransferred.__name__)
        for number in range(links):
            body = {"recording_id": f"rest-{number}", "ticket_info": {"ticket_id": f"rest-{number}"}}
            url = f"{system.service_urls['linker']}/links"
            answer = await system.http.post(url, json=body, headers={"Authorization": f"Bearer {TOKEN}"})
            answer.raise_for_status()
            answered[f"rest-{number}"] = time.time()
            await asyncio.sleep(PAUSE_S)
        await received(system, links)
    p50, p99 = await _percentiles(system, answered)
    return {"latency_p50_ms": p50, "latency_p99_ms": p99}


async def celery_latency(system: System, celery: Contender, links: int) -> dict[str, float]:
    """The same for a job per link."""
    records = list(linked(links, run="job"))
    taken: dict[str, float] = {}
    await seen(system, "again")
    async with celery.start(system, "latency") as running:
        enqueuing = await asyncio.create_subprocess_exec(
            str(CELERY.parent / "python"),
            str(HERE / "celery_enqueue.py"),
            "--one-by-one",
            env=running.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert enqueuing.stdin  # noqa: S101  # it was asked for
        assert enqueuing.stdout  # noqa: S101  # it was asked for
        for number, record in enumerate(records):
            enqueuing.stdin.write(f"{job_of(record)}\n".encode())
            await enqueuing.stdin.drain()
            taken[f"job-{number}"] = float(await enqueuing.stdout.readline())
            await asyncio.sleep(PAUSE_S)
        enqueuing.stdin.close()
        await enqueuing.wait()
        await received(system, links)
    p50, p99 = await _percentiles(system, taken)
    return {"celery_latency_p50_ms": p50, "celery_latency_p99_ms": p99}


async def _percentiles(system: System, began: dict[str, float]) -> tuple[float, float]:
    moments = json.loads((await system.http.get(f"{system.receiver_url}/moments")).content)
    # The first few find caches and connections cold.
    waits = [max(0.0, moments[one] - at) * 1000 for one, at in list(began.items())[WARM_UP:]]
    hundredths = statistics.quantiles(waits, n=100)
    return hundredths[49], hundredths[98]
