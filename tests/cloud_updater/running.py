"""cloud_updater without Kafka: its genuine tables, folds and steps, and a genuine emulator at the other end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
from aiokafka import TopicPartition
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated, Event, RecordingTransferred, TicketLinked, TicketSyncRequested
from schemas.topics import TOPICS
from services.cloud_updater import announce_updates, seen
from services.cloud_updater.api import routes
from services.cloud_updater.claims import Claimed, Claims
from services.cloud_updater.expand_resyncs import ExpandResyncs
from services.cloud_updater.ledgers import Quiet
from services.cloud_updater.on_cloud_ticket_updated import fold_cloud_ticket_updated, new_acknowledgements
from services.cloud_updater.on_recording_transferred import fold_recording_transferred, new_transfers
from services.cloud_updater.on_ticket_linked import fold_ticket_linked, new_links
from services.cloud_updater.on_ticket_sync_requested import fold_ticket_sync_requested
from services.cloud_updater.predicates import ACKNOWLEDGED_LINK, ACKNOWLEDGED_TRANSFER
from services.cloud_updater.push_again import PushAgain
from services.cloud_updater.push_tickets import PushTickets
from services.cloud_updater.pushes import Pushes
from services.cloud_updater.settings import CloudUpdaterSettings
from shared.batch import Apply, Folded, News, fold_records
from shared.cloud import Cloud, CloudSettings, token_reader
from shared.database import Database
from shared.gate import Gate
from shared.lane import Lane
from shared.reading import read
from shared.web import build
from tests.cloud_updater.given import a_transfer, records_of
from tests.emulator.running import TOKEN, Emulator, Json, a_file

Rows = list[dict[str, Any]]
ONE_BATCH = Quiet(0, 0)
NEWS: Mapping[type[Event], News] = {
    TicketLinked: new_links,
    RecordingTransferred: new_transfers,
    CloudTicketUpdated: new_acknowledgements,
}


@dataclass(frozen=True)
class Updater:
    """One process of the service, driven step by step. Without quiet time: what is folded is due."""

    settings: CloudUpdaterSettings
    database: Database
    gate: Gate
    lane: Lane
    pushing: PushTickets
    again: PushAgain
    expanding: ExpandResyncs

    async def fold(self, *events: Event, quiet: Quiet = ONE_BATCH, appended_at: datetime | None = None) -> Folded:
        """Fold events of one kind as one batch, as the consumer would."""
        async with self.database.transaction() as connection:
            return await self.fold_in(connection, *events, quiet=quiet, appended_at=appended_at)

    async def fold_in(
        self, connection: AsyncConnection, *events: Event, quiet: Quiet = ONE_BATCH, appended_at: datetime | None = None
    ) -> Folded:
        """The same within a transaction that the test ends."""
        topic = next(topic for topic in TOPICS if topic.event is type(events[0]))
        applied: Mapping[type[Event], Apply] = {
            TicketLinked: partial(fold_ticket_linked, quiet=quiet),
            RecordingTransferred: partial(fold_recording_transferred, quiet=quiet),
            CloudTicketUpdated: fold_cloud_ticket_updated,
            TicketSyncRequested: fold_ticket_sync_requested,
        }
        records = records_of(*events, appended_at=appended_at)
        kind = type(events[0])
        batch = await read(topic, records, skimmed=kind in NEWS)
        return await fold_records(connection, batch, apply=applied[kind], news=NEWS.get(kind))

    async def push(self, *, steps_max: int = 100) -> None:
        """Step until no folder is due."""
        for _ in range(steps_max):
            if await self.pushing.step() != 0:
                return
        raise AssertionError(f"more to do after {steps_max} steps")

    async def claim_without_sending(self, *, requests: int = 1) -> Claimed:
        """As a worker that dies, or hangs, right after its claim."""
        async with self.database.transaction() as connection:
            claims = Claims(connection)
            lease_s = self.settings.lease_s
            (claimed,) = await claims.claim(uuid4(), lease_s=lease_s, with_versions=False, requests=requests)
            await claims.note(claimed)
        return claimed

    async def resync(self, *events: Event) -> None:
        """Fold the requests and carry them out."""
        await self.fold(*events)
        while await self.expanding.step() == 0:
            pass

    async def hear(self) -> Rows:
        """Announce what is to be announced and fold it, as if it had come back on the topic. Returns the facts."""
        async with self.database.transaction() as connection:
            lot = await announce_updates.next_lot(connection)
            if lot is None:
                return []
            await lot.mark(connection)
        events = [CloudTicketUpdated.model_validate_json(record.value) for record in lot.records]
        if events:
            await self.fold(*events)
        return [event.model_dump(exclude={"updated_at"}) for event in events]

    async def push_and_hear(self) -> None:
        await self.push()
        await self.hear()

    async def blocked(self) -> dict[str, int]:
        """Recordings by the reason that blocks them; only reasons that there are."""
        async with self.database.transaction() as connection:
            lane = await self.lane.look(connection)
            found = await seen.blocked(connection, folder_id=None, shut=lane.reason is not None)
        return {reason: count for reason, count in found.items() if count}

    async def owed(self) -> int:
        async with self.database.transaction() as connection:
            return await seen.owed(connection, folder_id=None)

    async def acknowledged(self, *recording_ids: str) -> dict[str, tuple[int, int]]:
        """Recording → the newest acknowledgement (transfer_version, link_version) that is announced or was heard."""
        rows = await self.rows(
            f"""
                select r.recording_id, {ACKNOWLEDGED_TRANSFER} as transfer_version, {ACKNOWLEDGED_LINK} as link_version
                from recording r left join ledger l using (clouds_uuid) where r.recording_id = any(:ids)
            """,
            ids=list(recording_ids),
        )
        return {row["recording_id"]: (row["transfer_version"], row["link_version"]) for row in rows}

    def api(self) -> httpx.AsyncClient:
        """A client of the HTTP API."""

        async def ready() -> dict[str, object]:
            return {"ready": True}

        router = routes(self, self.lane)  # type: ignore[arg-type]  # as much of a service as the routes need
        app = build(title="test", api_token="token", router=router, readiness=ready, max_request_bytes=1_000_000)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://cloud-updater",
            headers={"Authorization": "Bearer token"},
        )

    async def rows(self, sql: str, **parameters: object) -> Rows:
        async with self.database.transaction() as connection:
            return [dict(row) for row in (await connection.execute(text(sql), parameters)).mappings()]

    async def change(self, sql: str, **parameters: object) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(text(sql), parameters)

    async def an_hour_passes(self) -> None:
        """As if leases, retries and second pushes had become due."""
        await self.change("""
            update ledger set due_at = due_at - interval '1 hour', lease_until = lease_until - interval '1 hour',
                changed_at = changed_at - interval '1 hour', owed_since = owed_since - interval '1 hour'
        """)
        await self.change("update duty set due_at = due_at - interval '1 hour'")
        await self.change("update lane set probe_at = probe_at - interval '1 hour'")


@asynccontextmanager
async def running_updater(
    database_url: str,
    cloud: Emulator | str,
    *,
    cloud_timeout_s: float = 10,
    requests_per_minute: int | None = None,
    **settings: object,
) -> AsyncIterator[Updater]:
    """The service on a migrated database. The lane is open and its capabilities are known, if the cloud answers."""
    url = cloud if isinstance(cloud, str) else cloud.url
    given = {"api_token": "t", "cloud_updater_database_url": database_url, "push_quiet_s": 0, "push_quiet_max_s": 0}
    own = CloudUpdaterSettings.model_validate({**given, **settings})
    cloud_settings = CloudSettings(clouds_url=url, clouds_token=SecretStr(TOKEN), cloud_timeout_s=cloud_timeout_s)
    database = Database(database_url, pool_size=8)
    gate = Gate(database, ["CloudTicketUpdated"], _no_topics)
    client = Cloud(cloud_settings, token=token_reader(cloud_settings))
    lane = Lane(database, client, _retry_now, wake=lambda: None, ping_every_s=0, route="ticket-info")
    if requests_per_minute:
        lane = replace(lane, requests_per_minute=requests_per_minute)
    opening = asyncio.create_task(gate.keep())
    try:
        await gate.wait_open()
        await lane.ping()
        pushing = PushTickets(own, cloud_timeout_s, database, gate, client, lane)
        again = PushAgain(database, gate, own.second_push_after_s)
        yield Updater(own, database, gate, lane, pushing, again, ExpandResyncs(database, gate, _no_topics))
    finally:
        opening.cancel()
        await client.close()
        await database.close()


async def transferred(updater: Updater, cloud: Emulator, *recording_ids: str, folder_id: str = "F1") -> str:
    """These recordings are in a folder of the cloud, without tickets; nothing is owed. Returns the folder's uuid."""
    uuid = cloud.folder(*(a_file(f"{one}.wav") for one in recording_ids), name=folder_id)
    await updater.fold(*(a_transfer(one, uuid=uuid, folder_id=folder_id) for one in recording_ids))
    await updater.push()
    return uuid


