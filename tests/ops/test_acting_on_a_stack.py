"""What operators do on a whole stack of real processes: replay, dead letters, held uploads, moving over."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.ops.on_a_stack import Stack, recording
from tests.pipeline.running import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


def api(stack: Stack, service: str, path: str, **params: object) -> dict[str, Any]:
    answer = httpx.get(
        f"{stack.addresses[f'{service}_url']}{path}",
        params={name: str(value) for name, value in params.items()},
        headers={"Authorization": f"Bearer {stack.addresses['api_token']}"},
        trust_env=False,
        timeout=30,
    )
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content


def seen_by_cloud(stack: Stack, path: str) -> dict[str, Any]:
    url = f"{stack.addresses['cloud_url']}/emulator/{path}"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {stack.cloud_token}"}, trust_env=False, timeout=30)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content


def effects(stack: Stack) -> int:
    """How many requests had an effect."""
    found, after = 0, 0
    while page := seen_by_cloud(stack, f"effects?after={after}")["effects"]:
        found, after = found + len(page), page[-1]["seq"]
    return found


def audited(stack: Stack, service: str, what: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api(stack, service, "/audit", what=what)["items"]
    return items


def publish_raw(stack: Stack, key: str, value: bytes, *, topic: str = "TicketLinkRequested") -> None:
    """A record as a foreign producer sends it."""
    import asyncio  # noqa: PLC0415

    from aiokafka import AIOKafkaProducer  # noqa: PLC0415

    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=stack.addresses["kafka_bootstrap_servers"])
        await producer.start()
        try:
            await producer.send_and_wait(topic, value, key=key.encode())
        finally:
            await producer.stop()

    asyncio.run(send())


# -- replay


def test_a_replay_of_what_is_in_sync_changes_and_sends_nothing(stack: Stack) -> None:
    folder = stack.upload("a.wav", "b.wav")
    stack("link", f"{folder}/a.wav", "--ticket", "T-1")
    stack.settle()
    before = effects(stack)

    planned = stack("replay", "cloud-updater", "TicketLinked", "--from-start", "--dry-run", "--json")
    by_service = {
        (service, topic): stack("replay", service, topic, "--from-start", "--yes", "--by", "ann", "--json")
        for service, topic in [
            ("cloud-updater", "TicketLinked"),
            ("cloud-updater", "CloudTicketUpdated"),
            ("transfer", "RecordingTransferred"),
            ("linker", "TicketLinked"),
            ("linker", "TicketLinkRequested"),
        ]
    }
    stack.settle()

    assert planned.json["records"] > 0
    assert (planned.json["dry_run"], planned.json["read"]) == (True, None)
    for asked, done in by_service.items():
        assert (done.code, done.json.get("newer"), done.json["bad"]) == (0, 0, 0), (asked, done.out, done.err)
    counted = by_service["cloud-updater", "TicketLinked"].json
    assert counted.keys() == planned.json.keys()
    assert counted["read"] == counted["unchanged"] == planned.json["records"]
    assert effects(stack) == before
    [record] = [one for one in audited(stack, "transfer", "topic_replayed") if one["who"] == "ann"]
    assert record["subject"] == "RecordingTransferred"


def test_a_replay_goes_back_only_and_is_asked_for(stack: Stack) -> None:
    stack.upload("a.wav")
    positions = api(stack, "transfer", "/positions")["positions"]
    place = max((one for one in positions if one["topic"] == "RecordingProcessed"), key=lambda one: one["next_offset"])
    at, end = place["partition"], place["next_offset"]

    one = stack("replay", "transfer", "RecordingProcessed", "--from", f"{at}:{end - 1}", "--yes", "--json")
    since = stack("replay", "transfer", "RecordingProcessed", "--since", "2100-01-01T00:00:00Z", "--yes", "--json")
    refused = {
        "forward": stack("replay", "transfer", "RecordingProcessed", "--from", f"{at}:{end + 5}", "--yes"),
        "--yes": stack("replay", "transfer", "RecordingProcessed", "--from-start", "--json"),
        "does not read": stack("replay", "transfer", "TicketSyncRequested", "--from-start", "--yes"),
        "no partition": stack("replay", "transfer", "RecordingProcessed", "--from", "99:0", "--yes"),
        "PARTITION:OFFSET": stack("replay", "transfer", "RecordingProcessed", "--from", "x"),
        "with its offset": stack("replay", "transfer", "RecordingProcessed", "--since", "2025-01-29T10:30:00"),
        "exactly one": stack("replay", "transfer", "RecordingProcessed", "--from-start", "--from", "0:0"),
    }

    assert (one.code, one.json["read"], one.json["unchanged"]) == (0, 1, 1), one.err
    assert (since.code, since.json["read"]) == (0, 0)
    for said, ended in refused.items():
        assert (ended.code, ended.out) == (2, ""), (said, ended)
    assert all(said in ended.err for said, ended in refused.items() if said not in {"forward", "no partition"})
    assert "goes back only" in refused["forward"].err
    assert "no partition 99" in refused["no partition"].err


# -- dead letters


def test_a_dead_letter_is_listed_shown_tried_and_discarded(stack: Stack) -> None:
    publish_raw(stack, "q-1", b'{"request_id": "q-1", "secret": "Anna Weiss"}')

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stack("dlq", "list", "--service", "linker", "--json").json["items"]
        return found

    [letter] = eventually(listed)
    place = f"{letter['partition']}:{letter['offset']}"
    at = ("--topic", "TicketLinkRequested", "--at", place)
    without = stack("dlq", "show", "linker", "TicketLinkRequested", place, "--json")
    whole = stack("dlq", "show", "linker", "TicketLinkRequested", place, "--value")
    unasked = stack("dlq", "discard", "--service", "linker", "--json")
    unselected = stack("dlq", "redrive", "--yes")
    still = stack("dlq", "redrive", *at, "--yes", "--json")
    tried = stack("dlq", "discard", *at, "--dry-run", "--json")
    assert listed() == [letter]
    discarded = stack("dlq", "discard", "--reason", "schema_invalid", "--yes", "--by", "ann", "--json")
    again = stack("dlq", "discard", "--service", "linker", "--yes", "--json")
    gone = stack("dlq", "discard", *at, "--yes", "--json")
    settled = stack("dlq", "list", "--settled", "--json").json["items"]

    assert (letter["service"], letter["topic"], letter["reason"]) == ("linker", "TicketLinkRequested", "schema_invalid")
    assert "Anna Weiss" not in stack("dlq", "list", "--settled").out + without.out
    assert "Anna Weiss" in whole.out
    assert (unasked.code, unselected.code) == (2, 2)
    assert (still.code, still.json["items"][0]["outcome"]) == (1, "still_dead")
    assert still.json["items"][0]["reason"] == "schema_invalid"
    assert (tried.code, tried.json["items"][0]["outcome"]) == (0, "discarded")
    assert (discarded.code, discarded.json["items"][0]["outcome"]) == (0, "discarded")
    assert (again.code, again.json["items"]) == (0, [])
    assert (gone.code, gone.json["items"], f"no open dead letter stands at {place}" in gone.err) == (1, [], True)
    assert [(one["settled_as"], one["settled_by"]) for one in settled] == [("discarded", "ann")]
    assert stack("status", "--json").json["dead_letters"] == 0
    assert [one["who"] for one in audited(stack, "linker", "dead_letter_discarded")] == ["ann"]


def test_explain_tells_what_could_not_be_applied_of_a_recording(stack: Stack) -> None:
    folder = stack.upload("a.wav")
    publish_raw(stack, f"{folder}/a.wav", b"{", topic="RecordingProcessed")

    def told() -> list[dict[str, Any]]:
        events = stack("explain", f"{folder}/a.wav", "--json").json["events"]
        found = [one for one in events if "could not apply" in one["what"]]
        return found if len(found) == 2 else []

    dead = eventually(told)
    discarded = stack("dlq", "discard", "--topic", "RecordingProcessed", "--yes", "--json")

    assert sorted(one["what"].split(": ")[:2] for one in dead) == [
        [f"{service} could not apply this", "malformed_json"] for service in ("linker", "transfer")
    ]
    assert {one["place"]["topic"] for one in dead} == {"RecordingProcessed"}
    assert len(discarded.json["items"]) == 2
    assert told() == []


# -- what waits for a person

NOTHING_TO_DECIDE = {
    "dry_run": False,
    "folders": [],
    "recordings": [],
    "refused_tickets": None,
    "items": [],
    "ended_early": None,
}


def test_a_rejected_recording_is_listed_and_tried_again(stack: Stack) -> None:
    folder = "refused"
    stack.cloud("faults", {"route": "create", "status": 422, "filename": "bad.wav", "times": None})
    stack.publish(recording(folder, "bad.wav", requires_ticket=False))

    def rejected() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stack("transfer", "list", "--folder", folder, "--json").json["recordings"]
        return found

    [case] = eventually(rejected)
    tried = stack("transfer", "retry", "--folder", folder, "--dry-run", "--json")
    unasked = stack("transfer", "retry", "--folder", folder, "--json")
    nothing = stack("transfer", "give-up", "--folder", folder, "--yes", "--json")
    wrong = stack("transfer", "retry", "--folder", folder, "--all", "--yes")
    assert rejected() == [case]
    clear_faults(stack)
    retried = stack("transfer", "retry", "--recording", "refused/bad.wav", "--yes", "--by", "ann", "--json")
    stack.settle()

    assert case["reason"] == "rejected"
    assert tried.json["recordings"] == [case]
    assert (unasked.code, wrong.code) == (2, 2)
    assert (nothing.code, nothing.json) == (1, NOTHING_TO_DECIDE)
    assert "no folder waits there" in nothing.err
    assert (retried.code, [one["outcome"] for one in retried.json["items"]]) == (0, ["done"])
    assert tried.json.keys() == retried.json.keys() == nothing.json.keys()
    assert (tried.json["dry_run"], retried.json["dry_run"], tried.json["items"]) == (True, False, [])
    assert stack.about(folder, "bad.wav")["state"] == "no_ticket_needed"
    assert [one["who"] for one in audited(stack, "transfer", "recordings_retried")] == ["ann"]


def test_what_waits_in_a_lost_folder_is_given_up_and_may_be_tried_again_later(stack: Stack) -> None:
    folder = stack.upload("a.wav", requires_ticket=False)
    delete_in_the_cloud(stack, stack.about(folder, "a.wav")["clouds_uuid"])
    stack.publish(recording(folder, "b.wav", requires_ticket=False))

    def held() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stack("transfer", "list", "--folder", folder, "--json").json["folders"]
        return found

    [case] = eventually(held)
    no_upload_of_unknown_outcome = stack("transfer", "exists-as", "--folder", folder, "--yes", "--json")
    tried = stack("transfer", "give-up", "--folder", folder, "--dry-run", "--json")
    assert held() == [case]
    given_up = stack("transfer", "give-up", "--folder", folder, "--yes", "--by", "ann", "--json")
    why = stack("explain", f"{folder}/b.wav").out

    assert (case["reason"], case["clouds_uuid"]) == ("missing_in_cloud", stack.about(folder, "a.wav")["clouds_uuid"])
    assert (no_upload_of_unknown_outcome.code, no_upload_of_unknown_outcome.json["folders"]) == (1, [])
    assert "no upload of unknown outcome waits there" in no_upload_of_unknown_outcome.err
    assert tried.json["folders"] == [case]
    assert (given_up.code, [one["outcome"] for one in given_up.json["items"]]) == (0, ["done"])
    assert held() == []
    assert "given_up" in why
    assert [(one["who"], one["subject"]) for one in audited(stack, "transfer", "folder_given_up")] == [("ann", folder)]
    stack("transfer", "retry", "--recording", f"{folder}/b.wav", "--yes")
    [lost_again] = eventually(held)
    retried = stack("transfer", "retry", "--folder", folder, "--yes", "--json")
    stack.settle()
    assert (lost_again, [one["outcome"] for one in retried.json["items"]]) == (case, ["done"])
    assert {name: stack.about(folder, name)["state"] for name in ("a.wav", "b.wav")} == {
        "a.wav": "no_ticket_needed",
        "b.wav": "no_ticket_needed",
    }


def test_an_upload_of_unknown_outcome_is_found_in_the_cloud_and_said_to_exist(stack: Stack) -> None:
    folder = "unsure"
    # It arrives and nobody hears of it; that it is refused when it is sent again proves nothing.
    stack.cloud("faults", {"route": "create", "kind": "close_after_effect", "filename": "unsure.wav"})
    stack.cloud("faults", {"route": "create", "status": 422, "filename": "unsure.wav"})
    stack.publish(recording(folder, "unsure.wav", requires_ticket=False))

    def held() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = stack("transfer", "list", "--folder", folder, "--json").json["folders"]
        return found

    [case] = eventually(held)
    [there] = folders_in_the_cloud(stack, f"{folder} by name")
    without_uuid = stack("transfer", "exists-as", "--folder", folder, "--yes", "--json")
    said = stack(
        "transfer", "exists-as", "--recording", f"{folder}/unsure.wav", "--yes", "--by", "ann", "--json", "--", there
    )

    assert case["reason"] == "outcome_unknown"
    assert (without_uuid.code, without_uuid.json["items"][0]["outcome"]) == (1, "refused")
    assert (said.code, [one["outcome"] for one in said.json["items"]]) == (0, ["done"])
    stack.settle()
    assert held() == []
    assert (stack("transfer", "retry", "--folder", folder).code, stack("transfer", "retry", "--all").code) == (1, 0)
    about = stack.about(folder, "unsure.wav")
    assert (about["state"], about["clouds_uuid"]) == ("no_ticket_needed", there)
    assert folders_in_the_cloud(stack, f"{folder} by name") == [there]
    assert [(one["who"], one["subject"]) for one in audited(stack, "transfer", "folder_answered")] == [("ann", folder)]


def test_a_lost_folder_of_which_only_pushes_have_heard_is_uploaded_again_by_one_of_its_recordings(
    stack: Stack,
) -> None:
    folder = stack.upload("a.wav")
    lost = stack.about(folder, "a.wav")["clouds_uuid"]
    delete_in_the_cloud(stack, lost)
    stack("link", f"{folder}/a.wav", "--ticket", "T-lost")
    stack("status", "--wait", "settled", "--folder", folder)

    retried = stack("transfer", "retry", "--recording", f"{folder}/a.wav", "--yes", "--json")
    stack.settle()

    assert [one["outcome"] for one in retried.json["items"]] == ["done"]
    about = stack.about(folder, "a.wav")
    assert (about["state"], about["clouds_uuid"] != lost) == ("in_sync", True)


def folders_in_the_cloud(stack: Stack, name: str) -> list[str]:
    """The uuids of the folders of that name."""
    url = f"{stack.addresses['cloud_url']}/emulator/folders"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {stack.cloud_token}"}, trust_env=False, timeout=10)
    return [one["uuid"] for one in answer.json()["folders"] if one["folder"] == name]


def delete_in_the_cloud(stack: Stack, clouds_uuid: str) -> None:
    """As somebody who uses the cloud application itself."""
    url = f"{stack.addresses['cloud_url']}/api/external/v1/recording/{quote(clouds_uuid, safe='')}"
    headers = {"Authorization": f"Bearer {stack.cloud_token}"}
    httpx.delete(url, headers=headers, trust_env=False, timeout=10).raise_for_status()


def clear_faults(stack: Stack) -> None:
    url = f"{stack.addresses['cloud_url']}/emulator/faults"
    headers = {"Authorization": f"Bearer {stack.cloud_token}"}
    httpx.delete(url, headers=headers, trust_env=False, timeout=10).raise_for_status()


# -- moving over


def in_the_cloud_before(stack: Stack, folder: str, *names: str) -> str:
    """As the old application left it. Returns the folder's uuid."""
    files = [{"filename": name, "token": 1, "size": "1 B", "transcribe": "hello"} for name in names]
    answer = httpx.post(
        f"{stack.addresses['cloud_url']}/api/external/v1/recording",
        json={"folder": folder, "files": files},
        headers={"Authorization": f"Bearer {stack.cloud_token}", "Accept": "application/json"},
        trust_env=False,
        timeout=10,
    )
    answer.raise_for_status()
    uuid: str = answer.json()["data"]["uuid"]
    return uuid


