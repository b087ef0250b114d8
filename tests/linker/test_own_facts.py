"""What linker learns from its own facts: lost and older databases, and what was announced."""

from schemas.envelope import rfc3339
from schemas.events import TicketLinked
from services.linker.announce_links import facts, forget_heard
from tests.linker.given import NOON, a_fact, a_recording, a_request, after_noon
from tests.linker.running import Linker


async def test_an_empty_database_takes_over_what_was_announced(linker: Linker) -> None:
    await linker.fold(a_fact("R1", 7, "T-7"), a_fact("R2", 3, None))

    assert await linker.link("R1") == (7, "T-7")
    assert await linker.link("R2") == (3, None)
    assert await linker.unheard() == {}

    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("newer", "T-8", at=100))
    assert await linker.link("R1") == (8, "T-8")


async def test_a_request_older_than_what_was_announced_is_stale_after_a_loss(linker: Linker) -> None:
    await linker.fold(a_fact("R1", 7, "T-7"))
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("older", "T-1", at=6))

    assert await linker.link() == (7, "T-7")


async def test_a_request_that_changed_nothing_is_forgotten_with_a_lost_database(linker: Linker) -> None:
    """It is on no topic, so nothing of it can be read back: what docs/reliability.md does not promise."""
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("first", "T-1", at=1))
    await linker.fold(a_request("the same again", "T-1", at=10))
    await linker.fold(a_request("late", "T-late", at=5))
    assert await linker.link() == (1, "T-1")

    await linker.rows("delete from link returning 1")
    await linker.fold(a_fact("R1", 1, "T-1", request_id="first", requested_at=after_noon(1)))
    await linker.fold(a_request("late", "T-late", at=5))

    assert await linker.link() == (2, "T-late")


async def test_an_older_copy_takes_over_the_newer_link(linker: Linker) -> None:
    await linker.fold(a_fact("R1", 1))
    await linker.fold(a_fact("R1", 4, "T-4"))

    assert await linker.link() == (4, "T-4")


async def test_a_newer_request_keeps_its_content_above_every_version_of_the_topic(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("newest", "T-new", at=100))

    await linker.fold(a_fact("R1", 5, "T-old"))

    assert await linker.link() == (6, "T-new")
    assert await linker.unheard() == {"R1": 6}


async def test_a_withheld_unlink_keeps_its_content_above_every_version_of_the_topic(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("unlink", None, at=100))

    await linker.fold(a_fact("R1", 5, "T-old"))

    assert await linker.link() == (6, None)
    assert await linker.unheard() == {"R1": 6}


async def test_the_history_shows_the_version_that_is_announced_after_the_topic_was_ahead(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("newest", "T-new", at=100, linked_by="Ann"))

    await linker.fold(a_fact("R1", 5, "T-old"))

    history = [
        {name: one[name] for name in ("link_version", "ticket_id", "request_id", "linked_by", "source")}
        for one in await linker.versions()
    ]
    assert history == [
        {"link_version": 1, "ticket_id": "T-new", "request_id": "newest", "linked_by": "Ann", "source": "event"},
        {"link_version": 6, "ticket_id": "T-new", "request_id": "newest", "linked_by": "Ann", "source": "event"},
    ]


async def test_of_two_links_under_one_version_the_newer_request_gets_a_new_version(linker: Linker) -> None:
    await linker.fold(a_fact("R1", 3, "T-here", request_id="here", requested_at=after_noon(5)))
    await linker.fold(a_fact("R2", 3, "T-here", request_id="here", requested_at=after_noon(5)))

    await linker.fold(
        a_fact("R1", 3, "T-there", request_id="there", requested_at=after_noon(9)),
        a_fact("R2", 3, "T-there", request_id="there", requested_at=after_noon(1)),
    )

    assert await linker.link("R1") == (4, "T-there")
    assert await linker.link("R2") == (4, "T-here")
    assert await linker.unheard() == {"R1": 4, "R2": 4}


