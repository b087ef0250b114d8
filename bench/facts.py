"""The facts that the measurements publish: recordings, those that are in the cloud, and links for them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from schemas.events import (
    RecordingProcessed,
    RecordingTransferred,
    TicketDetails,
    TicketInfo,
    TicketLinked,
    TicketLinkRequested,
    TransferredFile,
)
from schemas.topics import RECORDING_PROCESSED, RECORDING_TRANSFERRED, TICKET_LINK_REQUESTED, TICKET_LINKED
from shared.facts import as_record
from shared.kafka import plain
from shared.producer import Outgoing, Producer

FILES_PER_FOLDER = 100
TRANSCRIPT = "Good morning, how can I help you? " * 6  # about 200 characters
LOT = 5_000
NOON = datetime(2025, 1, 29, 12, tzinfo=UTC)


async def publish(kafka_bootstrap_servers: str, records: Iterable[Outgoing]) -> None:
    """Give the records to Kafka, a lot at a time."""
    producer = Producer(plain(kafka_bootstrap_servers), client_id="bench")
    remaining = iter(records)
    while lot := list(islice(remaining, LOT)):
        await producer.publish(lot)
    await producer.close()


def processed(recordings: int, *, run: str, requires_ticket: bool = True) -> Iterator[Outgoing]:
    """A RecordingProcessed of each recording."""
    for number in range(recordings):
        event = RecordingProcessed(
            recording_id=f"{run}-{number}",
            folder_id=f"{run}-folder-{number // FILES_PER_FOLDER}",
            folder_name="Monday",
            filename=f"{run}-{number}.wav",
            size_bytes=2_621_440,
            token=1234,
            transcript=TRANSCRIPT[:200],
            requires_ticket=requires_ticket,
            processed_at=NOON,
        )
        yield as_record(RECORDING_PROCESSED, event, key=event.recording_id, version="1", source="bench", time=NOON)


def transferred(recordings: int, *, run: str, files_per_folder: int = FILES_PER_FOLDER) -> Iterator[Outgoing]:
    """A RecordingTransferred of each recording."""
    for number in range(recordings):
        event = RecordingTransferred(
            recording_id=f"{run}-{number}",
            folder_id=f"{run}-folder-{number // files_per_folder}",
            clouds_uuid=f"{run}-uuid-{number // files_per_folder}",
            transfer_version=1,
            file=TransferredFile(
                filename=f"{run}-{number}.wav", size="2.5 MB", token=1234, transcribe=TRANSCRIPT[:200]
            ),
            link_version=0,
            transferred_at=NOON,
        )
        yield as_record(RECORDING_TRANSFERRED, event, key=event.recording_id, version="1", source="bench", time=NOON)


def requested(recording_ids: Iterable[str]) -> Iterator[Outgoing]:
    """A TicketLinkRequested for each recording, as a help desk publishes it."""
    for one in recording_ids:
        ticket = TicketDetails(ticket_id=f"asked-{one}", customer_name="John Doe", agent_name="Agent Smith")
        event = TicketLinkRequested(
            request_id=f"asked-{one}", requested_at=datetime.now(UTC), recording_id=one, ticket_info=ticket
        )
        yield as_record(TICKET_LINK_REQUESTED, event, key=one, version=one, source="bench", time=event.requested_at)


def linked(recordings: int, *, run: str) -> Iterator[Outgoing]:
    """A TicketLinked of each recording, in the order of their folders, as an import announces them."""
    for number in range(recordings):
        event = TicketLinked(
            recording_id=f"{run}-{number}",
            folder_id=f"{run}-folder-{number // FILES_PER_FOLDER}",
            filename=f"{run}-{number}.wav",
            link_version=1,
            ticket_info=TicketInfo(ticket_id=f"{run}-{number}", customer_name="John Doe", agent_name="Agent Smith"),
            source="import",
            request_id=f"{run}-{number}",
            requested_at=NOON,
            occurred_at=NOON,
        )
        yield as_record(TICKET_LINKED, event, key=event.recording_id, version="1", source="bench", time=NOON)
