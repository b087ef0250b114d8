"""Publishes dead-letter rows to the service's dlq topic, the original bytes under the original key.

Nothing folds these topics, so a row is marked when Kafka has acknowledged it; a crash in between publishes it once
more, with the same headers, by which the two are known to be one.
"""

from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import Topic
from shared import dead_letters
from shared.announce_once import Lot, OnceAnnouncer
from shared.database import Database
from shared.producer import Outgoing, Producer

NAME = "announce_dead_letters"
LOT = 50


def dead_letter_announcer(topic: Topic, database: Database, producer: Producer) -> OnceAnnouncer:
    """Not gated: what could not be applied is known whatever had been done before."""

    async def next_lot(connection: AsyncConnection) -> Lot | None:
        letters = await dead_letters.unpublished(connection, limit=LOT)
        records = [Outgoing(topic.name, one.key, one.value, one.headers) for one in letters]
        if not letters:
            return None
        return Lot(records, len(letters) == LOT, partial(dead_letters.mark_published, letters=letters))

    return OnceAnnouncer(NAME, database, producer, next_lot)
