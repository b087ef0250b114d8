"""CloudTicketUpdated: what the cloud has acknowledged is announced until it has come back, and nothing else is."""

from services.cloud_updater import announce_updates
from shared.producer import Outgoing
from tests.cloud_updater.given import a_link, a_resync, an_update
from tests.cloud_updater.running import Updater, holding, transferred
from tests.emulator.running import Emulator


async def _to_announce(updater: Updater) -> dict[str, object]:
    async with updater.database.transaction() as connection:
        return dict(await announce_updates.unheard(connection, 100))


async def test_an_acknowledged_push_is_announced_until_it_is_heard(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R1", 3), a_link("R2", 1, ticket_id=None))
    before = await _to_announce(updater)
    await updater.push()
    after_the_push, still = await _to_announce(updater), await _to_announce(updater)

    await updater.fold(an_update("R1", 1, 3, uuid=uuid))
    half, heard = await _to_announce(updater), await updater.hear()

    assert before == {}
    assert after_the_push == still == {"R1": (1, 3), "R2": (1, 1)}
    assert half == {"R2": (1, 1)}
    assert heard == [{"recording_id": "R2", "clouds_uuid": uuid, "transfer_version": 1, "link_version": 1}]
    assert await _to_announce(updater) == {}
    assert await updater.rows("select heard_cursor = cursor as all_heard from ledger") == [{"all_heard": True}]


async def test_what_was_not_sent_is_not_announced(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1", "R2", "R3")
    cloud.arm(status=422, route="update_ticket", filename="R1.wav", times=None)
    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push()

    await updater.fold(a_link("R3"))

    assert await _to_announce(updater) == {"R2": (1, 1)}


async def test_a_link_that_came_after_the_push_is_not_announced_with_it(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1", 1))
    cloud.control("POST", "hold", {"route": "update_ticket"})
    async with holding(updater, cloud):
        await updater.fold(a_link("R1", 2))

    assert await _to_announce(updater) == {}
    await updater.push()
    assert await _to_announce(updater) == {"R1": (1, 2)}


async def test_a_forced_push_of_what_is_in_sync_announces_nothing(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    await updater.push_and_hear()

    await updater.resync(a_resync(force=True))
    await updater.push()

    assert await _to_announce(updater) == {}


async def test_the_same_fact_is_the_same_record_each_time(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    await updater.push()

    async def record() -> Outgoing:
        async with updater.database.transaction() as connection:
            return (await announce_updates.facts(connection, ["R1"]))["R1"][1]

    first, second = await record(), await record()

    assert first == second
    assert (first.topic, first.key) == ("CloudTicketUpdated", b"R1")
    headers = dict(first.headers)
    assert (headers["ce_id"], headers["ce_type"]) == (b"R1:1.1", b"ticketsync.cloud-ticket-updated.v1")
    assert headers["ce_source"] == b"ticketsync/cloud_updater"
    assert {"content-type", "ce_specversion", "ce_time", "ce_subject", "traceparent"} <= headers.keys()
