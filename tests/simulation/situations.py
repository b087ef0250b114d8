"""Situations in which one rule of a store's SQL alone decides what is answered.

A run of the simulation is polite: whoever asks has looked first, so an older fact or a lost lease seldom gets as far as
the statement that must refuse it. A situation leads up to just that, in a few calls of the stores. It is played over
the models and over PostgreSQL, at the same moments: every answer must be the same, and with the rule taken out of the
statement one must differ. What a situation did to the database is rolled back.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from schemas.events import RecordingProcessed, RecordingTransferred, TicketDetails, TicketInfo, TicketLinked
from services.cloud_updater.pushes import LeaseLost
from shared.lane_state import LaneShut
from shared.reading import Incoming
from shared.record import Record
from tests.simulation import database
from tests.simulation.clock import BEGINNING
from tests.simulation.contract import same, set_clock
from tests.simulation.seams import modelled
from tests.simulation.stage import TABLES

ONE, OTHER = UUID(int=1), UUID(int=2)

# The connection, with its clock at so many seconds after the beginning.
At = Callable[[float], Awaitable[AsyncConnection]]
Situation = Callable[[At], AsyncIterator[object]]
T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """`without`: what happens without it. `cuts`: each piece of a statement, and what stands there instead then."""

    name: str
    without: str
    service: str
    situation: Situation
    cuts: Sequence[tuple[str, str]]


async def of_model(situation: Situation, service: str) -> list[object]:
    """What the models answer."""
    connection = database.Connection(TABLES[service](BEGINNING), BEGINNING)

    async def at(seconds: float) -> AsyncConnection:
        connection.now = moment(seconds)
        return cast("AsyncConnection", connection)

    with modelled():
        return [answer async for answer in situation(at)]


async def differs(situation: Situation, service: str, engine: AsyncEngine) -> str | None:
    """The first answer of PostgreSQL, over empty tables, that is not the model's, in words; None if none is."""
    expected = await of_model(situation, service)
    place = 0
    async with engine.connect() as connection:
        await connection.execute(text("update origin set created_at = :at"), {"at": BEGINNING})

        async def at(seconds: float) -> AsyncConnection:
            await set_clock(connection, moment(seconds))
            return connection

        async for answer in situation(at):
            if not same(answer, expected[place]):
                return f"answer {place + 1} is {answer}, of the model {expected[place]}"
            place += 1
    assert place == len(expected)
    return None


def moment(seconds: float) -> datetime:
    """So many seconds after the beginning."""
    return BEGINNING + timedelta(seconds=seconds)


def over(connection: AsyncConnection, real: T, model: object) -> T:
    """What is asked here: that of the product, or its model where the simulation does not put it in its place."""
    modelled_one: object = connection
    return cast("T", model) if isinstance(modelled_one, database.Connection) else real


async def refused(asked: Awaitable[object]) -> str | None:
    """By which name it is refused; None if it is not."""
    try:
        await asked
    except (LeaseLost, LaneShut) as error:
        return type(error).__name__
    return None


# What the situations speak of.


def record(offset: int = 0, *, value: bytes = b"{}", topic: str = "TicketLinked") -> Record:
    """A record of a topic."""
    return Record(topic, 0, offset, 1_000, b"key", value)


def processed(recording: str = "R1", *, revision: int = 1, **fields: object) -> RecordingProcessed:
    """A fact about a recording of Monday."""
    usual = {
        "recording_id": recording,
        "folder_id": "Monday",
        "folder_name": "Monday's",
        "filename": f"{recording}.wav",
        "size_bytes": 1,
        "token": 1,
        "transcript": "words",
        "processed_at": BEGINNING,
        "revision": revision,
    }
    return RecordingProcessed.model_validate({**usual, **fields})


def linked(recording: str = "R1", *, version: int = 1, ticket: str | None = "T-1", request: str = "Q1") -> TicketLinked:
    """A link of that version."""
    return TicketLinked(
        recording_id=recording,
        folder_id="Monday",
        filename=f"{recording}.wav",
        link_version=version,
        ticket_info=TicketInfo(ticket_id=ticket) if ticket else None,
        source="event",
        request_id=request,
        requested_at=BEGINNING,
        occurred_at=BEGINNING,
    )


def transferred(recording: str = "R1", *, version: int = 1, link: int = 0, uuid: str = "U1") -> RecordingTransferred:
    """It is in the cloud, in folder `uuid`, with that link."""
    return RecordingTransferred.model_validate(
        {
            "recording_id": recording,
            "folder_id": "Monday",
            "clouds_uuid": uuid,
            "transfer_version": version,
            "file": {"filename": f"{recording}.wav", "size": "1 Bytes", "token": 1, "transcribe": "words"},
            "link_version": link,
            "transferred_at": BEGINNING,
        }
    )


def came(event: T) -> Incoming[Any]:
    """An event in the record that it came in."""
    return Incoming(cast("Any", event), record())


def ticket(name: str = "T-1") -> TicketDetails:
    """A ticket as people give it."""
    return TicketDetails(ticket_id=name)
