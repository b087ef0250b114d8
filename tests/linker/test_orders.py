"""Every event twice, in many orders and split into batches in many ways: the rows end up the same."""

import random
from collections.abc import Sequence
from itertools import pairwise, permutations

import pytest
from sqlalchemy import text

from schemas.events import Event
from tests.linker.given import a_fact, a_recording, a_request, a_transfer, after_noon, an_acknowledgement
from tests.linker.running import Linker, Rows

FACTS: Sequence[Event] = (
    a_recording("R1", processed_at=after_noon(1)),
    a_recording("R1", processed_at=after_noon(2), filename="renamed.wav"),
    a_recording("R1", processed_at=after_noon(0), revision=2, folder_id="F2", folder_name="Tuesday"),
    a_recording("R1", processed_at=after_noon(0), revision=2, folder_id="F2", folder_name="Tuesday", token=4),
    a_recording("R2", requires_ticket=False),
    a_transfer("R1", 1),
    a_transfer("R1", 2, link_version=1, folder_id="F1"),
    a_transfer("R3", 1, link_version=2),
    an_acknowledgement("R1", 1, 9),
    an_acknowledgement("R1", 2, 3),
    an_acknowledgement("R2", 1, 1),
    a_fact("R1", 1),
    a_fact("R1", 2, "T-2"),
    a_fact("R1", 3, None),
    a_fact("R2", 5, "T-5"),
)
REQUESTS: Sequence[Event] = (
    a_request("a", "T-1", at=1),
    a_request("b", "T-2", at=2),
    a_request("c", None, at=3),
    a_request("d", "T-4", at=3),
    a_request("e", "T-4", at=5),
    a_request("f", "T-9", at=2, recording_id="R2"),
    a_request("g", None, at=3, recording_id="R2"),
)


async def fold_in_batches(linker: Linker, events: Sequence[Event], chance: random.Random) -> None:
    """In this order as far as the topic goes, each topic's events in batches of random sizes."""
    batch: list[Event] = []
    for before, event in pairwise([None, *events]):
        assert event is not None
        if batch and (type(before) is not type(event) or chance.random() < 0.3):
            await linker.fold(*batch)
            batch = []
        batch.append(event)
    await linker.fold(*batch)


async def empty(linker: Linker) -> None:
    async with linker.database.transaction() as connection:
        await connection.execute(
            text("truncate recording, link, link_history, unheard_link, parked_link, fresh_parked, arrival")
        )


# When a recording arrived, and which of two records that say the same was read first.
OF_THE_ORDER = {"arrived", "processed_place", "transferred_place", "known_place", "known_at"}


async def what_is_known(linker: Linker) -> tuple[Rows, Rows]:
    recordings = await linker.rows("select * from recording order by recording_id")
    links = await linker.rows("select * from link order by recording_id")
    return [{name: value for name, value in row.items() if name not in OF_THE_ORDER} for row in recordings], links


@pytest.mark.parametrize("seed", range(25))
async def test_facts_twice_in_any_order_make_the_same_rows(linker: Linker, seed: int) -> None:
    chance = random.Random(seed)
    await linker.fold(*FACTS[:5])
    await linker.fold(*FACTS[5:8])
    await linker.fold(*FACTS[8:11])
    await linker.fold(*FACTS[11:])
    expected = await what_is_known(linker)
    await empty(linker)

    shuffled = [*FACTS, *FACTS]
    chance.shuffle(shuffled)
    await fold_in_batches(linker, shuffled, chance)

    assert await what_is_known(linker) == expected
    assert {row["recording_id"]: row["link_version"] for row in expected[1]} == {"R1": 3, "R2": 5}


@pytest.mark.parametrize("seed", range(25))
async def test_requests_twice_in_any_order_and_before_or_after_their_recording_end_in_the_newest(
    linker: Linker, seed: int
) -> None:
    chance = random.Random(seed)
    shuffled: list[Event] = [*REQUESTS, *REQUESTS, a_recording("R1"), a_recording("R2")]
    chance.shuffle(shuffled)

    await fold_in_batches(linker, shuffled, chance)
    await linker.match()

    links = await linker.rows(
        "select recording_id, ticket_id, last_request_id, last_requested_at from link order by recording_id"
    )
    assert [tuple(row.values()) for row in links] == [
        ("R1", "T-4", "e", after_noon(5)),
        ("R2", None, "g", after_noon(3)),
    ]
    assert await linker.parked() == []


async def test_an_unlink_stands_against_an_older_link_that_comes_late(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("unlink", None, at=2))
    await linker.fold(a_request("link", "T-1", at=1))

    assert await linker.link() == (0, None)
    assert await linker.unheard() == {}
    async with linker.api() as api:
        shown = (await api.get("/recordings/R1")).json()
    assert (shown["link_version"], shown["ticket_info"], shown["linked_at"]) == (0, None, None)

    await linker.fold(a_request("newer", "T-3", at=3))
    assert await linker.link() == (1, "T-3")
    assert [one["link_version"] for one in await linker.versions()] == [1]


async def test_a_clock_that_runs_ahead_counts_as_the_brokers_time(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("ahead", "T-1", at=10_000))

    rows = await linker.rows("select requested_at from link")
    assert rows == [{"requested_at": after_noon(3600)}]


async def test_own_facts_in_any_order_are_announced_until_the_newest_is_the_last_on_the_topic(linker: Linker) -> None:
    facts = [a_fact("R1", 1), a_fact("R1", 2, "T-2"), a_fact("R1", 3, "T-3")]
    for order in permutations(facts):
        await empty(linker)
        for fact in order:
            await linker.fold(fact)

        assert await linker.link() == (3, "T-3")
        assert await linker.unheard() == ({} if order[-1] is facts[2] else {"R1": 3})


async def test_a_fact_is_counted_as_newer_also_while_another_of_its_recording_waits_to_be_matched(
    linker: Linker,
) -> None:
    counted = [(await linker.fold(fact)).newer for fact in (a_recording(), a_transfer(), a_transfer(), a_recording())]

    assert counted == [1, 1, 0, 0]
