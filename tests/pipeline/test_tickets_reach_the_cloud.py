"""Recordings and tickets reach the cloud through events alone: the scenarios that ticketsync exists for."""

import json
import threading
from pathlib import Path

import pytest

from tests.pipeline.running import Stack, a_folder, eventually, ids, recordings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def kinds(effects: list[dict[str, object]]) -> list[object]:
    return [one["kind"] for one in effects]


def test_a_ticket_that_waits_for_its_recording_travels_with_the_upload(stack: Stack) -> None:
    folder = a_folder()
    [by_id, by_name] = recordings(folder, 2)
    assert stack.link(by_id["recording_id"], "TKT-1")["outcome"] == "parked"
    parked = {"filename": by_name["filename"], "folder": folder, "ticket_info": {"ticket_id": "TKT-2"}}
    assert stack.api("linker", "POST", "/links", json=parked)["outcome"] == "parked"

    stack.publish(by_id, by_name)
    stack.settle()

    assert stack.tickets(folder) == {by_id["filename"]: "TKT-1", by_name["filename"]: "TKT-2"}
    assert set(kinds(stack.effects(folder))) <= {"create", "inject"}
    assert stack.state_of(by_id["recording_id"])["state"] == "in_sync"


def test_a_ticket_linked_before_the_upload_travels_with_it(stack: Stack) -> None:
    folder = a_folder()
    [recording] = recordings(folder, 1)
    stack.cloud("POST", "/down")
    try:
        stack.publish(recording)
        eventually(lambda: stack.ok("status", "--json")["states"]["not_transferred"] == 1)
        stack.link(recording["recording_id"], "TKT-3")
        eventually(lambda: stack.api("transfer", "GET", "/positions") and known_to_transfer(stack, recording))
    finally:
        stack.cloud("POST", "/up")
    stack.settle()

    assert stack.tickets(folder) == {recording["filename"]: "TKT-3"}
    assert kinds(stack.effects(folder)) == ["create"]


def known_to_transfer(stack: Stack, recording: dict[str, object]) -> bool:
    found = stack.sql("transfer", f"select from ticket where recording_id = '{recording['recording_id']}'")
    return bool(found)


def test_a_ticket_linked_to_a_transferred_recording_reaches_the_cloud_by_events_alone(stack: Stack) -> None:
    folder = a_folder()
    [recording] = recordings(folder, 1)
    stack.publish(recording)
    stack.settle()

    stack.link(recording["recording_id"], "TKT-4")
    stack.settle()

    assert stack.tickets(folder) == {recording["filename"]: "TKT-4"}
    assert kinds(stack.effects(folder)) == ["create", "update_ticket"]


def test_of_a_spreadsheet_exactly_the_transferred_half_is_pushed(stack: Stack, tmp_path: Path) -> None:
    folders = [a_folder() for _ in range(2)]
    there = [one for folder in folders for one in recordings(folder, 25)]
    late = a_folder()
    waiting, unseen = recordings(late, 50)[:25], recordings(late, 50)[25:]
    stack.publish(*there)
    stack.settle()
    before = stack.last_effect()
    file = tmp_path / "links.csv"
    rows = [f"{one['filename']},TKT-{i},Customer {i}" for i, one in enumerate([*there, *waiting, *unseen])]
    file.write_text("\n".join(["filename,ticket,customer", *rows]))

    stack.cloud("POST", "/hold", json={"route": "create"})
    stack.publish(
        {**waiting[0], "recording_id": f"{late}/first", "filename": f"{late}-first.wav", "requires_ticket": False}
    )
    eventually(lambda: stack.cloud("GET", "/requests/count")["held"] == 1)
    stack.publish(*waiting)
    eventually(lambda: stack.ok("status", "--folder", late)["recordings"] == 26)
    receipt = stack.ok("import", file)
    stack.cloud("POST", "/release", json={"route": "create"})
    stack.publish(*unseen)
    stack.settle()

    assert receipt["counts"] == {"matched": 75, "parked": 25}
    assert len(receipt["rows"]) == 100
    pushes = [one for one in stack.effects(after=before) if one["kind"] == "update_ticket"]
    assert sorted(len(one["files"]) for one in pushes) == [25, 25]
    assert {file["filename"] for one in pushes for file in one["files"]} == {one["filename"] for one in there}
    shown = {name: ticket for folder in (*folders, late) for name, ticket in stack.tickets(folder).items()}
    assert {name: shown[name] for name in (one["filename"] for one in [*there, *waiting, *unseen])} == {
        one["filename"]: f"TKT-{i}" for i, one in enumerate([*there, *waiting, *unseen])
    }


