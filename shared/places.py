"""Where a record stands in Kafka, packed into one number that the row of its fact keeps.

A fold writes it into the row that it writes anyway. Kafka counts offsets from 0 for each partition; 2 ** 48 of them
last for 89 years at a hundred thousand a second, and leave room for 32,768 partitions in a bigint.
"""

from pydantic import BaseModel

from schemas.topics import Topic
from shared.record import Record

OFFSETS = 1 << 48


class PlaceAnswer(BaseModel):
    """Where a fact stands on its topic."""

    topic: str
    partition: int
    offset: int


def place_of(record: Record) -> int:
    """Its place, for a bigint column."""
    place: int = record.partition * OFFSETS + record.offset
    return place


def place_answer(topic: Topic, place: int | None) -> PlaceAnswer | None:
    """The place for an API's answer; None: it is not known, such as in a row that no record of the topic has made."""
    if place is None:
        return None
    partition, offset = divmod(place, OFFSETS)
    return PlaceAnswer(topic=topic.name, partition=partition, offset=offset)