def tickets(cloud: Emulator, uuid: str) -> dict[str, str | None]:
    """What the cloud shows: recording → ticket id."""
    return {
        str(file["filename"]).removesuffix(".wav"): file["ticket_info"] and file["ticket_info"]["ticket_id"]
        for file in cloud.files(uuid)
    }


def pushed(cloud: Emulator) -> list[list[str]]:
    """The recordings of each update-ticket request that had its effect, in order of sending."""
    return [[_recording(file) for file in effect["files"]] for effect in cloud.effects() if _is_update(effect)]


def requests(cloud: Emulator) -> int:
    """How many update-ticket requests the cloud has got, whatever became of them."""
    count: int = cloud.control("GET", "requests/count")["by_route"].get("update_ticket", 0)
    return count


def _is_update(effect: Json) -> bool:
    return bool(effect["kind"] == "update_ticket")


def _recording(file: Json) -> str:
    return str(file["filename"]).removesuffix(".wav")


async def _no_topics() -> Mapping[TopicPartition, int]:
    return {}


async def _retry_now(connection: AsyncConnection) -> None:
    await Pushes(connection).retry_now()


@asynccontextmanager
async def holding(updater: Updater, cloud: Emulator) -> AsyncIterator[None]:
    """While the block runs, the cloud holds one push of this process open; when it ends, the push has been recorded."""
    step = asyncio.create_task(updater.pushing.step())
    await asyncio.to_thread(cloud.wait_until_held)
    yield
    await asyncio.to_thread(cloud.control, "POST", "release")
    await step
