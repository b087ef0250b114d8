"""The state of everything, or of one folder: what the three services say, put together.

The linker hears every fact, so it alone says which recording is in which state; transfer and cloud_updater say why
something does not get on. They are asked before the linker, so that work which they had finished is never missing from
what the linker says.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args

from ops.addresses import Addresses, Service
from ops.answers import Blocked, State
from ops.answers.reading import Lag
from ops.answers.status import (
    BlockedRecording,
    BlockedRecordings,
    CloudUpdaterStatus,
    LaneState,
    LinkerStatus,
    TransferStatus,
)
from ops.exits import Unreachable
from ops.service_api import ServiceApi, api

# What is counted of the last minute, and the topic on which it is.
TOPIC_OF_COUNT = {"acknowledged": "CloudTicketUpdated", "uploaded": "RecordingTransferred"}


@dataclass(frozen=True)
class Overview:
    """What the services said at about the same time. `per_minute`: facts published within the last minute."""

    linker: LinkerStatus
    transfer: TransferStatus
    cloud_updater: CloudUpdaterStatus
    per_minute: Mapping[str, int] | None = None

    @property
    def lanes(self) -> Mapping[str, LaneState]:
        """By service, its way to the cloud."""
        return {"transfer": self.transfer.lane, "cloud-updater": self.cloud_updater.lane}

    @property
    def stopped_lanes(self) -> list[str]:
        """For each service that may not call the cloud now: which, why, and what lets it go on."""
        return [
            f"{service}: the way to the cloud is stopped: {lane.reason}, {lane.message}. "
            + (
                f"ticketsync resume {service}"
                if lane.reason == "paused"
                else "It goes on by itself once the cloud answers."
            )
            for service, lane in self.lanes.items()
            if not lane.open
        ]

    def as_json(self) -> dict[str, Any]:
        """The form that scripts read."""
        return {
            "recordings": self.linker.recordings,
            "states": {state: self.linker.states.get(state, 0) for state in get_args(State)},
            "blocked": {
                reason: self.transfer.blocked.get(reason, 0) + self.cloud_updater.blocked.get(reason, 0)
                for reason in get_args(Blocked)
            },
            "oldest_pending_at": self.linker.oldest_pending_at and self.linker.oldest_pending_at.isoformat(),
            "per_minute": self.per_minute,
            "lanes": {service: lane.model_dump(mode="json") for service, lane in self.lanes.items()},
            "parked": self.linker.parked,
            "parked_expired": self.linker.parked_expired,
            "dead_letters": (self.linker.dead_letters + self.transfer.dead_letters + self.cloud_updater.dead_letters),
        }


@dataclass(frozen=True)
class Services:
    """The APIs of all three services."""

    linker: ServiceApi
    transfer: ServiceApi
    cloud_updater: ServiceApi

    def by_name(self) -> dict[Service, ServiceApi]:
        """The same, by name."""
        return {"linker": self.linker, "transfer": self.transfer, "cloud_updater": self.cloud_updater}

    async def stopped_topics(self) -> list[str]:
        """For each topic that a service does not read on because too many records are bad: which, and why."""
        asked = self.by_name()
        answers = await asyncio.gather(*(one.readiness() for one in asked.values()))
        return [
            f"{service.replace('_', '-')}: {why}"
            for service, answer in zip(asked, answers, strict=True)
            for why in answer.stopped
        ]

    async def blocked(self, folder_id: str | None, *, limit: int) -> list[BlockedRecording]:
        """The first `limit` that each service names as blocked; those that need a person come first."""
        params = {"folder": folder_id, "limit": limit}
        answers = await asyncio.gather(
            self.transfer.get("/blocked", BlockedRecordings, params),
            self.cloud_updater.get("/blocked", BlockedRecordings, params),
        )
        found = [one for answer in answers for one in answer.items]
        return sorted(found, key=lambda one: one.reason == "retrying")[:limit]

    async def per_minute(self) -> Mapping[str, int] | None:
        """How many links were acknowledged and recordings uploaded within the last minute; None: Kafka says nothing.

        Counted on the topics, so it is of all copies of the services and of all folders.
        """
        try:
            lag = await self.linker.get("/lag", Lag)
        except Unreachable:
            return None
        return {
            count: sum(one.last_minute for one in lag.partitions if one.topic == topic)
            for count, topic in TOPIC_OF_COUNT.items()
        }

    async def overview(self, folder_id: str | None = None) -> Overview:
        """Of everything, or of one folder. Raises as ServiceApi does."""
        params = {"folder": folder_id}
        transfer, cloud_updater = await asyncio.gather(
            self.transfer.get("/status", TransferStatus, params),
            self.cloud_updater.get("/status", CloudUpdaterStatus, params),
        )
        linker = await self.linker.get("/status", LinkerStatus, params)
        return Overview(linker, transfer, cloud_updater)


@asynccontextmanager
async def services(addresses: Addresses) -> AsyncIterator[Services]:
    """All three services at their addresses."""
    async with (
        api(addresses, "linker") as linker,
        api(addresses, "transfer") as transfer,
        api(addresses, "cloud_updater") as cloud_updater,
    ):
        yield Services(linker, transfer, cloud_updater)