def old(folder: str, name: str, uuid: str, **more: object) -> dict[str, object]:
    said = {"filename": name, "size": "1 B", "token": 1, "transcript": "hello"}
    return {"recording_id": f"{folder}/{name}", "folder_id": folder, "clouds_uuid": uuid, **said, **more}


def lines_of(path: Path, *lines: Mapping[str, object] | str) -> Path:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return path


def test_a_site_moves_over_with_its_tickets_and_without_an_upload(stack: Stack, tmp_path: Path) -> None:
    uuid = in_the_cloud_before(stack, "moved", "a.wav", "b.wav", "c.wav")
    file = lines_of(
        tmp_path / "old.jsonl",
        old("moved", "a.wav", uuid, ticket_info={"ticket_id": "T-OLD", "customer_name": 'Anna; "Weiß", X'}),
        "",
        old("moved", "b.wav", uuid),
        old("moved", "c.wav", uuid, token="many"),
        "{",
        old("moved", "b.wav", uuid) | {"recording_id": "moved/twice"},
        old("moved", "c.wav", "another-uuid"),
    )
    before = effects(stack)

    tried = stack("adopt", file, "--dry-run", "--json")
    unasked = stack("adopt", file, "--json")
    assert effects(stack) == before
    done = stack("adopt", file, "--yes", "--by", "ann", "--json")
    stack.settle()
    again = stack("adopt", file, "--yes", "--json")
    stack.settle()

    assert unasked.code == 2
    for ended in (tried, done):
        assert (ended.code, ended.json["lines"], ended.json["adopted"], ended.json["conflict"]) == (1, 6, 2, 2)
        found = {(one["line"], one["what"]) for one in ended.json["findings"]}
        assert found == {(4, "token"), (5, "line"), (6, "filename_taken"), (7, "folder_elsewhere")}, ended.out
    assert (again.code, again.json["adopted"], again.json["already"]) == (1, 0, 2)
    # Whether linker has heard of the recording yet, or links it when it does.
    assert done.json["tickets"] in ({"matched": 1}, {"parked": 1})
    assert again.json["tickets"] == {"already": 1}
    [folder] = [one for one in seen_by_cloud(stack, "folders")["folders"] if one["folder"] == "moved"]
    tickets = {one["filename"]: (one["ticket_info"] or {}).get("ticket_id") for one in folder["files"]}
    assert tickets == {"a.wav": "T-OLD", "b.wav": None, "c.wav": None}
    # One push, of the ticket that was there, and nothing for the recording without one.
    assert effects(stack) == before + 1
    assert stack.about("moved", "a.wav")["state"] == "in_sync"
    assert stack.about("moved", "b.wav")["state"] == "waiting_for_ticket"
    assert [one["detail"]["recordings"] for one in audited(stack, "transfer", "recordings_adopted")] == [2]


