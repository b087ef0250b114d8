"""linker without Kafka: its genuine tables, folds, loops and HTTP API, driven step by step."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
from aiokafka import TopicPartition
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import (
    CloudTicketUpdated,
    Event,
    RecordingProcessed,
    RecordingTransferred,
    TicketLinked,
    TicketLinkRequested,
)
from schemas.topics import TICKET_LINKED, TOPICS
from services.linker import announce_links
from services.linker.app import routes
from services.linker.apply_imports import ApplyImports
from services.linker.match_parked import MatchParked
from services.linker.on_cloud_ticket_updated import fold_cloud_ticket_updated
from services.linker.on_recording_processed import fold_recording_processed
from services.linker.on_recording_transferred import fold_recording_transferred
from services.linker.on_ticket_link_requested import fold_ticket_link_requested
from services.linker.on_ticket_linked import fold_ticket_linked, new_own_links
from services.linker.settings import LinkerSettings
from shared.announce import IN_FLIGHT
from shared.batch import Apply, Folded, fold_records
from shared.database import Database
from shared.gate import Gate
from shared.reading import read
from shared.web import build
from tests.linker.given import records_of

Rows = list[dict[str, Any]]

FOLDS: Mapping[type[Event], Apply] = {
    RecordingProcessed: fold_recording_processed,
    RecordingTransferred: fold_recording_transferred,
    CloudTicketUpdated: fold_cloud_ticket_updated,
    TicketLinked: fold_ticket_linked,
    TicketLinkRequested: fold_ticket_link_requested,
}
MAX_BODY = 20_000


@dataclass(frozen=True)
class Linker:
    """One process of the service; its routes see it as their service."""

    settings: LinkerSettings
    database: Database
    gate: Gate

    def wake(self, name: str) -> None:
        """Tests step the loops themselves."""

    async def fold(self, *events: Event, first_offset: int = 0) -> Folded:
        """Fold events of one kind as one batch, as the consumer would."""
        async with self.database.transaction() as connection:
            return await self.fold_in(connection, *events, first_offset=first_offset)

    async def fold_in(self, connection: AsyncConnection, *events: Event, first_offset: int = 0) -> Folded:
        """The same in a transaction that the test holds."""
        topic = next(topic for topic in TOPICS if topic.event is type(events[0]))
        records = records_of(*events, first_offset=first_offset)
        news = new_own_links if topic is TICKET_LINKED else None
        batch = await read(topic, records, skimmed=news is not None)
        return await fold_records(connection, batch, apply=FOLDS[type(events[0])], news=news)

    async def match(self) -> None:
        """Step the loop that matches parked links until it has nothing to do."""
        while await MatchParked(self.database, self.gate).step() is not None:
            pass

    async def import_lot(self) -> bool:
        """Apply one lot of an import. False if there was none."""
        return await ApplyImports(self.settings, self.database, self.gate).step() is not None

    async def announced(self) -> list[TicketLinked]:
        """All that is to be announced, as it would be on the topic."""
        async with self.database.transaction() as connection:
            due = await announce_links.unheard(connection, IN_FLIGHT)
            facts = await announce_links.facts(connection, list(due))
        return [TicketLinked.model_validate_json(record.value) for _, record in facts.values()]

    async def change(self, sql: str, **parameters: object) -> None:
        """Change the database behind the service's back."""
        async with self.database.transaction() as connection:
            await connection.execute(text(sql), parameters)

    async def rows(self, sql: str, **parameters: object) -> Rows:
        async with self.database.transaction() as connection:
            return [dict(row) for row in (await connection.execute(text(sql), parameters)).mappings()]

    async def link(self, recording_id: str = "R1") -> tuple[int, str | None] | None:
        """(version, ticket_id) of a recording's link."""
        rows = await self.rows("select link_version, ticket_id from link where recording_id = :id", id=recording_id)
        return (rows[0]["link_version"], rows[0]["ticket_id"]) if rows else None

    async def versions(self, recording_id: str = "R1") -> Rows:
        """Every version that a recording's link was given, with who asked for it and when."""
        return await self.rows(
            """
            select link_version, ticket::jsonb ->> 'ticket_id' as ticket_id, request_id, linked_by, source, requested_at
            from link where recording_id = :id and link_version > 0
            union all
            select link_version, ticket::jsonb ->> 'ticket_id', request_id, linked_by, source, requested_at
            from link_history where recording_id = :id
            order by link_version
            """,
            id=recording_id,
        )

    async def parked(self) -> list[str]:
        """The request_ids that wait."""
        rows = await self.rows("select request_id from parked_link where state = 'parked' order by request_id")
        return [row["request_id"] for row in rows]

    async def unheard(self) -> Mapping[str, object]:
        """Recording → version of what is to be announced."""
        async with self.database.transaction() as connection:
            return await announce_links.unheard(connection, 100)

    def api(self, *, token: str | None = "token") -> httpx.AsyncClient:
        """A client of the HTTP API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://linker", headers=headers)

    @cached_property
    def _app(self) -> FastAPI:
        async def ready() -> dict[str, object]:
            return {"ready": True}

        own = routes(self, self.settings)  # type: ignore[arg-type]  # as much of a service as the routes need
        return build(title="test", api_token="token", router=own, readiness=ready, max_request_bytes=MAX_BODY)


@asynccontextmanager
async def running_linker(database_url: str, **settings: object) -> AsyncIterator[Linker]:
    """The service on a migrated database, its gate open."""
    own = LinkerSettings.model_validate({"api_token": "t", "linker_database_url": database_url, **settings})
    database = Database(database_url)
    gate = Gate(database, ["TicketLinked"], no_topics)
    opening = asyncio.create_task(gate.keep())
    try:
        await gate.wait_open()
        yield Linker(own, database, gate)
    finally:
        opening.cancel()
        await database.close()


async def no_topics() -> Mapping[TopicPartition, int]:
    return {}
