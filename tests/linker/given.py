"""Facts and requests as others would publish them, and the records that they come in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from schemas.envelope import encode
from schemas.events import (
    CloudTicketUpdated,
    Event,
    RecordingProcessed,
    RecordingTransferred,
    TicketInfo,
    TicketLinked,
    TicketLinkRequested,
    TransferredFile,
)
from schemas.raw_headers import joined
from schemas.topics import TOPICS
from shared.record import Record

NOON = datetime(2025, 1, 29, 12, 0, tzinfo=UTC)


def after_noon(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_recording(recording_id: str = "R1", **fields: object) -> RecordingProcessed:
    return RecordingProcessed.model_validate(
        {
            "recording_id": recording_id,
            "folder_id": "F1",
            "folder_name": "Monday",
            "filename": f"{recording_id}.wav",
            "size_bytes": 1000,
            "token": 3,
            "transcript": "words",
            "processed_at": NOON,
            **fields,
        }
    )


def a_transfer(recording_id: str = "R1", transfer_version: int = 1, **fields: object) -> RecordingTransferred:
    return RecordingTransferred.model_validate(
        {
            "recording_id": recording_id,
            "folder_id": "F1",
            "clouds_uuid": f"uuid-{transfer_version}",
            "transfer_version": transfer_version,
            "file": TransferredFile(filename=f"{recording_id}.wav", size="1 KB", token=3, transcribe="words"),
            "link_version": 0,
            "transferred_at": after_noon(transfer_version),
            **fields,
        }
    )


def an_acknowledgement(recording_id: str, transfer_version: int, link_version: int) -> CloudTicketUpdated:
    return CloudTicketUpdated.model_validate(
        {
            "recording_id": recording_id,
            "clouds_uuid": f"uuid-{transfer_version}",
            "transfer_version": transfer_version,
            "link_version": link_version,
            "updated_at": NOON,
        }
    )


def a_fact(recording_id: str = "R1", link_version: int = 1, ticket_id: str | None = "T-1", **fields: object) -> Event:
    """An own fact, by default of the request `q-<version>`, made that many seconds after noon."""
    return TicketLinked.model_validate(
        {
            "recording_id": recording_id,
            "folder_id": "F1",
            "filename": f"{recording_id}.wav",
            "link_version": link_version,
            "ticket_info": None if ticket_id is None else TicketInfo(ticket_id=ticket_id, linked_at=NOON),
            "source": "api",
            "request_id": f"q-{link_version}",
            "requested_at": after_noon(link_version),
            "occurred_at": NOON,
            **fields,
        }
    )


def a_request(request_id: str, ticket_id: str | None = "T-1", *, at: float = 0, **target: object) -> Event:
    """A request `at` seconds after noon; for R1 unless `target` says otherwise."""
    return TicketLinkRequested.model_validate(
        {
            "request_id": request_id,
            "requested_at": after_noon(at),
            "ticket_info": None if ticket_id is None else {"ticket_id": ticket_id},
            **({} if "filename" in target else {"recording_id": "R1"}),
            **target,
        }
    )


def records_of(*events: Event, first_offset: int = 0) -> Sequence[Record]:
    """The events as records of their own topic, in this order, taken by the broker an hour after noon."""
    topic = next(topic for topic in TOPICS if topic.event is type(events[0]))
    encoded = [encode(event, source="test", event_id=str(offset), time=NOON) for offset, event in enumerate(events)]
    return [
        Record(
            topic=topic.name,
            partition=0,
            offset=first_offset + offset,
            timestamp=int(after_noon(3600).timestamp() * 1000),
            key=(getattr(event, "recording_id", None) or "any").encode(),
            value=one.value,
            raw_headers=joined(one.headers),
        )
        for offset, (event, one) in enumerate(zip(events, encoded, strict=True))
    ]