def test_what_is_adopted_is_not_uploaded_when_its_event_comes_and_new_recordings_join_it(
    stack: Stack, tmp_path: Path
) -> None:
    uuid = in_the_cloud_before(stack, "joined", "a.wav")
    stack("adopt", lines_of(tmp_path / "old.jsonl", old("joined", "a.wav", uuid)), "--yes")
    events = [
        {
            "recording_id": f"joined/{name}",
            "folder_id": "joined",
            "folder_name": "joined",
            "filename": name,
            "size_bytes": 1,
            "token": 1,
            "transcript": "hello",
            "requires_ticket": False,
            "processed_at": "2025-01-29T10:30:00Z",
        }
        for name in ("a.wav", "b.wav")
    ]

    stack("publish", "recording-processed", "-", stdin="".join(json.dumps(one) + "\n" for one in events))
    stack.settle()

    [folder] = [one for one in seen_by_cloud(stack, "folders")["folders"] if one["folder"] == "joined"]
    assert sorted(one["filename"] for one in folder["files"]) == ["a.wav", "b.wav"]
    assert stack.about("joined", "a.wav")["state"] == "no_ticket_needed"


def test_a_lost_folder_of_adopted_recordings_is_made_anew_once_they_are_published(stack: Stack, tmp_path: Path) -> None:
    uuid = in_the_cloud_before(stack, "gone", "a.wav")
    stack("adopt", lines_of(tmp_path / "old.jsonl", old("gone", "a.wav", uuid)), "--yes")
    delete_in_the_cloud(stack, uuid)
    stack("link", "gone/a.wav", "--ticket", "T-1")

    def explained() -> dict[str, Any] | None:
        told = stack("explain", "gone/a.wav", "--json")
        found: dict[str, Any] | None = told.json if told.code == 0 and "has lost its folder" in told.out else None
        return found

    first = eventually(explained)
    stack.publish(recording("gone", "a.wav", requires_ticket=True))
    then = eventually(lambda: (told := explained()) and (told["mend"] != first["mend"] and told))
    done = stack("transfer", "retry", "--folder", "gone", "--yes", "--json")
    stack.settle()

    assert first["mend"] == "ticketsync publish recording-processed FILE"
    assert "publish that first, then ticketsync transfer retry --folder gone" in first["why"]
    assert then["mend"] == "ticketsync transfer retry --folder gone"
    assert done.code == 0
    assert stack.about("gone", "a.wav")["state"] == "in_sync"
