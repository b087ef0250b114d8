"""The state of everything, or of one folder: what the three services say, put together.

The linker hears every fact, so it alone says which recording is in which state; transfer and cloud_updater say why
something does not get on. They are asked before the linker, so that work which they had finished is never missing from
what the linker says. Of a service that does not answer nothing is known, and nothing is made up (ops/heard.py).
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
from ops.heard import Heard, total
from ops.service_api import ServiceApi, api

# What is counted of the last minute, and the topic on which it is.
TOPIC_OF_COUNT = {"acknowledged": "CloudTicketUpdated", "uploaded": "RecordingTransferred"}


def goes_on(service: str, reason: str | None) -> str:
    """What lets a stopped way to the cloud go on."""
    match reason:
        case "paused":
            return f"ticketsync resume {service}"
        case "unauthorized":
            return "It goes on by itself once CLOUDS_TOKEN, or the file of CLOUDS_TOKEN_FILE, holds a good token."
        case _:
            return "It goes on by itself once the cloud answers."


def stopped(service: str, lane: LaneState) -> str:
    """That a service may not call the cloud now, why, and what lets it go on."""
    return f"{service}: the way to the cloud is stopped: {lane.reason}, {lane.message}. {goes_on(service, lane.reason)}"


@dataclass(frozen=True)
class Overview:
    """What the services said at about the same time; None: it did not answer. `per_minute`: facts published within the
    last minute.
    """

    linker: LinkerStatus | None
    transfer: TransferStatus | None
    cloud_updater: CloudUpdaterStatus | None
    per_minute: Mapping[str, int] | None = None

    @property
    def lanes(self) -> Mapping[str, LaneState | None]:
        """By service, its way to the cloud; None: unknown."""
        return {
            "transfer": self.transfer.lane if self.transfer else None,
            "cloud-updater": self.cloud_updater.lane if self.cloud_updater else None,
        }

    @property
    def stopped_lanes(self) -> list[str]:
        """For each service that may not call the cloud now: which, why, and what lets it go on."""
        return [stopped(service, lane) for service, lane in self.lanes.items() if lane and not lane.open]

    def as_json(self) -> dict[str, Any]:
        """The form that scripts read; what is unknown is null."""
        linker, transfer, cloud_updater = self.linker, self.transfer, self.cloud_updater
        oldest = linker and linker.oldest_pending_at
        return {
            "recordings": linker and linker.recordings,
            "states": {state: linker and linker.states.get(state, 0) for state in get_args(State)},
            "blocked": {
                reason: total(*(said.blocked.get(reason, 0) if said else None for said in (transfer, cloud_updater)))
                for reason in get_args(Blocked)
            },
            "oldest_pending_at": oldest and oldest.isoformat(),
            "per_minute": self.per_minute,
            "lanes": {service: lane and lane.model_dump(mode="json") for service, lane in self.lanes.items()},
            "parked": linker and linker.parked,
            "parked_expired": linker and linker.parked_expired,
            "dead_letters": total(*(said.dead_letters if said else None for said in (linker, transfer, cloud_updater))),
        }


@dataclass(frozen=True)
class Whole(Overview):
    """All three have answered."""

    linker: LinkerStatus
    transfer: TransferStatus
    cloud_updater: CloudUpdaterStatus


@dataclass(frozen=True)
class Services:
    """The APIs of all three services."""

    linker: ServiceApi
    transfer: ServiceApi
    cloud_updater: ServiceApi

    def by_name(self) -> dict[Service, ServiceApi]:
        """The same, by name."""
        return {"linker": self.linker, "transfer": self.transfer, "cloud_updater": self.cloud_updater}

    async def stopped_topics(self, heard: Heard) -> list[str]:
        """For each topic that a service does not read on because too many records are bad: which, and why."""
        asked = self.by_name().values()
        answers = await asyncio.gather(*(heard.said(one, one.readiness()) for one in asked))
        return [
            f"{one.service}: {why}"
            for one, answer in zip(asked, answers, strict=True)
            if answer
            for why in answer.stopped
        ]

    async def blocked(self, heard: Heard, folder_id: str | None, *, limit: int) -> list[BlockedRecording]:
        """The first `limit` that each service names as blocked; those that need a person come first."""
        params = {"folder": folder_id, "limit": limit}
        answers = await asyncio.gather(
            *(
                heard.said(one, one.get("/blocked", BlockedRecordings, params))
                for one in (self.transfer, self.cloud_updater)
            )
        )
        found = [one for answer in answers if answer for one in answer.items]
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

    async def overview(self, heard: Heard, folder_id: str | None = None) -> Overview:
        """Of everything, or of one folder, as far as the services answer."""
        transfer, cloud_updater = await asyncio.gather(
            heard.said(self.transfer, self._transfer_status(folder_id)),
            heard.said(self.cloud_updater, self._cloud_updater_status(folder_id)),
        )
        return Overview(await heard.said(self.linker, self._linker_status(folder_id)), transfer, cloud_updater)

    async def whole(self, folder_id: str | None = None) -> Whole:
        """The same of all three. Raises as ServiceApi does."""
        transfer, cloud_updater = await asyncio.gather(
            self._transfer_status(folder_id), self._cloud_updater_status(folder_id)
        )
        return Whole(await self._linker_status(folder_id), transfer, cloud_updater)

    async def _linker_status(self, folder_id: str | None) -> LinkerStatus:
        return await self.linker.get("/status", LinkerStatus, {"folder": folder_id})

    async def _transfer_status(self, folder_id: str | None) -> TransferStatus:
        return await self.transfer.get("/status", TransferStatus, {"folder": folder_id})

    async def _cloud_updater_status(self, folder_id: str | None) -> CloudUpdaterStatus:
        return await self.cloud_updater.get("/status", CloudUpdaterStatus, {"folder": folder_id})


@asynccontextmanager
async def services(addresses: Addresses) -> AsyncIterator[Services]:
    """All three services at their addresses."""
    async with (
        api(addresses, "linker") as linker,
        api(addresses, "transfer") as transfer,
        api(addresses, "cloud_updater") as cloud_updater,
    ):
        yield Services(linker, transfer, cloud_updater)
