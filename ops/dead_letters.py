"""Asks the services for their dead letters, and has them redriven or discarded, for the commands of `ticketsync dlq`.

A topic that no service reads, or not the one that is asked, is wrong use: it would look like one without dead letters.
What was settled before a service went away is told (ops/so_far.py). What is settled may be very much, so it is held as
places, and texts that many have are there once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

from ops import show
from ops.addresses import Addresses
from ops.answers.dead_letters import DeadLetter, DeadLetters, DeadLettersWhole, Settleds
from ops.exits import WrongInput
from ops.heard import Heard
from ops.pages import first, pages
from ops.replay import ServiceName
from ops.service_api import Parameters, Refused, ServiceApi, api
from ops.so_far import SoFar
from shared.path_segment import path_segment

LOT = 100
TIME_LIMIT_S = 120.0

Found = list[tuple[ServiceName, DeadLetter]]


async def found_in(
    addresses: Addresses, heard: Heard, service: ServiceName | None, conditions: Parameters, *, limit: int | None
) -> tuple[Found, bool]:
    """Those of this service, or of all that read the topic of the conditions; `limit` of each at most, and whether
    there are more.
    """
    found: Found = []
    more = False
    for of in _readers(conditions.get("topic"), service):
        async with api(addresses, of.key) as asked:
            letters = await heard.said(asked, first(asked, "/dead-letters", DeadLetters, conditions, limit=limit))
        if letters:
            found += [(of, one) for one in letters[0]]
            more = more or letters[1]
    return found, more


async def standing_at(
    addresses: Addresses, service: ServiceName, topic: str, place: tuple[int, int], *, content: bool
) -> DeadLettersWhole:
    """What could not be applied at (partition, offset). Raises Finding if nothing stands there."""
    _readers(topic, service)
    partition, offset = place
    async with api(addresses, service.key) as asked:
        path = f"/dead-letters/{path_segment(topic)}/{partition}/{offset}"
        try:
            return await asked.get(path, DeadLettersWhole, {"content": "true" if content else None})
        except Refused as refused:
            if refused.status == 404:  # noqa: PLR2004 - HTTP's own number
                refused.todo = f"Which there are: ticketsync dlq list --service {service}"
            raise


class Place(NamedTuple):
    """Where a record stands that could not be applied."""

    topic: str
    partition: int
    offset: int


Places = dict[ServiceName, list[Place]]


async def places_in(addresses: Addresses, heard: Heard, service: ServiceName | None, conditions: Parameters) -> Places:
    """The places of all that `found_in` would find."""
    found: Places = {}
    for of in _readers(conditions.get("topic"), service):
        async with api(addresses, of.key) as asked:
            if letters := await heard.said(asked, _places(asked, conditions)):
                found[of] = letters
    return found


async def _places(asked: ServiceApi, conditions: Parameters) -> list[Place]:
    listed = pages(asked, "/dead-letters", DeadLetters, conditions)
    return [Place(intern(one.topic), one.partition, one.offset) async for page in listed for one in page]


class Settled(NamedTuple):
    """What became of one, for whoever reads it."""

    service: str
    topic: str
    partition: int
    offset: int
    outcome: str
    reason: str | None
    error: str | None


@dataclass
class Settling(SoFar):
    """What became of those that were redriven or discarded."""

    items: list[Settled] = field(default_factory=list, repr=False)  # for the reason of ops/held.py


async def settled(addresses: Addresses, what: str, found: Places, *, dry_run: bool, by: str) -> Settling:
    """What became of each by `what`, which is redrive or discard."""
    done = Settling()
    with done.noted(), show.progress() as bar:
        task = bar.add_task(what, total=sum(map(len, found.values())))
        for of, letters in found.items():
            async with api(addresses, of.key, by=by) as asked:
                for start in range(0, len(letters), LOT):
                    places = [one._asdict() for one in letters[start : start + LOT]]
                    body = {"places": places, "dry_run": dry_run}
                    answer = await asked.call(
                        "POST", f"/dead-letters/{what}", Settleds, json=body, time_limit_s=TIME_LIMIT_S
                    )
                    done.items += [
                        Settled(
                            of.value,
                            intern(one.topic),
                            one.partition,
                            one.offset,
                            intern(one.outcome),
                            one.reason and intern(one.reason),
                            one.error and intern(one.error),
                        )
                        for one in answer.items
                    ]
                    bar.advance(task, len(places))
    return done


def _readers(topic: object, service: ServiceName | None) -> Sequence[ServiceName]:
    """Who may have dead letters of this topic, or of any; of them only `service`, if it is given."""
    if topic is None:
        return [service] if service else list(ServiceName)
    # On demand: the events are not needed for anything else here.
    from schemas.topics import TOPICS  # noqa: PLC0415

    read = {one.name: [of for of in ServiceName if of.key in one.consumers and service in {None, of}] for one in TOPICS}
    if not read.get(str(topic)):
        names = ", ".join(sorted(name for name, readers in read.items() if readers))
        raise WrongInput(
            f"{service or 'no service'} {'does not read' if service else 'reads'} {topic}", todo=f"Topics: {names}"
        )
    return read[str(topic)]
