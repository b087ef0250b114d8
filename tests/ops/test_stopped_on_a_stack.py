"""A topic that is not read on, because most of what comes cannot be applied, is seen by everybody who looks."""

import asyncio

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from tests.ops.on_a_stack import Stack
from tests.pipeline.running import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

WHY = "RecordingProcessed is not read on: "
NEXT_STEP = "DEAD_LETTER_LIMIT_PERCENT=100"


async def _publish(servers: str, *, number: int) -> None:
    """To one partition, as a publisher that was given another format."""
    async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=50) as producer:
        sent = [
            await producer.send("RecordingProcessed", b'{"id": 1}', key=b"%d" % n, partition=0) for n in range(number)
        ]
        await asyncio.gather(*sent)


def test_readiness_doctor_status_metrics_and_log_say_why_and_what_to_do(stack: Stack) -> None:
    def stopped() -> bool:
        return bool(httpx.get(f"{stack.addresses['linker_url']}/readyz", trust_env=False).json()["stopped"])

    assert stack("doctor").code == 0
    asyncio.run(_publish(stack.addresses["kafka_bootstrap_servers"], number=400))
    eventually(stopped)

    ready = httpx.get(f"{stack.addresses['linker_url']}/readyz", trust_env=False)
    doctor, status = stack("doctor", "--json"), stack("status", "--json")
    said = stack("status").err
    metrics = httpx.get(f"{stack.addresses['linker_url']}/metrics", trust_env=False).text
    log = (stack.data_dir / "logs" / "linker.log").read_text()
    assert ready.status_code == 503
    [why] = ready.json()["stopped"]
    assert why.startswith(WHY)
    assert why.endswith(NEXT_STEP)
    assert doctor.code == 1
    found = {check["name"]: check["found"] for check in doctor.json["checks"]}
    assert found["linker"].startswith(WHY)
    assert found["cloud-updater"] == "ready"
    assert {one.partition(":")[0] for one in status.json["stopped_topics"]} <= {"linker", "transfer"}
    assert f"linker: {WHY}" in " ".join(said.split())
    assert 'ticketsync_topic_stopped{topic="RecordingProcessed"} 1.0' in metrics
    assert [line for line in log.splitlines() if '"level": "error"' in line and WHY in line]
    assert status.json["dead_letters"] < 200
