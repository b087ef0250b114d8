"""The people and programs outside of the containers: another service, an operator, and who looks into the cloud."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer

from tests.docker.containers import Containers, Json

TICKETSYNC = str(Path(sys.executable).with_name("ticketsync"))
FOLDERS_IN_CLOUD = """
import os, urllib.request
request = urllib.request.Request("http://127.0.0.1:8090/emulator/folders")
request.add_header("Authorization", "Bearer " + os.environ["CLOUDS_TOKEN"])
print(urllib.request.urlopen(request).read().decode())
"""


class Outside:
    """Reaches the containers by their published ports alone."""

    def __init__(self, containers: Containers, settings: Mapping[str, str]) -> None:
        self._containers = containers
        self.settings = settings
        self.kafka_bootstrap_servers = f"127.0.0.1:{settings['KAFKA_PORT']}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers,
            "API_TOKEN": settings["API_TOKEN"],
            "LINKER_URL": containers.urls("linker", 8081)[0],
            "TRANSFER_URL": containers.urls("transfer", 8082)[0],
            "CLOUD_UPDATER_URL": containers.urls("cloud_updater", 8083)[0],
        }

    async def publish(self, events: Sequence[Json]) -> None:
        """As any other service: key = recording_id, plain JSON, no header."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka_bootstrap_servers) as producer:
            for event in events:
                await producer.send(
                    "RecordingProcessed", json.dumps(event).encode(), key=event["recording_id"].encode()
                )
            await producer.flush()

    def link(self, tickets: Mapping[str, str]) -> None:
        """Through linker's API: recording_id → ticket_id."""
        headers = {"Authorization": f"Bearer {self._environment['API_TOKEN']}"}
        with httpx.Client(
            base_url=self._environment["LINKER_URL"], headers=headers, timeout=30, trust_env=False
        ) as linker:
            for recording_id, ticket_id in tickets.items():
                body = {"recording_id": recording_id, "ticket_info": {"ticket_id": ticket_id}}
                answer = linker.post("/links", json=body)
                assert answer.is_success, answer.text

    def settled(self) -> Json:
        """What `ticketsync status --wait settled` on this machine says; it must end well."""
        command = [TICKETSYNC, "status", "--wait", "settled", "--timeout", "90", "--json"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr, self._containers.words())
        status: Json = json.loads(done.stdout)
        return status

    def readiness_of_cloud_updaters(self) -> list[Json]:
        """What each copy says of itself."""
        urls = self._containers.urls("cloud_updater", 8083)
        return [httpx.get(f"{url}/readyz", timeout=10, trust_env=False).json() for url in urls]

    def tickets_in_cloud(self) -> dict[str, str | None]:
        """filename → ticket_id of everything in the cloud, which the emulator tells only its own container."""
        answer = self._containers.execute("cloud_emulator", "python", "-c", FOLDERS_IN_CLOUD)
        assert answer.returncode == 0, answer.stderr
        return {
            file["filename"]: (file.get("ticket_info") or {}).get("ticket_id")
            for folder in json.loads(answer.stdout)["folders"]
            for file in folder["files"]
        }