def test_a_resync_pushes_only_what_is_not_in_sync_and_with_force_everything(stack: Stack) -> None:
    folder, other = a_folder(), a_folder()
    stack.publish(*recordings(folder, 3), *recordings(other, 2))
    for recording_id in [*ids(recordings(folder, 3)), *ids(recordings(other, 2))]:
        stack.link(recording_id, "TKT-R")
    stack.settle()
    before = stack.last_effect()

    said = stack.ok("resync", "--folder", folder, "--yes")
    stack.settle()
    stack.ok("resync", "--all", "--yes")
    stack.settle()
    assert stack.effects(after=before) == []

    stack.ok("resync", "--folder", folder, "--force", "--yes")
    stack.settle()
    assert [len(one["files"]) for one in stack.effects(after=before)] == [3]
    assert folder in json.dumps(said)
    assert stack.run("resync", "--folder", "nobody-knows-it", "--json").code == 1
    assert stack.run("resync", "--recording", "nobody-knows-it", "--json").code == 1

    before = stack.last_effect()
    stack.ok("resync", "--all", "--force", "--yes")
    stack.settle()
    pushed = [file["filename"] for one in stack.effects(after=before) for file in one["files"]]
    assert set(pushed) >= set(stack.tickets(folder)) | set(stack.tickets(other))
    assert len(pushed) == len(set(pushed))


def test_a_resync_request_that_is_delivered_twice_acts_once(stack: Stack) -> None:
    folder = a_folder()
    stack.publish(*recordings(folder, 2))
    for recording_id in ids(recordings(folder, 2)):
        stack.link(recording_id, "TKT-R")
    stack.settle()
    before = stack.last_effect()
    request = {
        "request_id": f"resync-{folder}",
        "requested_at": "2099-01-01T00:00:00Z",
        "requested_by": "a test",
        "force": True,
        "folder_id": folder,
    }

    stack.publish(request, topic="TicketSyncRequested", key="request_id")
    stack.settle()
    stack.publish(request, request, topic="TicketSyncRequested", key="request_id")
    stack.settle()

    assert [len(one["files"]) for one in stack.effects(after=before)] == [2]


def test_a_ticket_linked_while_the_upload_is_under_way_ends_in_the_cloud(stack: Stack) -> None:
    folder = a_folder()
    [recording] = recordings(folder, 1, requires_ticket=False)
    stack.cloud("POST", "/hold", json={"route": "create"})
    stack.publish(recording)
    eventually(lambda: stack.sql("transfer", f"select from upload_request where folder_id = '{folder}'"))

    stack.link(recording["recording_id"], "TKT-RACE")
    stack.cloud("POST", "/release", json={"route": "create"})
    stack.settle()

    assert stack.tickets(folder) == {recording["filename"]: "TKT-RACE"}
    assert kinds(stack.effects(folder)) == ["create", "update_ticket"]


def test_twenty_links_while_the_cloud_is_away_become_one_update(stack: Stack) -> None:
    folder = a_folder()
    [recording] = recordings(folder, 1)
    [the_id] = ids([recording])
    stack.publish(recording)
    stack.settle()
    stack.cloud("POST", "/down")
    try:
        for number in range(20):
            stack.link(recording["recording_id"], f"TKT-{number}")
        # However slow the machine is: else the cloud may be back before the last one is known to who pushes.
        eventually(lambda: stack.api("cloud_updater", "GET", f"/recordings/{the_id}")["link_version"] == 20)
    finally:
        stack.cloud("POST", "/up")
    stack.settle()

    assert stack.tickets(folder) == {recording["filename"]: "TKT-19"}
    assert kinds(stack.effects(folder)) == ["create", "update_ticket"]


def test_the_last_of_links_and_unlinks_is_what_the_cloud_shows(stack: Stack) -> None:
    folder = a_folder()
    [overwritten, removed, toggled] = ids(recordings(folder, 3))
    stack.publish(*recordings(folder, 3))
    stack.settle()

    stack.link(overwritten, "TKT-OLD")
    assert stack.link(overwritten, "TKT-NEW")["replaced_ticket_id"] == "TKT-OLD"
    stack.link(removed, "TKT-GONE")
    stack.settle()
    stack.unlink(removed)
    for ticket in ("TKT-A", "TKT-B"):
        stack.link(toggled, ticket)
        stack.unlink(toggled)
    stack.settle()

    assert stack.tickets(folder) == {f"{folder}-0.wav": "TKT-NEW", f"{folder}-1.wav": None, f"{folder}-2.wav": None}


