"""Facts as other services would publish them, and the records that they come in."""

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.envelope import encode
from schemas.events import Event, RecordingProcessed, RecordingTransferred, TicketInfo, TicketLinked, TransferredFile
from schemas.fields import CloudsUuid, FolderId, RecordingId, RequestId
from schemas.raw_headers import joined
from schemas.topics import TOPICS
from shared.record import Record

NOON = datetime(2025, 1, 29, 12, 0, tzinfo=UTC)


def a_recording(recording_id: str = "R1", **fields: object) -> RecordingProcessed:
    return RecordingProcessed.model_validate(
        {
            "recording_id": recording_id,
            "folder_id": "F1",
            "folder_name": "Monday",
            "filename": f"{recording_id}.wav",
            "size_bytes": 2_621_440,
            "token": 3,
            "transcript": f"words of {recording_id}",
            "requires_ticket": False,
            "processed_at": NOON,
            **fields,
        }
    )


def a_link(recording_id: str = "R1", link_version: int = 1, ticket_id: str | None = "T-1") -> TicketLinked:
    return TicketLinked(
        recording_id=RecordingId(recording_id),
        folder_id=FolderId("F1"),
        filename=f"{recording_id}.wav",
        link_version=link_version,
        ticket_info=None if ticket_id is None else TicketInfo(ticket_id=ticket_id, linked_at=NOON),
        source="api",
        request_id=RequestId(f"request-{link_version}"),
        requested_at=NOON,
        occurred_at=NOON,
    )


def a_transfer(recording_id: str = "R1", transfer_version: int = 1, **fields: object) -> RecordingTransferred:
    return RecordingTransferred.model_validate(
        {
            "recording_id": recording_id,
            "folder_id": "F1",
            "clouds_uuid": CloudsUuid("uuid-1=="),
            "transfer_version": transfer_version,
            "file": TransferredFile(
                filename=f"{recording_id}.wav", size="2.5 MB", token=3, transcribe=f"words of {recording_id}"
            ),
            "link_version": 0,
            "transferred_at": NOON,
            **fields,
        }
    )


def records_of(*events: Event) -> Sequence[Record]:
    """The events as records of their own topic, in this order."""
    topic = next(topic for topic in TOPICS if topic.event is type(events[0]))
    return [
        Record(
            topic=topic.name,
            partition=0,
            offset=offset,
            timestamp=int(NOON.timestamp() * 1000),
            key=event.recording_id.encode(),  # type: ignore[union-attr]  # the three that transfer reads have one
            value=encoded.value,
            raw_headers=joined(encoded.headers),
        )
        for offset, event in enumerate(events)
        for encoded in [encode(event, source="test", event_id=str(offset), time=NOON)]
    ]
