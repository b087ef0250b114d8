"""What a folder owes to the cloud: the invariants of its ledger, one by one."""

from tests.cloud_updater.given import a_link, a_resync, a_transfer, an_update
from tests.cloud_updater.running import Updater, holding, pushed, requests, tickets, transferred
from tests.emulator.running import Emulator, a_file


async def test_a_link_on_a_transferred_recording_reaches_the_cloud(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")

    await updater.fold(a_link("R1", ticket_id="T-7", source="event"))
    await updater.push()

    assert tickets(cloud, uuid) == {"R1": "T-7"}


async def test_a_ticket_that_travelled_with_the_upload_is_not_owed(updater: Updater, cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("R1.wav", ticket_info={"ticket_id": "T-1"}))

    await updater.fold(a_link("R1", 1))
    await updater.fold(a_transfer("R1", uuid=uuid, link_version=1))
    await updater.push()

    assert pushed(cloud) == []


async def test_a_link_made_while_the_upload_was_under_way_is_owed(updater: Updater, cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("R1.wav", ticket_info={"ticket_id": "T-1"}))

    await updater.fold(a_link("R1", 2, ticket_id="T-2"))
    await updater.fold(a_transfer("R1", uuid=uuid, link_version=1))
    await updater.push()

    assert tickets(cloud, uuid) == {"R1": "T-2"}


async def test_what_changes_again_is_owed_again(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R1", 1), a_link("R2", 1))
    await updater.push_and_hear()

    await updater.fold(a_link("R1", 2, ticket_id="T-2"))
    await updater.push()

    assert tickets(cloud, uuid) == {"R1": "T-2", "R2": "T-1"}
    assert pushed(cloud) == [["R1", "R2"], ["R1"]]


async def test_what_changes_during_a_push_is_owed_after_it(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R1", 1), a_link("R2", 1))
    cloud.control("POST", "hold", {"route": "update_ticket"})
    async with holding(updater, cloud):
        await updater.fold(a_link("R1", 2, ticket_id="T-2"))
    await updater.push_and_hear()

    assert tickets(cloud, uuid) == {"R1": "T-2", "R2": "T-1"}
    assert pushed(cloud) == [["R1", "R2"], ["R1"]]
    assert await updater.owed() == 0


async def test_twenty_links_while_the_cloud_is_down_become_one_update(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.control("POST", "down")
    for version in range(1, 21):
        await updater.fold(a_link("R1", version, ticket_id=f"T-{version}"))
    await updater.push()
    cloud.control("POST", "up")
    await updater.an_hour_passes()
    await updater.push()

    assert tickets(cloud, uuid) == {"R1": "T-20"}
    assert pushed(cloud) == [["R1"]]


async def test_an_unlink_removes_the_ticket(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    for version, ticket_id in enumerate(("A", None, "B", None), start=1):
        await updater.fold(a_link("R1", version, ticket_id=ticket_id))
        await updater.push_and_hear()

    assert tickets(cloud, uuid) == {"R1": None}
    assert pushed(cloud) == [["R1"]] * 4


async def test_a_higher_transfer_takes_the_recording_off_its_old_folder(updater: Updater, cloud: Emulator) -> None:
    old = await transferred(updater, cloud, "R1", "R2")
    new = cloud.folder(a_file("R1.wav"))
    await updater.fold(a_link("R1", 1), a_link("R2", 1))

    await updater.fold(a_transfer("R1", 2, uuid=new))
    await updater.push()

    assert tickets(cloud, old) == {"R1": None, "R2": "T-1"}
    assert tickets(cloud, new) == {"R1": "T-1"}


async def test_a_late_older_transfer_changes_nothing(updater: Updater, cloud: Emulator) -> None:
    new = cloud.folder(a_file("R1.wav"))
    await updater.fold(a_transfer("R1", 2, uuid=new))

    await updater.fold(a_transfer("R1", 1, uuid="old"))
    await updater.fold(a_link("R1"))
    await updater.push()

    assert tickets(cloud, new) == {"R1": "T-1"}
    assert await updater.rows("select clouds_uuid from ledger") == [{"clouds_uuid": new}]


async def test_an_outcome_counts_only_for_the_uuid_it_was_sent_to(updater: Updater, cloud: Emulator) -> None:
    """A seq of the old folder that happens to be one of the new folder too must not confuse them."""
    await transferred(updater, cloud, "R1")
    new = cloud.folder(a_file("R1.wav"))
    await updater.fold(a_link("R1"))
    cloud.control("POST", "hold", {"route": "update_ticket", "moment": "after_effect"})
    cloud.arm(kind="answer_after_effect", status=422, route="update_ticket", filename="R1.wav")
    async with holding(updater, cloud):
        await updater.fold(a_transfer("R1", 2, uuid=new))
        await updater.change("update recording set seq = 2")
        await updater.change("update ledger set last_seq = 2 where clouds_uuid = :new", new=new)
    assert await updater.rows("select rejected from recording") == [{"rejected": None}]

    await updater.push_and_hear()

    assert tickets(cloud, new) == {"R1": "T-1"}
    assert await updater.acknowledged("R1") == {"R1": (2, 1)}


async def test_an_acknowledgement_of_an_old_folder_says_nothing_of_the_new_one(
    updater: Updater, cloud: Emulator
) -> None:
    await transferred(updater, cloud, "R1")
    new = cloud.folder(a_file("R1.wav"))
    await updater.fold(a_link("R1", 5))

    await updater.fold(a_transfer("R1", 2, uuid=new, link_version=1))
    await updater.fold(an_update("R1", 1, 5))
    await updater.push()

    assert tickets(cloud, new) == {"R1": "T-1"}


async def test_a_rejected_file_is_out_of_the_way_and_never_in_sync(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    cloud.arm(status=422, route="update_ticket", filename="R1.wav", times=None)

    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push_and_hear()
    await updater.an_hour_passes()
    await updater.push_and_hear()

    assert tickets(cloud, uuid) == {"R1": None, "R2": "T-1"}
    assert await updater.blocked() == {"rejected": 1}
    assert await updater.owed() == 0
    assert requests(cloud) == 2
    assert await updater.acknowledged("R1", "R2") == {"R1": (1, 0), "R2": (1, 1)}
    assert await updater.rows("select recording_id, rejected from recording order by 1") == [
        {"recording_id": "R1", "rejected": "filename: The files.0.filename field is invalid."},
        {"recording_id": "R2", "rejected": None},
    ]


async def test_a_rejected_file_is_tried_again_once_it_changes(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(status=422, route="update_ticket", filename="R1.wav")
    await updater.fold(a_link("R1"))
    await updater.push()

    await updater.fold(a_link("R1", 2, ticket_id="T-2"))
    await updater.push_and_hear()

    assert tickets(cloud, uuid) == {"R1": "T-2"}
    assert await updater.blocked() == {}


async def test_a_rejected_file_is_tried_again_when_somebody_asks(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    cloud.arm(status=422, route="update_ticket", filename="R1.wav")
    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push_and_hear()

    await updater.resync(a_resync(recording_ids=["R1"]))
    await updater.push_and_hear()

    assert tickets(cloud, uuid) == {"R1": "T-1", "R2": "T-1"}
    assert pushed(cloud) == [["R2"], ["R1"]]


async def test_a_rejection_of_what_has_changed_meanwhile_does_not_count(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    cloud.control("POST", "hold", {"route": "update_ticket", "moment": "after_effect"})
    cloud.arm(kind="answer_after_effect", status=422, route="update_ticket", filename="R1.wav")
    async with holding(updater, cloud):
        await updater.fold(a_link("R1", 2, ticket_id="T-2"))
    await updater.push()

    assert tickets(cloud, uuid) == {"R1": "T-2"}


async def test_a_folder_that_the_cloud_has_lost_is_shown_and_left_alone(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.delete(uuid)

    await updater.fold(a_link("R1"))
    await updater.push()
    await updater.an_hour_passes()
    await updater.fold(a_link("R1", 2))
    await updater.push()

    assert requests(cloud) == 1
    assert await updater.blocked() == {"missing_in_cloud": 1}
    assert await updater.owed() == 0


async def test_a_lost_folder_that_is_uploaded_again_gets_the_newest_ticket(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.delete(uuid)
    await updater.fold(a_link("R1"))
    await updater.push()

    new = cloud.folder(a_file("R1.wav"))
    await updater.fold(a_transfer("R1", 2, uuid=new))
    await updater.push()

    assert tickets(cloud, new) == {"R1": "T-1"}
    assert await updater.blocked() == {}


async def test_a_folder_that_takes_uploads_again_is_not_missing_any_more(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    cloud.arm(status=400, body={"message": "Recording not found"}, route="update_ticket")
    await updater.fold(a_link("R1"))
    await updater.push()
    assert await updater.blocked() == {"missing_in_cloud": 1}

    await updater.fold(a_transfer("R3", uuid=uuid))
    await updater.push()

    assert tickets(cloud, uuid) == {"R1": "T-1", "R2": None}


async def test_a_recording_that_was_never_linked_owes_nothing(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")

    await updater.resync(a_resync(force=True))
    await updater.push()

    assert requests(cloud) == 0
    assert await updater.owed() == 0