def test_a_link_that_another_service_asks_for_reaches_the_cloud(stack: Stack) -> None:
    folder = a_folder()
    [recording] = recordings(folder, 1)
    stack.publish(recording)
    request = {
        "request_id": f"help-desk-{folder}",
        "requested_at": "2025-02-01T00:00:00Z",
        "recording_id": recording["recording_id"],
        "ticket_info": {"ticket_id": "TKT-DESK"},
    }
    stack.publish(request, topic="TicketLinkRequested", key="request_id")
    stack.settle()
    eventually(lambda: stack.tickets(folder) == {recording["filename"]: "TKT-DESK"})


def test_all_topics_folded_again_send_nothing(stack: Stack) -> None:
    folder = a_folder()
    stack.publish(*recordings(folder, 5))
    for recording_id in ids(recordings(folder, 5)):
        stack.link(recording_id, "TKT-AGAIN")
    stack.settle()
    effects, links = stack.effects(), len(stack.records("TicketLinked"))
    transfers, updates = len(stack.records("RecordingTransferred")), len(stack.records("CloudTicketUpdated"))

    for service in ("linker", "transfer", "cloud_updater"):
        stack.sql(service, "update position set next_offset = 0")
    stack.settle()

    assert stack.effects() == effects
    assert len(stack.records("TicketLinked")) == links
    assert len(stack.records("RecordingTransferred")) == transfers
    assert len(stack.records("CloudTicketUpdated")) == updates


def test_what_cannot_be_applied_is_a_dead_letter_and_its_neighbours_are_applied(stack: Stack) -> None:
    folder = a_folder()
    [first, wrong, last] = recordings(folder, 3)
    before = stack.ok("status")["dead_letters"]

    stack.publish(first, {**wrong, "token": "many"}, last)
    stack.settle()

    # linker and transfer both read the topic, and each keeps its own
    assert stack.ok("status")["dead_letters"] == before + 2
    assert set(stack.tickets(folder)) == {first["filename"], last["filename"]}


def test_several_callers_at_once_each_get_a_version_of_their_own(stack: Stack) -> None:
    folder = a_folder()
    [recording] = recordings(folder, 1)
    stack.publish(recording)
    stack.settle()
    versions: list[int] = []

    def link(number: int) -> None:
        versions.append(stack.link(recording["recording_id"], f"TKT-{number}").get("link_version") or 0)

    callers = [threading.Thread(target=link, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    stack.settle()

    newest = stack.state_of(recording["recording_id"])
    assert newest["link_version"] == max(versions)
    assert stack.tickets(folder) == {recording["filename"]: newest["ticket_info"]["ticket_id"]}


def test_a_folder_that_the_cloud_has_lost_is_blocked_until_a_person_has_it_uploaded_again(stack: Stack) -> None:
    folder = a_folder()
    [linked, plain, late] = recordings(folder, 3)
    stack.publish(linked, plain)
    stack.settle()
    [lost] = stack.folders(folder)
    stack.forget(lost["uuid"])

    stack.link(linked["recording_id"], "TKT-9")
    stack.publish(late)
    stuck = stack.run("status", "--folder", folder, "--wait", "settled", "--timeout", 60, "--json")
    named = [
        one["recording_id"]
        for service in ("transfer", "cloud_updater")
        for one in stack.api(service, "GET", "/blocked", params={"folder": folder})["items"]
    ]
    answer = stack.api("transfer", "POST", f"/folders/{folder}/upload-again", json={"clouds_uuid": lost["uuid"]})
    stack.settle()

    assert stuck.code == 1
    found = stuck.json
    assert found["blocked"] == {"retrying": 0, "rejected": 0, "outcome_unknown": 0, "missing_in_cloud": 2}
    assert (found["states"]["not_transferred"], found["states"]["pending"]) == (1, 1)
    assert named == [late["recording_id"], linked["recording_id"]]
    assert answer == {"recordings": 2}
    assert stack.tickets(folder) == {linked["filename"]: "TKT-9", plain["filename"]: None, late["filename"]: None}
    assert stack.state_of(linked["recording_id"])["state"] == "in_sync"
