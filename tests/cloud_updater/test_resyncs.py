"""Looking again: without force only what is not in sync is pushed, with force everything that is selected."""

import asyncio
from datetime import UTC, datetime, timedelta

from aiokafka import TopicPartition
from structlog.testing import capture_logs

from services.cloud_updater.expand_resyncs import FOLDERS_AT_ONCE, ExpandResyncs
from shared import positions
from tests.cloud_updater.given import a_link, a_resync, a_transfer
from tests.cloud_updater.running import Updater, holding, pushed, requests, tickets, transferred
from tests.emulator.running import Emulator, a_file


async def _in_sync(updater: Updater, cloud: Emulator) -> tuple[str, str]:
    """R1 and R2 in F1, R3 in F2; all have a ticket that the cloud shows."""
    one = await transferred(updater, cloud, "R1", "R2", folder_id="F1")
    other = await transferred(updater, cloud, "R3", folder_id="F2")
    await updater.fold(a_link("R1"), a_link("R2"), a_link("R3"))
    await updater.push_and_hear()
    return one, other


async def test_without_force_nothing_is_sent_that_is_in_sync(updater: Updater, cloud: Emulator) -> None:
    await _in_sync(updater, cloud)
    before = requests(cloud)

    await updater.resync(a_resync("Q1"), a_resync("Q2", folder_id="F1"), a_resync("Q3", recording_ids=["R1", "R9"]))
    await updater.push()

    assert requests(cloud) == before
    assert await updater.owed() == 0


async def test_without_force_nothing_is_sent_that_was_forced_before(updater: Updater, cloud: Emulator) -> None:
    await _in_sync(updater, cloud)
    await updater.resync(a_resync("Q1", force=True), a_resync("Q2", force=True, recording_ids=["R1"]))
    await updater.push_and_hear()
    before = requests(cloud)

    await updater.resync(a_resync("Q3"), a_resync("Q4", folder_id="F1"), a_resync("Q5", recording_ids=["R1"]))
    await updater.push()

    assert requests(cloud) == before