async def test_a_late_old_fact_on_the_topic_has_the_newest_announced_again(linker: Linker) -> None:
    await linker.fold(a_fact("R1", 1), a_fact("R1", 2, "T-2"))
    assert await linker.unheard() == {}

    await linker.fold(a_fact("R1", 1))
    assert await linker.unheard() == {"R1": 2}
    assert await linker.link() == (2, "T-2")

    await linker.fold(a_fact("R1", 2, "T-2"))
    assert await linker.unheard() == {}


async def test_a_new_link_is_announced_until_it_comes_back(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("a", "T-1"))
    assert await linker.unheard() == {"R1": 1}

    async with linker.database.transaction() as connection:
        published = await facts(connection, ["R1"])
    assert published["R1"][0] == 1
    assert published["R1"][1].key == b"R1"

    await linker.fold(a_fact("R1", 1, request_id="a", requested_at=after_noon(0)))
    assert await linker.unheard() == {}


async def test_a_parked_request_that_was_announced_is_done(linker: Linker) -> None:
    await linker.fold(a_request("q-1", "T-1", at=1))
    assert await linker.parked() == ["q-1"]

    await linker.fold(a_fact("R1", 1))

    assert await linker.parked() == []
    assert await linker.rows("select applied_to from parked_link") == [{"applied_to": "R1"}]


async def test_versions_only_rise_whatever_comes(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    versions = []
    for number in range(1, 6):
        await linker.fold(a_request(f"request-{number}", f"T-{number}", at=10 * number))
        await linker.fold(a_fact("R1", 2 * number, "T-other", requested_at=after_noon(10 * number - 5)))
        link = await linker.link()
        assert link is not None
        versions.append(link[0])

    assert versions == sorted(set(versions))
    assert await linker.link() == (versions[-1], "T-5")


async def test_what_is_announced_is_the_event_to_the_letter(linker: Linker) -> None:
    """It goes from the row to JSON without being an event on the way; nobody who reads it may notice."""
    await linker.fold(a_recording("R1"), a_recording("R2"))
    async with linker.api() as api:
        await api.post(
            "/links", json={"recording_id": "R1", "ticket_info": {"ticket_id": "T-1", "customer_name": "测试"}}
        )
        await api.delete("/links", params={"recording_id": "R1", "linked_by": "ann"})
        await api.post("/links", json={"recording_id": "R2", "ticket_info": {"ticket_id": "T-2", "agent_name": "测试"}})

    async with linker.database.transaction() as connection:
        announced = await facts(connection, ["R1", "R2"])

    for recording_id, version in (("R1", 2), ("R2", 1)):
        found, record = announced[recording_id]
        event = TicketLinked.model_validate_json(record.value)
        assert (found, event.recording_id, event.link_version) == (version, recording_id, version)
        assert record.value == event.model_dump_json().encode()


async def test_every_link_is_announced_to_a_topic_that_was_made_anew(linker: Linker) -> None:
    await linker.fold(a_fact("R1", 7, "T-7"), a_fact("R2", 3, None))
    await linker.fold(a_recording("R3"))
    before = await linker.unheard()

    for _ in range(2):
        async with linker.database.transaction() as connection:
            await forget_heard(connection)

    assert before == {}
    assert await linker.unheard() == {"R1": 7, "R2": 3}


async def test_a_link_is_announced_as_its_model_would_write_it(linker: Linker) -> None:
    odd = 'a "quoted" \\ id\n\t\b\x01\x7f / ä €\u2028😀'
    told = {
        "R1": a_fact("R1", 7, occurred_at=NOON, requested_at=NOON.replace(microsecond=120_000)),
        odd: a_fact(odd, 2, folder_id=odd, filename=odd, request_id=odd, linked_by=odd, import_id=odd),
        "R3": a_fact("R3", 1, None, occurred_at=NOON.replace(microsecond=1)),
    }
    await linker.fold(*told.values())

    async with linker.database.transaction() as connection:
        found = await facts(connection, list(told))

    assert {key: record.value for key, (_, record) in found.items()} == {
        key: fact.model_dump_json().encode() for key, fact in told.items()
    }
    assert [dict(record.headers)["ce_time"] for _, record in found.values()] == [
        rfc3339(TicketLinked.model_validate_json(record.value).occurred_at) for _, record in found.values()
    ]
