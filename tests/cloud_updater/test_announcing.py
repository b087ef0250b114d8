"""CloudTicketUpdated: what the cloud has acknowledged is announced until Kafka has it, and nothing else is."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.envelope import rfc3339
from schemas.events import CloudTicketUpdated
from services.cloud_updater import announce_updates
from shared.announce_once import Lot
from tests.cloud_updater.given import a_link, a_resync, a_transfer, an_update
from tests.cloud_updater.running import Updater, holding, transferred
from tests.emulator.running import Emulator


async def _lot(updater: Updater, *, limit: int = 100) -> Lot | None:
    async with updater.database.transaction() as connection:
        return await announce_updates.next_lot(connection, limit=limit)


async def _marked(updater: Updater, lot: Lot) -> None:
    async with updater.database.transaction() as connection:
        await lot.mark(connection)


def _updated_at(value: bytes) -> bytes:
    return rfc3339(CloudTicketUpdated.model_validate_json(value).updated_at)


def _facts(lot: Lot | None) -> dict[str, tuple[int, int]]:
    """Recording → (transfer_version, link_version) of what is to be announced."""
    events = [CloudTicketUpdated.model_validate_json(one.value) for one in lot.records] if lot else []
    return {event.recording_id: (event.transfer_version, event.link_version) for event in events}


async def _to_announce(updater: Updater) -> dict[str, tuple[int, int]]:
    return _facts(await _lot(updater))


async def test_a_fact_is_written_as_its_model_would(updater: Updater, cloud: Emulator) -> None:
    names = ("R1", 'a "quoted" \\ id\n\t\b\x01\x7f / ä €\u2028😀')
    await transferred(updater, cloud, *names)
    await updater.fold(*(a_link(name) for name in names))
    await updater.push()
    lot = await _lot(updater)
    assert lot is not None

    assert {record.key.decode() for record in lot.records if record.key} == set(names)
    for record in lot.records:
        event = CloudTicketUpdated.model_validate_json(record.value)
        assert record.value == event.model_dump_json().encode()
        assert dict(record.headers)["ce_time"] == rfc3339(event.updated_at)


async def test_an_acknowledged_push_is_announced_until_kafka_has_it(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R1", 3), a_link("R2", 1, ticket_id=None))
    before = await _to_announce(updater)
    await updater.push()
    after_the_push, still = await _to_announce(updater), await _lot(updater)
    assert still is not None

    await _marked(updater, still)

    assert before == {}
    assert after_the_push == _facts(still) == {"R1": (1, 3), "R2": (1, 1)}
    assert await _lot(updater) is None


async def test_large_folders_are_announced_in_lots(updater: Updater, cloud: Emulator) -> None:
    for folder_id, names in (("F1", ("R1", "R2", "R3")), ("F2", ("R4", "R5"))):
        await transferred(updater, cloud, *names, folder_id=folder_id)
    await updater.fold(*(a_link(f"R{number}") for number in range(1, 6)))
    await updater.push()

    lots: list[int] = []
    announced: dict[str, tuple[int, int]] = {}
    while (lot := await _lot(updater, limit=2)) is not None:
        lots.append(len(lot.records))
        assert not announced.keys() & _facts(lot).keys()
        announced |= _facts(lot)
        await _marked(updater, lot)

    assert announced == {f"R{number}": (1, 1) for number in range(1, 6)}
    assert [size for size in lots if size] == [2, 2, 1]


async def test_a_lot_that_ends_within_a_folder_goes_on_there_and_each_folder_has_its_own_time(updater: Updater) -> None:
    folders = {"A": ("R1", "R2", "R3"), "B": ("R4", "R5", "R6"), "C": ("R7",)}
    for uuid, names in folders.items():
        await updater.fold(*(a_transfer(name, uuid=uuid) for name in names))
    await updater.fold(*(a_link(name) for names in folders.values() for name in names))
    await updater.change("""
        update ledger set cursor = last_seq,
            pushed_at = timestamptz '2025-01-29 12:00Z' + make_interval(hours => ascii(clouds_uuid) - ascii('A'))
    """)
    lots = []

    while (lot := await _lot(updater, limit=5)) is not None:
        lots.append({str(one.key, "utf-8"): dict(one.headers)["ce_time"] for one in lot.records if one.key})
        assert {_updated_at(one.value) for one in lot.records} == set(lots[-1].values())
        await _marked(updater, lot)

    noon, one, two = (f"2025-01-29T{hour}:00:00Z".encode() for hour in (12, 13, 14))
    assert lots == [
        {"R1": noon, "R2": noon, "R3": noon, "R4": one, "R5": one},
        {"R6": one, "R7": two},
    ]


async def test_what_is_pushed_while_a_lot_is_published_is_announced_after_it(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R1", 1))
    await updater.push()
    lot = await _lot(updater)
    assert lot is not None
    await updater.fold(a_link("R1", 2), a_link("R2", 1))
    await updater.push()

    await _marked(updater, lot)

    assert await _to_announce(updater) == {"R1": (1, 2), "R2": (1, 1)}


async def test_a_lot_of_cursors_that_were_set_back_marks_nothing(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    await updater.push()
    lot = await _lot(updater)
    assert lot is not None
    await updater.resync(a_resync(force=True))

    await _marked(updater, lot)

    assert await updater.rows("select announced_cursor from ledger") == [{"announced_cursor": 0}]
    await updater.push()
    assert await _to_announce(updater) == {"R1": (1, 1)}


async def test_a_refusal_that_is_taken_back_meanwhile_is_not_announced_as_a_success(
    updater: Updater, cloud: Emulator
) -> None:
    """The folder is forced between the announcer's two looks: its cursors, and then its recordings."""
    await transferred(updater, cloud, "R1", "R2")
    cloud.arm(status=422, route="update_ticket", filename="R1.wav")
    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push()

    class Between:
        """A connection that lets it happen before its second statement."""

        def __init__(self, connection: AsyncConnection) -> None:
            self.connection, self.statements = connection, 0

        async def execute(self, *statement: Any) -> object:  # noqa: ANN401
            self.statements += 1
            if self.statements == 2:
                await updater.resync(a_resync(force=True))
            return await self.connection.execute(*statement)

    async with updater.database.transaction() as connection:
        lot = await announce_updates.next_lot(Between(connection))  # type: ignore[arg-type]  # as much as it uses

    assert _facts(lot) == {}


