"""Asks cloud_updater for a resync: one or several TicketSyncRequested, published by whoever is named in them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ops.addresses import Addresses
from ops.kafka_access import producer
from schemas.envelope import encode
from schemas.events import TicketSyncRequested
from schemas.topics import TICKET_SYNC_REQUESTED
from shared.producer import Outgoing


def request_for(fields: dict[str, Any], by: str) -> TicketSyncRequested:
    """A new request of these fields; `by`: who asks."""
    return TicketSyncRequested.model_validate(
        {**fields, "request_id": str(uuid4()), "requested_at": datetime.now(UTC), "requested_by": by}
    )


async def publish(addresses: Addresses, requests: Sequence[TicketSyncRequested]) -> None:
    """Ask cloud_updater. Raises as `kafka_answers` does."""
    async with producer(addresses.kafka()) as kafka_producer:
        await kafka_producer.publish([_record(one) for one in requests])


def _record(request: TicketSyncRequested) -> Outgoing:
    encoded = encode(
        request,
        source="ticketsync/resync",
        event_id=request.request_id,
        time=request.requested_at,
        subject=request.request_id,
    )
    return Outgoing(TICKET_SYNC_REQUESTED.name, request.request_id.encode(), encoded.value, encoded.headers)
