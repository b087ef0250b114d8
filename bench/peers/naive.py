"""The peer without a queue of its own: FastStream on Kafka, one call of a handler and one request per link.

Run as `python -m bench.peers.naive TOPIC`. Offsets are committed in the background, its fastest way, which loses links
in a crash.
"""

import os
import sys
from typing import Any

import httpx
import uvloop
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker

broker = KafkaBroker(os.environ["KAFKA_BOOTSTRAP_SERVERS"], logger=None)
cloud = httpx.AsyncClient(
    base_url=f"{os.environ['CLOUDS_URL']}/api/external/v1",
    trust_env=False,
    headers={"Authorization": "Bearer bench", "Accept": "application/json"},
)


@broker.subscriber(sys.argv[1], group_id="naive", ack_policy=AckPolicy.ACK_FIRST, auto_offset_reset="earliest")
async def push_link(link: dict[str, Any]) -> None:
    """Tell the cloud the ticket of one recording."""
    body = {"files": [{"filename": link["filename"], "ticket_info": link["ticket_info"]}]}
    answer = await cloud.post(f"/recording/update-ticket/{link['folder_id']}", json=body)
    answer.raise_for_status()


if __name__ == "__main__":
    uvloop.run(FastStream(broker, logger=None).run())
