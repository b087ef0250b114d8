"""transfer without Kafka: its genuine tables, folds and upload step, and a genuine emulator at the other end."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import Event, RecordingProcessed, RecordingTransferred, TicketLinked
from schemas.topics import RECORDING_TRANSFERRED, TOPICS
from services.transfer import announce_transfers
from services.transfer.conclusions import Conclusions
from services.transfer.freeze_requests import IDEMPOTENCY_KEY
from services.transfer.on_recording_processed import fold_recording_processed
from services.transfer.on_recording_transferred import fold_recording_transferred, new_own_transfers
from services.transfer.on_ticket_linked import fold_ticket_linked
from services.transfer.settings import TransferSettings
from services.transfer.upload_recordings import UploadRecordings
from shared import migrations
from shared.announce import Announcer
from shared.batch import Apply, Folded, fold_records
from shared.cloud import Cloud, CloudSettings, token_reader
from shared.database import Database
from shared.gate import Gate
from shared.lane import Lane
from shared.reading import read
from tests.emulator.running import TOKEN, Emulator
from tests.kept import Kept
from tests.transfer.given import records_of

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Transfer:
    """One process of the service, driven step by step."""

    settings: TransferSettings
    database: Database
    gate: Gate
    lane: Lane
    uploading: UploadRecordings
    announcing: Announcer
    kept: Kept

    async def fold(self, *events: Event) -> Folded:
        """Fold events of one kind as one batch, as the consumer would."""
        topic = next(topic for topic in TOPICS if topic.event is type(events[0]))
        applied: Mapping[type[Event], Apply] = {
            RecordingProcessed: partial(fold_recording_processed, waits=self.settings.waits),
            TicketLinked: partial(fold_ticket_linked, waits=self.settings.waits),
            RecordingTransferred: fold_recording_transferred,
        }
        async with self.database.transaction() as connection:
            news = new_own_transfers if topic is RECORDING_TRANSFERRED else None
            batch = await read(topic, records_of(*events), skimmed=news is not None)
            return await fold_records(connection, batch, apply=applied[type(events[0])], news=news)

    async def upload(self, *, steps_max: int = 50) -> None:
        """Step until no folder is due."""
        for _ in range(steps_max):
            if await self.uploading.step() != 0:
                return
        raise AssertionError(f"more to do after {steps_max} steps")

    async def upload_until_settled(self, *, within_s: float = 60) -> None:
        """Step until no folder is planned to be looked at."""
        async with asyncio.timeout(within_s):
            while await self.rows("select 1 from folder where due_at is not null and held is null"):
                if await self.uploading.step() != 0:
                    await asyncio.sleep(0.02)

    async def announce(self) -> list[RecordingTransferred]:
        """Publish all that is to be announced. Returns the facts."""
        before = len(self.kept.records)
        while await self.announcing.step() == 0:
            pass
        return [RecordingTransferred.model_validate_json(one.value) for one in self.kept.records[before:]]

    async def announce_and_hear(self) -> int:
        """The same, and fold it as if it had come back on the topic. Returns how many facts that were."""
        heard = await self.announce()
        if heard:
            await self.fold(*heard)
        return len(heard)

    async def frozen(self) -> None:
        """Return when a request is open."""
        while not await self.rows("select id from upload_request"):  # noqa: ASYNC110  # only the database knows
            await asyncio.sleep(0.01)

    async def clouds_uuid(self, folder_id: str = "F1") -> str:
        """Where the folder is in the cloud, as it is to be named to lose it."""
        [row] = await self.rows("select clouds_uuid from folder where folder_id = :folder_id", folder_id=folder_id)
        return str(row["clouds_uuid"])

    async def rows(self, sql: str, **parameters: object) -> Rows:
        async with self.database.transaction() as connection:
            return [dict(row) for row in (await connection.execute(text(sql), parameters)).mappings()]

    async def change(self, sql: str, **parameters: object) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(text(sql), parameters)

    async def waits_have_begun(self) -> None:
        """As if what waits for a ticket had just been folded, however slow the machine is; see waits_are_over."""
        await self.change("update recording set folded_at = now() + interval '1 hour'")

    async def waits_are_over(self) -> None:
        """As if quiet, grace, retries and leases had passed."""
        await self.change("update recording set folded_at = folded_at - interval '1 hour'")
        await self.change("""
            update folder set due_at = least(due_at, now()), retry_at = null,
                lease_until = case when lease_token is not null then least(lease_until, now()) end
        """)


@asynccontextmanager
async def running_transfer(
    database_url: str, cloud: Emulator | str, *, cloud_timeout_s: float = 10, **settings: object
) -> AsyncIterator[Transfer]:
    """The service on a migrated database. The lane is open and its capabilities are known, if the cloud answers."""
    url = cloud if isinstance(cloud, str) else cloud.url
    given = {"api_token": "t", "transfer_database_url": database_url, "upload_quiet_s": 0, "ticket_grace_s": 0.3}
    own = TransferSettings.model_validate({**given, **settings})
    cloud_settings = CloudSettings(clouds_url=url, clouds_token=SecretStr(TOKEN), cloud_timeout_s=cloud_timeout_s)
    database = Database(database_url, pool_size=8)
    gate = Gate(database, ["RecordingTransferred"], _no_topics)
    client = Cloud(cloud_settings, token=token_reader(cloud_settings))
    lane = Lane(database, client, _retry_now, wake=lambda: None, ping_every_s=0, repeatable_with=IDEMPOTENCY_KEY)
    opening = asyncio.create_task(gate.keep())
    try:
        await gate.wait_open()
        await lane.ping()
        uploading = UploadRecordings(own, cloud_timeout_s, database, gate, client, lane)
        kept, unheard, facts = Kept(), announce_transfers.unheard, announce_transfers.facts
        announcing = Announcer("announce_transfers", database, gate, kept, unheard, facts, own.announce_again_s)
        yield Transfer(own, database, gate, lane, uploading, announcing, kept)
    finally:
        opening.cancel()
        await client.close()
        await database.close()


async def migrated(database_url: str) -> str:
    """The same URL, once the tables are there."""
    await asyncio.to_thread(migrations.upgrade, "transfer", database_url)
    return database_url


def files_in_cloud(cloud: Emulator) -> list[tuple[str, str]]:
    """(folder, filename) of everything that the cloud has, sorted; twice what is there twice."""
    folders = cloud.control("GET", "folders")["folders"]
    return sorted((folder["folder"], file["filename"]) for folder in folders for file in folder["files"])


def tickets_in_cloud(cloud: Emulator) -> dict[str, str | None]:
    """filename → ticket_id."""
    folders = cloud.control("GET", "folders")["folders"]
    return {
        file["filename"]: (file["ticket_info"] or {}).get("ticket_id") for folder in folders for file in folder["files"]
    }


async def _no_topics() -> Mapping[TopicPartition, int]:
    return {}


async def _retry_now(connection: AsyncConnection) -> None:
    await Conclusions(connection).retry_now()


def names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["recording_id"] for row in rows]