async def test_without_force_nothing_is_sent_that_only_waits_to_be_announced(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    await updater.push()

    await updater.resync(a_resync("Q1"), a_resync("Q2", recording_ids=["R1"]))
    await updater.push()
    heard = await updater.hear()

    assert pushed(cloud) == [["R1"]]
    assert [fact["link_version"] for fact in heard] == [1]


async def test_without_force_what_was_rejected_gets_another_chance(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    cloud.arm(status=422, route="update_ticket", filename="R1.wav")
    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push_and_hear()

    await updater.resync(a_resync())
    await updater.push_and_hear()

    assert tickets(cloud, uuid) == {"R1": "T-1", "R2": "T-1"}
    assert pushed(cloud) == [["R2"], ["R1"]]


async def test_a_folder_that_waits_or_was_lost_is_tried_at_once(updater: Updater, cloud: Emulator) -> None:
    uuids = [await transferred(updater, cloud, f"R{number}", folder_id=f"F{number}") for number in (1, 2)]
    cloud.arm(status=400, route="update_ticket", filename="R1.wav", body={"message": "Recording not found"})
    cloud.arm(status=503, route="update_ticket", filename="R2.wav", headers={"Retry-After": "600"})
    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push()
    assert await updater.blocked() == {"missing_in_cloud": 1, "retrying": 1}

    await updater.resync(a_resync())
    await updater.push()

    assert {**tickets(cloud, uuids[0]), **tickets(cloud, uuids[1])} == {"R1": "T-1", "R2": "T-1"}


async def test_force_on_recordings_pushes_these(updater: Updater, cloud: Emulator) -> None:
    await _in_sync(updater, cloud)
    before = len(pushed(cloud))

    await updater.resync(a_resync(force=True, recording_ids=["R2", "R3", "R9"]))
    owed = await updater.owed()
    await updater.push_and_hear()

    assert owed == 2
    assert sorted(pushed(cloud)[before:]) == [["R2"], ["R3"]]
    assert await updater.owed() == 0


async def test_force_on_a_folder_pushes_all_of_it(updater: Updater, cloud: Emulator) -> None:
    await _in_sync(updater, cloud)
    before = len(pushed(cloud))

    await updater.resync(a_resync(force=True, folder_id="F1"))
    owed = await updater.owed()
    await updater.push_and_hear()

    assert owed == 2
    assert pushed(cloud)[before:] == [["R1", "R2"]]
    assert await updater.owed() == 0


async def test_force_on_all_pushes_everything_in_bounded_steps(updater: Updater, cloud: Emulator) -> None:
    await _in_sync(updater, cloud)
    before = len(pushed(cloud))
    empty = [a_transfer(f"E{n}", uuid=f"empty-{n}", folder_id=f"E{n}") for n in range(FOLDERS_AT_ONCE + 5)]
    await updater.fold(*empty)

    await updater.fold(a_resync(force=True))
    steps = 0
    while await updater.expanding.step() == 0:
        steps += 1
    await updater.push(steps_max=1_000)

    assert steps == 4  # taken up, two lots, and a look that finds no more
    assert sorted(pushed(cloud)[before:]) == [["R1", "R2"], ["R3"]]


async def test_force_while_a_push_is_under_way_is_not_swallowed_by_it(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R1"), a_link("R2"))
    cloud.control("POST", "hold", {"route": "update_ticket"})
    async with holding(updater, cloud):
        await updater.resync(a_resync("Q1", force=True))
    await updater.push_and_hear()
    after_all = pushed(cloud)
    cloud.control("POST", "hold", {"route": "update_ticket"})
    await updater.resync(a_resync("Q2", force=True, recording_ids=["R1"]))
    async with holding(updater, cloud):
        await updater.resync(a_resync("Q3", force=True, recording_ids=["R1"]))
    await updater.push_and_hear()

    assert after_all == [["R1", "R2"], ["R1", "R2"]]
    assert pushed(cloud) == [*after_all, ["R1"], ["R1"]]


async def test_what_is_forced_and_linked_anew_is_one_push(updater: Updater, cloud: Emulator) -> None:
    await _in_sync(updater, cloud)
    before = len(pushed(cloud))

    await updater.resync(a_resync(force=True, folder_id="F1"))
    await updater.fold(a_link("R1", 2, ticket_id="T-2"))
    await updater.push_and_hear()

    assert pushed(cloud)[before:] == [["R2", "R1"]]
    assert await updater.owed() == 0


async def test_a_request_that_comes_twice_acts_once(updater: Updater, cloud: Emulator) -> None:
    await _in_sync(updater, cloud)
    before = len(pushed(cloud))
    request = a_resync("Q1", force=True, recording_ids=["R1"])

    await updater.resync(request, request)
    await updater.push_and_hear()
    await updater.resync(request)
    await updater.push_and_hear()

    assert pushed(cloud)[before:] == [["R1"]]


async def test_a_request_older_than_the_database_is_left_alone(updater: Updater, cloud: Emulator) -> None:
    """The database before this one has answered it, or it was asked for by a clock that is ahead."""
    await _in_sync(updater, cloud)
    before = len(pushed(cloud))
    long_ago, tomorrow = datetime(2025, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)

    await updater.fold(a_resync("Q1", force=True, requested_at=long_ago))
    await updater.fold(a_resync("Q2", force=True, requested_at=tomorrow), appended_at=long_ago)
    resyncs = await updater.rows("select * from sync_request")
    await updater.push()

    assert resyncs == []
    assert len(pushed(cloud)) == before


async def test_who_asked_for_what_is_kept(updater: Updater) -> None:
    await updater.resync(a_resync("Q1", force=True, folder_id="F9", requested_by="maria"))

    rows = await updater.rows("select request_id, requested_by, force, folder_id, done_at from sync_request")
    assert [(row["request_id"], row["requested_by"], row["force"], row["folder_id"]) for row in rows] == [
        ("Q1", "maria", True, "F9")
    ]
    assert rows[0]["done_at"] is not None


async def test_a_request_acts_once_all_is_folded_that_the_topics_held_when_it_was_taken_up(
    updater: Updater, cloud: Emulator
) -> None:
    """Whatever it selects may be among what this service has not read yet; and a request acts once."""
    links = TopicPartition("TicketLinked", 0)
    transfers = TopicPartition("RecordingTransferred", 0)
    ends = {links: 1, transfers: 2}

    async def topic_ends() -> dict[TopicPartition, int]:
        return dict(ends)

    expanding = ExpandResyncs(updater.database, updater.gate, topic_ends)
    uuid = await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    await updater.fold(a_resync("Q1", force=True, recording_ids=["R1"]))

    taken_up, waits = await expanding.step(), await expanding.step()
    ends[links] = 5  # what comes later is not waited for
    async with updater.database.transaction() as connection:
        await positions.put(connection, {links: 1, transfers: 2})
    acts, ends_it, done = await expanding.step(), await expanding.step(), await expanding.step()

    assert (taken_up, acts, ends_it, done) == (0, 0, 0, None)
    assert waits is not None
    assert waits > 0
    await updater.push()
    assert tickets(cloud, uuid) == {"R1": "T-1"}


async def test_a_resync_does_not_undo_a_newer_link_that_travelled_with_the_upload(
    updater: Updater, cloud: Emulator
) -> None:
    uuid = cloud.folder(a_file("R1.wav"))
    await updater.fold(a_link("R1", 1, ticket_id="T-1"))
    await updater.fold(a_transfer("R1", uuid=uuid, link_version=2))

    await updater.resync(a_resync("Q1", force=True, recording_ids=["R1"]))
    await updater.push()
    await updater.fold(a_link("R1", 2, ticket_id=None))
    await updater.push()

    assert tickets(cloud, uuid) == {"R1": None}


async def test_a_resync_is_carried_out_although_a_topic_was_made_anew_since_it_was_taken_up(updater: Updater) -> None:
    links = TopicPartition("TicketLinked", 0)
    ends = {links: 3}

    async def topic_ends() -> dict[TopicPartition, int]:
        return dict(ends)

    expanding = ExpandResyncs(updater.database, updater.gate, topic_ends)
    await updater.fold(a_resync("Q1"))
    await expanding.step()

    ends[links] = 0

    async with asyncio.timeout(10):
        while await updater.rows("select request_id from sync_request where done_at is null"):
            await expanding.step()


async def test_a_resync_that_waits_says_so_for_what_waits_behind_it(updater: Updater) -> None:
    async def never_reached() -> dict[TopicPartition, int]:
        return {TopicPartition("TicketLinked", 0): 7}

    expanding = ExpandResyncs(updater.database, updater.gate, never_reached, say_every_s=0)
    await updater.fold(a_resync("Q1"), a_resync("Q2"))

    with capture_logs() as lines:
        for _ in range(3):
            await expanding.step()

    said = [(line["log_level"], line["request_id"], line["to_fold"]) for line in lines if "waits" in line["event"]]
    assert said[-1] == ("warning", "Q1", 7)
