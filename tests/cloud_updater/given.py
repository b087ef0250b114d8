"""Facts as the other services publish them, and the records that they come in."""

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.envelope import encode
from schemas.events import CloudTicketUpdated, Event, RecordingTransferred, TicketLinked, TicketSyncRequested
from schemas.raw_headers import joined
from schemas.topics import TOPICS
from shared.record import Record

NOON = datetime(2025, 1, 29, 12, 0, tzinfo=UTC)


def a_link(recording_id: str = "R1", link_version: int = 1, **fields: object) -> TicketLinked:
    """`ticket_id`: T-1 unless given; None: an unlink."""
    ticket_id = fields.pop("ticket_id", "T-1")
    return TicketLinked.model_validate(
        {
            "recording_id": recording_id,
            "folder_id": "F1",
            "filename": f"{recording_id}.wav",
            "link_version": link_version,
            "ticket_info": None if ticket_id is None else {"ticket_id": ticket_id, "linked_at": NOON},
            "source": "api",
            "request_id": f"request-{link_version}",
            "requested_at": NOON,
            "occurred_at": NOON,
            **fields,
        }
    )


def a_transfer(
    recording_id: str = "R1", transfer_version: int = 1, *, uuid: str = "uuid-1==", **fields: object
) -> RecordingTransferred:
    return RecordingTransferred.model_validate(
        {
            "recording_id": recording_id,
            "folder_id": "F1",
            "clouds_uuid": uuid,
            "transfer_version": transfer_version,
            "file": {
                "filename": f"{recording_id}.wav",
                "size": "2.5 MB",
                "token": 3,
                "transcribe": f"words of {recording_id}",
            },
            "link_version": 0,
            "transferred_at": NOON,
            **fields,
        }
    )


def an_update(
    recording_id: str = "R1", transfer_version: int = 1, link_version: int = 1, *, uuid: str = "uuid-1=="
) -> CloudTicketUpdated:
    return CloudTicketUpdated.model_validate(
        {
            "recording_id": recording_id,
            "clouds_uuid": uuid,
            "transfer_version": transfer_version,
            "link_version": link_version,
            "updated_at": NOON,
        }
    )


def a_resync(request_id: str = "Q1", *, force: bool = False, **fields: object) -> TicketSyncRequested:
    """Of everything, unless `recording_ids` or `folder_id` is given; asked for now."""
    return TicketSyncRequested.model_validate(
        {
            "request_id": request_id,
            "requested_at": datetime.now(UTC),
            "requested_by": "ops",
            "force": force,
            **(fields if {"recording_ids", "folder_id"} & fields.keys() else {"all": True, **fields}),
        }
    )


def records_of(*events: Event, appended_at: datetime | None = None) -> Sequence[Record]:
    """The events as records of their own topic, in this order; appended now unless it is said when."""
    topic = next(topic for topic in TOPICS if topic.event is type(events[0]))
    return [
        Record(
            topic=topic.name,
            partition=0,
            offset=offset,
            timestamp=int((appended_at or datetime.now(UTC)).timestamp() * 1000) + 1,
            key=str(getattr(event, str(topic.key_field))).encode(),
            value=encoded.value,
            raw_headers=joined(encoded.headers),
        )
        for offset, event in enumerate(events)
        for encoded in [encode(event, source="test", event_id=str(offset), time=NOON)]
    ]
