"""Situations in which one rule of linker's SQL decides; rules_of_linker.py names the rules."""

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated
from services.linker import announce_links
from services.linker.decisions import LinkRequest
from services.linker.link_rows import LinkRow
from services.linker.store_candidates import Candidates
from services.linker.store_catalogue import Catalogue
from services.linker.store_choices import Choices
from services.linker.store_links import Links
from services.linker.store_matching import Matching
from services.linker.store_parked import Parked
from services.linker.target import Target
from tests.simulation import linker_store
from tests.simulation.clock import BEGINNING
from tests.simulation.situations import At, came, linked, moment, over, processed, ticket, transferred


async def older_facts_of_a_recording(at: At) -> AsyncIterator[object]:
    """Of each fact about a recording the newer comes first."""
    connection = await at(0)
    catalogue = Catalogue(connection)
    for revision in (2, 1, 2):
        yield await catalogue.process([came(processed(revision=revision, filename=f"{revision}.wav"))])
    yield await Candidates(connection).of([Target(recording_id="R1")])
    for version, link in ((2, 3), (1, 9), (2, 4)):
        yield await catalogue.transfer([came(transferred(version=version, link=link))])
    for version, link in ((2, 5), (2, 4), (1, 9), (3, 1)):
        yield await catalogue.acknowledge([came(_updated(version, link))])


async def named_recordings(at: At) -> AsyncIterator[object]:
    """A name with its extension, one without, one that has none, a folder's id that is another's label."""
    connection = await at(0)
    facts = [
        processed("R1", filename="call.wav"),
        processed("R2", filename="call.mp3", folder_id="Tuesday", folder_name="Monday"),
        processed("R3", filename="bare", folder_id="Wednesday"),
    ]
    await Catalogue(connection).process([came(one) for one in facts])
    targets = [
        Target(filename="call.wav"),
        Target(filename="call.ogg"),
        Target(filename="call", folder="Tuesday"),
        Target(filename="call", folder="Monday"),
        Target(filename="call", folder="Monday's"),
        Target(filename="bare"),
    ]
    yield await Candidates(connection).of(targets)


async def older_link(at: At) -> AsyncIterator[object]:
    """Version 2 of a link is stored, then version 1, then version 2 of somebody else."""
    links = Links(await at(0))
    await links.store([LinkRow.of_fact(linked(version=2, request="Q2"), 2)])
    await links.store([LinkRow.of_fact(linked(version=1, request="Q1"), 1)])
    await links.store([LinkRow.of_fact(linked(version=2, request="Q3"), 2)])
    yield await links.versions(["R1"])
    await links.lift({"R1": 1})
    yield await links.versions(["R1"])
    yield await links.hear_newest([("R1", 2, "Q2")])
    yield await links.hear_newest([("R1", 2, "Q3")])


async def links_to_announce(at: At) -> AsyncIterator[object]:
    """One that was asked to be none, one that is heard at an older version, one that is lifted after it was heard."""
    connection = await at(0)
    links = Links(connection)
    await links.store([LinkRow.of_fact(linked("R1", ticket=None), 0)])
    yield await _unheard(connection)
    await links.store([LinkRow.of_fact(linked("R2"), 2)])
    await links.strike_off({"R2": 1})
    yield await _unheard(connection)
    await links.hear({"R2": 1})
    yield await _unheard(connection)
    await links.strike_off({"R2": 2})
    yield await _unheard(connection)
    await links.hear({"R2": 1})
    yield await _unheard(connection)
    await links.hear({"R2": 2})
    yield await _unheard(connection)
    await links.lift({"R2": 5})
    yield await _unheard(connection)


async def request_comes_again(at: At) -> AsyncIterator[object]:
    """A request has waited and had its turn; it comes again, and then anew."""
    connection = await at(0)
    parked, request = Parked(connection), _request("Q1", "R1.wav")
    await parked.park([request])
    await parked.settle([request], "applied", applied_to=["R1"])
    yield await parked.waiting([request.target])
    await parked.park([request])
    yield await parked.waiting([request.target])
    yield await Choices(connection).made([request])
    await parked.park([_request("Q1", "R1.wav", asked_s=5)])
    yield await parked.waiting([request.target])


async def another_waits_by_now(at: At) -> AsyncIterator[object]:
    """A request is settled, or looked through, that has been asked for anew since; and one that waits no more."""
    connection = await at(0)
    parked, before, since = Parked(connection), _request("Q1", "R1.wav"), _request("Q1", "R1.wav", asked_s=5)
    await parked.park([before])
    fresh = await Matching(connection).fresh(10)
    yield fresh
    await parked.park([since])
    await parked.settle([before], "applied", applied_to=["R1"])
    yield await parked.waiting([before.target])
    await Matching(connection).looked_through(fresh)
    yield await Matching(connection).fresh(10)
    await parked.settle([since], "withdrawn")
    await parked.settle([since], "applied", applied_to=["R1"])
    yield await Choices(connection).made([since])


async def request_for_two_recordings(at: At) -> AsyncIterator[object]:
    """Under one id two links are asked for; the fact of one of them is read back, and a fact of that name elsewhere."""
    connection = await at(0)
    parked = Parked(connection)
    two = [_by_id("Q1", "R1"), _by_id("Q1", "R2"), _request("Q1", "R1.wav", folder="Tuesday")]
    await parked.park(two)
    await parked.settle_announced([linked("R1", request="Q1")])
    yield await parked.waiting([one.target for one in two])


async def recordings_that_wait_for_a_match(at: At) -> AsyncIterator[object]:
    """What waits for a folder's id goes to no recording of a folder of that label."""
    connection = await at(0)
    waiting = [_request("Q1", "call", folder="Monday"), _request("Q2", "call.wav"), _request("Q3", "call.ogg")]
    await Parked(connection).park(waiting)
    facts = [
        processed("R1", filename="call.wav", folder_id="Tuesday", folder_name="Monday"),
        processed("R2", filename="else.wav", folder_id="Monday"),
    ]
    await Catalogue(connection).process([came(one) for one in facts])
    matching = Matching(connection)
    yield await matching.arrivals(10)
    yield await matching.for_arrivals(["R1", "R2"])
    yield await matching.for_fresh(await matching.fresh(10))
    await Parked(connection).settle([waiting[1]], "applied", applied_to=["R1"])
    yield await matching.for_arrivals(["R1"])


async def _unheard(connection: AsyncConnection) -> object:
    return await over(connection, announce_links.unheard, linker_store.unheard)(connection, 10)


def _request(name: str, filename: str, *, folder: str | None = None, asked_s: float = 0) -> LinkRequest:
    return LinkRequest(name, moment(asked_s), Target(filename=filename, folder=folder), ticket(), "event")


def _by_id(name: str, recording: str) -> LinkRequest:
    return LinkRequest(name, BEGINNING, Target(recording_id=recording), ticket(), "event")


def _updated(transfer_version: int, link_version: int) -> CloudTicketUpdated:
    fields = {"recording_id": "R1", "clouds_uuid": "U1", "updated_at": BEGINNING}
    versions = {"transfer_version": transfer_version, "link_version": link_version}
    return CloudTicketUpdated.model_validate({**fields, **versions})