async def test_what_our_own_topic_says_already_is_not_announced_again(updater: Updater, cloud: Emulator) -> None:
    """A database that was set back learns of it from there."""
    uuid = await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push()

    await updater.fold(an_update("R1", uuid=uuid))

    assert await _to_announce(updater) == {"R2": (1, 1)}


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

    lots = [await _lot(updater), await _lot(updater)]

    first, second = (lot.records[0] for lot in lots if lot)
    assert first == second
    assert (first.topic, first.key) == ("CloudTicketUpdated", b"R1")
    headers = dict(first.headers)
    assert (headers["ce_id"], headers["ce_type"]) == (b"R1:1.1", b"ticketsync.cloud-ticket-updated.v1")
    assert headers["ce_source"] == b"ticketsync/cloud_updater"
    assert {"content-type", "ce_specversion", "ce_time", "ce_subject", "traceparent"} <= headers.keys()


async def test_what_the_cloud_acknowledged_is_announced_to_a_topic_that_was_made_anew(
    updater: Updater, cloud: Emulator
) -> None:
    await transferred(updater, cloud, "R1", "R2", "R3")
    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push_and_hear()
    await updater.resync(a_resync(recording_ids=("R2",), force=True))  # from here on its row knows, not the cursor
    await updater.push()
    cloud.arm(status=422, route="update_ticket", filename="R3.wav", times=None)
    await updater.fold(a_link("R3"))
    await updater.push()
    pushed = len(cloud.effects())

    async with updater.database.transaction() as connection:
        await announce_updates.forget_announced(connection)
    await updater.push()

    assert await _to_announce(updater) == {"R1": (1, 1), "R2": (1, 1)}
    assert len(cloud.effects()) == pushed


async def test_a_folder_to_which_nothing_was_ever_sent_has_nothing_to_announce(
    updater: Updater, cloud: Emulator
) -> None:
    await transferred(updater, cloud, "R1")
    await updater.resync(a_resync(force=True))  # R1 has no link, so the claim finds nothing to send
    await updater.push()

    assert await updater.hear() == []
    assert await updater.rows("select 1 from ledger where announced_cursor < cursor") == []
