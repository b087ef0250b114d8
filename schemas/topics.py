"""The topics, each declared once: what is on it, how it is keyed and kept, who writes and who reads it.

`ticketsync topics apply` creates them from here; brokers never create one by themselves. A compacted topic keeps the
newest fact per key for ever, so it is the full state; the others keep 30 days.
"""

from dataclasses import dataclass
from typing import Literal

from schemas.events import (
    CloudTicketUpdated,
    Event,
    RecordingProcessed,
    RecordingTransferred,
    TicketLinked,
    TicketLinkRequested,
    TicketSyncRequested,
)

Service = Literal["linker", "transfer", "cloud_updater"]
Party = Literal["linker", "transfer", "cloud_updater", "other services", "operators"]

MIB = 1024 * 1024
PROCESSED_MAX_BYTES = 2 * MIB
OWN_MAX_BYTES = 4 * MIB
# Room for the largest original and the headers that say why it is here.
DEAD_LETTER_MAX_BYTES = 5 * MIB
RETENTION_MS = 30 * 24 * 60 * 60 * 1000


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic.

    `event` is None where any bytes may stand (dead letters). `key_field` names the field of the event that the key
    must equal; None means that any key will do. `retention_ms` is None where records are kept for ever.
    `max_message_bytes` limits a record's value here and the batch at the broker.
    """

    name: str
    event: type[Event] | None
    key_field: str | None
    cleanup: Literal["compact", "delete"]
    retention_ms: int | None
    max_message_bytes: int
    timestamp_type: Literal["CreateTime", "LogAppendTime"]
    producers: tuple[Party, ...]
    consumers: tuple[Party, ...]
    partitions: int = 12

    def config(self) -> dict[str, str]:
        """The topic's settings under Kafka's names; what is not named stays at the broker's default."""
        settings = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": self.timestamp_type,
        }
        if self.retention_ms is not None:
            settings["retention.ms"] = str(self.retention_ms)
        return settings


def _facts(
    event: type[Event], *, producers: tuple[Party, ...], consumers: tuple[Party, ...], max_bytes: int = OWN_MAX_BYTES
) -> Topic:
    """The newest fact per recording, for ever."""
    return Topic(
        name=event.__name__,
        event=event,
        key_field="recording_id",
        cleanup="compact",
        retention_ms=None,
        max_message_bytes=max_bytes,
        timestamp_type="CreateTime",
        producers=producers,
        consumers=consumers,
    )


def _requests(
    event: type[Event], *, key_field: str | None, producers: tuple[Party, ...], consumers: tuple[Party, ...]
) -> Topic:
    """What somebody asked for, kept 30 days from the broker's own time: a sender's clock decides nothing."""
    return Topic(
        name=event.__name__,
        event=event,
        key_field=key_field,
        cleanup="delete",
        retention_ms=RETENTION_MS,
        max_message_bytes=OWN_MAX_BYTES,
        timestamp_type="LogAppendTime",
        producers=producers,
        consumers=consumers,
    )


def _dead_letters(service: Service) -> Topic:
    """The original bytes of what a service could not apply, with the reason in the headers."""
    return Topic(
        name=f"{service}.dlq",
        event=None,
        key_field=None,
        cleanup="delete",
        retention_ms=RETENTION_MS,
        max_message_bytes=DEAD_LETTER_MAX_BYTES,
        timestamp_type="LogAppendTime",
        producers=(service,),
        consumers=("operators",),
    )


RECORDING_PROCESSED = _facts(
    RecordingProcessed,
    producers=("other services",),
    consumers=("linker", "transfer"),
    max_bytes=PROCESSED_MAX_BYTES,
)
TICKET_LINKED = _facts(TicketLinked, producers=("linker",), consumers=("transfer", "cloud_updater", "linker"))
RECORDING_TRANSFERRED = _facts(
    RecordingTransferred, producers=("transfer",), consumers=("cloud_updater", "linker", "transfer")
)
CLOUD_TICKET_UPDATED = _facts(CloudTicketUpdated, producers=("cloud_updater",), consumers=("linker", "cloud_updater"))
TICKET_LINK_REQUESTED = _requests(
    TicketLinkRequested, key_field=None, producers=("other services",), consumers=("linker",)
)
TICKET_SYNC_REQUESTED = _requests(
    TicketSyncRequested,
    key_field="request_id",
    producers=("operators", "other services"),
    consumers=("cloud_updater",),
)
LINKER_DLQ = _dead_letters("linker")
TRANSFER_DLQ = _dead_letters("transfer")
CLOUD_UPDATER_DLQ = _dead_letters("cloud_updater")

TOPICS = (
    RECORDING_PROCESSED,
    TICKET_LINKED,
    RECORDING_TRANSFERRED,
    CLOUD_TICKET_UPDATED,
    TICKET_LINK_REQUESTED,
    TICKET_SYNC_REQUESTED,
    LINKER_DLQ,
    TRANSFER_DLQ,
    CLOUD_UPDATER_DLQ,
)
_BY_NAME = {topic.name: topic for topic in TOPICS}


def topic_named(name: str) -> Topic:
    """The topic of that name. Raises KeyError if it is none of ours."""
    return _BY_NAME[name]


def dlq_of(service: Service) -> Topic:
    """The dead-letter topic of a service."""
    return _BY_NAME[f"{service}.dlq"]
