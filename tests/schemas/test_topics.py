"""The topics, held to the design by hand-written values."""

import pytest

from schemas.events import EVENTS
from schemas.topics import TICKET_LINKED, TICKET_SYNC_REQUESTED, TOPICS, Service, Topic, dlq_of, topic_named

MONTH_MS = 2_592_000_000
OTHERS = "other services"

DESIGN = {
    "RecordingProcessed": ("recording_id", "compact", None, 2_097_152, {OTHERS}, {"linker", "transfer"}),
    "TicketLinked": (
        "recording_id",
        "compact",
        None,
        4_194_304,
        {"linker"},
        {"transfer", "cloud_updater", "linker"},
    ),
    "RecordingTransferred": (
        "recording_id",
        "compact",
        None,
        4_194_304,
        {"transfer"},
        {"cloud_updater", "linker", "transfer"},
    ),
    "CloudTicketUpdated": (
        "recording_id",
        "compact",
        None,
        4_194_304,
        {"cloud_updater"},
        {"linker", "cloud_updater"},
    ),
    "TicketLinkRequested": (None, "delete", MONTH_MS, 4_194_304, {OTHERS}, {"linker"}),
    "TicketSyncRequested": ("request_id", "delete", MONTH_MS, 4_194_304, {"operators", OTHERS}, {"cloud_updater"}),
    "linker.dlq": (None, "delete", MONTH_MS, 5_242_880, {"linker"}, {"operators"}),
    "transfer.dlq": (None, "delete", MONTH_MS, 5_242_880, {"transfer"}, {"operators"}),
    "cloud_updater.dlq": (None, "delete", MONTH_MS, 5_242_880, {"cloud_updater"}, {"operators"}),
}


def test_the_topics_are_those_of_the_design() -> None:
    declared = {
        topic.name: (
            topic.key_field,
            topic.cleanup,
            topic.retention_ms,
            topic.max_message_bytes,
            set(topic.producers),
            set(topic.consumers),
        )
        for topic in TOPICS
    }

    assert declared == DESIGN
    assert {topic.partitions for topic in TOPICS} == {12}


def test_every_event_has_its_own_topic_and_its_key_is_a_field_of_it() -> None:
    assert [topic.event for topic in TOPICS if topic.event] == list(EVENTS)
    for topic in TOPICS:
        if topic.event and topic.key_field:
            assert topic.event.model_fields[topic.key_field].is_required()


def test_a_sender_s_clock_never_decides_how_long_a_record_is_kept_or_how_late_a_request_counts() -> None:
    assert all(topic.timestamp_type == "LogAppendTime" for topic in TOPICS if topic.cleanup == "delete")


@pytest.mark.parametrize(
    ("topic", "config"),
    [
        (
            TICKET_LINKED,
            {
                "cleanup.policy": "compact",
                "max.message.bytes": "4194304",
                "message.timestamp.type": "CreateTime",
            },
        ),
        (
            TICKET_SYNC_REQUESTED,
            {
                "cleanup.policy": "delete",
                "max.message.bytes": "4194304",
                "message.timestamp.type": "LogAppendTime",
                "retention.ms": "2592000000",
            },
        ),
    ],
)
def test_a_topic_is_configured_in_kafka_s_words(topic: Topic, config: dict[str, str]) -> None:
    assert topic.config() == config


def test_topics_are_found_by_name_and_dead_letters_by_service() -> None:
    services: list[Service] = ["linker", "transfer", "cloud_updater"]

    assert [topic_named(topic.name) for topic in TOPICS] == list(TOPICS)
    assert [dlq_of(service).name for service in services] == ["linker.dlq", "transfer.dlq", "cloud_updater.dlq"]
    with pytest.raises(KeyError):
        topic_named("ticketlinked")
