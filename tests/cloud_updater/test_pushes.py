"""How much goes into one request, and when it goes."""

import asyncio
import json
import time
from functools import partial
from uuid import uuid4

from services.cloud_updater.claims import Claims
from services.cloud_updater.decisions import MAX_FILES
from services.cloud_updater.ledgers import Quiet
from tests.cloud_updater.given import a_link, a_transfer
from tests.cloud_updater.running import Updater, pushed, requests, running_updater, tickets, transferred
from tests.emulator.running import Emulator, a_file

QUIET = Quiet(20, 200)


async def _due_in_s(updater: Updater) -> list[float]:
    rows = await updater.rows("select extract(epoch from due_at - now()) as s from ledger order by clouds_uuid")
    return [float(row["s"]) for row in rows if row["s"] is not None]


async def test_everything_that_is_behind_in_a_folder_is_one_request(updater: Updater, cloud: Emulator) -> None:
    names = [f"R{number}" for number in range(50)]
    uuids = [await transferred(updater, cloud, *names[start::2], folder_id=f"F{start}") for start in range(2)]

    await updater.fold(*(a_link(name, ticket_id=f"T-{name}") for name in names))
    await updater.push()

    assert requests(cloud) == 2
    assert {**tickets(cloud, uuids[0]), **tickets(cloud, uuids[1])} == {name: f"T-{name}" for name in names}


async def test_a_request_holds_each_file_with_its_present_ticket(updater: Updater) -> None:
    file = {"filename": "a.wav", "size": "1 KB", "token": 1, "transcribe": 'é"}'}
    await updater.fold(a_transfer("R1", file=file), a_transfer("R2", file={**file, "filename": "b.wav"}))
    await updater.fold(a_link("R1", 7), a_link("R2", 2, ticket_id=None))
    bodies = {}

    for with_versions in (False, True):
        async with updater.database.transaction(keep=False) as connection:
            (claimed,) = await Claims(connection).claim(uuid4(), lease_s=45, with_versions=with_versions)
        bodies[with_versions] = claimed.body.decode()

    assert [(one.recording_id, one.link_version) for one in claimed.files] == [("R1", 7), ("R2", 2)]
    assert bodies[False] == (
        '{"files":[{"filename":"a.wav","size":"1 KB","token":1,"transcribe":"é\\"}",'
        '"ticket_info":{"ticket_id":"T-1","linked_at":"2025-01-29T12:00:00Z"}},'
        '{"filename":"b.wav","size":"1 KB","token":1,"transcribe":"é\\"}","ticket_info":null}]}'
    )
    assert '"linked_at":"2025-01-29T12:00:00Z"},"link_version":7},{' in bodies[True]
    assert bodies[True].endswith('"ticket_info":null,"link_version":2}]}')


async def test_tickets_of_one_batch_are_kept_letter_by_letter(updater: Updater) -> None:
    odd = {"ticket_id": "T-ä", "customer_name": 'Zoë 😀 "quoted" \\ €\u2028', "ticket_url": "https://x.example/{}"}
    links = [a_link("R1", ticket_info=odd), a_link("R2", ticket_id=None), a_link("R3", ticket_id="T-3")]
    await updater.fold(*(a_transfer(one.recording_id) for one in links))

    await updater.fold(*links)

    claimed = await updater.claim_without_sending()
    assert await updater.rows("select ticket from recording order by recording_id") == [
        {"ticket": one.ticket_info.model_dump_json() if one.ticket_info else "null"} for one in links
    ]
    assert [one["ticket_info"] for one in json.loads(claimed.body)["files"]] == [
        odd,
        None,
        {"ticket_id": "T-3", "linked_at": "2025-01-29T12:00:00Z"},
    ]


async def test_a_single_link_on_a_quiet_folder_goes_at_once(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1", "R2")
    await updater.change("update ledger set changed_at = now() - interval '1 hour'")

    await updater.fold(a_link("R1"), quiet=QUIET)
    await updater.push()

    assert pushed(cloud) == [["R1"]]


async def test_a_link_right_after_another_waits_for_quiet(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1", "R2", "R3")
    await updater.change("update ledger set changed_at = now() - interval '1 hour'")
    await updater.fold(a_link("R1"), quiet=QUIET)
    await updater.push()

    await updater.fold(a_link("R2"), quiet=QUIET)
    await updater.push()
    await updater.fold(a_link("R3"), quiet=QUIET)
    await updater.push()
    at_first = pushed(cloud)
    await updater.an_hour_passes()
    await updater.push()

    assert at_first == [["R1"]]
    assert pushed(cloud) == [["R1"], ["R2", "R3"]]


async def test_an_import_that_arrives_in_several_batches_is_one_request_per_folder(
    updater: Updater, cloud: Emulator
) -> None:
    names = ["R1", "R2", "R3", "R4"]
    await transferred(updater, cloud, *names)
    await updater.change("update ledger set changed_at = now() - interval '1 hour'")

    for name in names:
        await updater.fold(a_link(name, source="import", import_id="I1"), quiet=QUIET)
        await updater.push()
    at_first = requests(cloud)
    await updater.an_hour_passes()
    await updater.push()

    assert at_first == 0
    assert pushed(cloud) == [names]


async def test_what_fills_a_request_waits_for_no_quiet(updater_url: str, cloud: Emulator) -> None:
    names = [f"R{number}" for number in range(2 * MAX_FILES + 1)]
    sent = []
    async with running_updater(updater_url, cloud, push_quiet_s=20, push_quiet_max_s=200) as updater:
        await transferred(updater, cloud, *names)
        for some in (names[: MAX_FILES - 1], names[MAX_FILES - 1 :]):
            await updater.fold(*(a_link(name, source="import", import_id="I1") for name in some), quiet=QUIET)
            await updater.push()
            sent.append([len(one) for one in pushed(cloud)])

    assert sent == [[], [MAX_FILES, MAX_FILES]]  # the last one waits


async def test_what_is_left_of_large_files_waits_for_no_quiet(updater_url: str, cloud: Emulator) -> None:
    names = [f"R{number}" for number in range(7)]
    large = {"size": "1.5 MB", "token": 1, "transcribe": "x" * 1_500_000}
    async with running_updater(updater_url, cloud, push_quiet_s=20, push_quiet_max_s=200) as updater:
        uuid = cloud.folder(*(a_file(f"{one}.wav") for one in names))
        for one in names:
            await updater.fold(a_transfer(one, uuid=uuid, file={**large, "filename": f"{one}.wav"}))
        await updater.fold(*(a_link(name, source="import", import_id="I1") for name in names), quiet=QUIET)
        await updater.push()
        at_first = pushed(cloud)
        await updater.change("update ledger set due_at = now()")
        await updater.push()

    assert at_first == []
    assert [len(one) for one in pushed(cloud)] == [2, 2, 2]  # of 4 MB; less than as many wait


async def test_a_folder_that_is_never_quiet_is_pushed_all_the_same(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    hardly_ever = Quiet(10, 0.3)

    await updater.fold(a_link("R1", 1), quiet=hardly_ever)
    begun = time.monotonic()
    version = 1
    while not pushed(cloud):
        version += 1
        await updater.fold(a_link("R1", version), quiet=hardly_ever)
        await updater.push()
        assert time.monotonic() - begun < 5, "it waits for quiet for ever"

    assert time.monotonic() - begun >= 0.25


async def test_uploads_wait_for_quiet_too(updater: Updater, cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("R1.wav"))
    await updater.fold(a_link("R1"), quiet=QUIET)

    await updater.fold(a_transfer("R1", uuid=uuid), quiet=QUIET)

    assert await updater.pushing.step() != 0
    assert 1 < (await _due_in_s(updater))[0] <= 20


async def test_the_next_look_is_when_the_next_folder_can_be_claimed(updater: Updater, cloud: Emulator) -> None:
    """A folder that is being pushed and changes meanwhile must not hide one that is due sooner."""
    await transferred(updater, cloud, "R1", folder_id="F1")
    await transferred(updater, cloud, "R2", folder_id="F2")
    leased = "lease_token = gen_random_uuid(), lease_until = now() + interval '45 seconds'"
    await updater.change(f"update ledger set due_at = now(), {leased} where folder_id = 'F1'")
    await updater.change("update ledger set due_at = now() + interval '0.5 seconds' where folder_id = 'F2'")

    wait_s = await updater.pushing.step()

    assert wait_s is not None
    assert 0.1 < wait_s <= 0.5


async def test_at_most_500_files_go_in_one_request(updater: Updater, cloud: Emulator) -> None:
    names = [f"R{number:03}" for number in range(750)]
    await transferred(updater, cloud, *names)

    await updater.fold(*(a_link(name) for name in names))
    await updater.push_and_hear()

    assert [len(files) for files in pushed(cloud)] == [500, 250]
    assert await updater.owed() == 0


async def test_at_most_4_mb_go_in_one_request_and_a_larger_file_goes_alone(updater: Updater, cloud: Emulator) -> None:
    sizes = {"R1": 1_500_000, "R2": 1_500_000, "R3": 4_050_000, "R4": 1_500_000, "R5": 1_500_000}
    uuid = cloud.folder(*(a_file(f"{name}.wav") for name in sizes))
    for name, size in sizes.items():
        file = {"filename": f"{name}.wav", "size": "1 MB", "token": 1, "transcribe": "é" * (size // 2)}
        await updater.fold(a_transfer(name, uuid=uuid, file=file))
    await updater.push()

    await updater.fold(*(a_link(name) for name in sizes))
    await updater.push()

    assert pushed(cloud) == [["R1", "R2"], ["R3"], ["R4", "R5"]]


async def test_the_request_is_as_the_contract_says(updater: Updater, cloud: Emulator) -> None:
    cloud.control("PUT", "capabilities", {"capabilities": ["ticket-info", "link-version"]})
    await updater.lane.ping()
    uuid = await transferred(updater, cloud, "R1", "R2")
    ticket = {
        "ticket_id": "TKT-12345",
        "ticket_url": "https://tickets.example.com/12345",
        "customer_name": 'John "Joe" Doe',
        "display_name": "JohnJoeDoe_TKT12345_20250129",
        "linked_at": "2025-01-29T10:30:00Z",
    }

    await updater.fold(a_link("R1", 7, ticket_info=ticket), a_link("R2", 3, ticket_id=None))
    await updater.push()

    effect = cloud.effects()[-1]
    assert (effect["uuid"], effect["idempotency_key"]) == (uuid, None)
    assert [(file["ticket_info"], file["has_ticket_info"], file["link_version"]) for file in effect["files"]] == [
        (ticket, True, 7),
        (None, True, 3),
    ]
    assert [(file["size"], file["token"]) for file in effect["files"]] == [("2.5 MB", 3), ("2.5 MB", 3)]


async def test_without_the_capability_no_link_version_is_sent(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")

    await updater.fold(a_link("R1"))
    await updater.push()

    assert [file["link_version"] for file in cloud.effects()[-1]["files"]] == [None]


async def test_two_processes_never_push_one_folder_at_a_time(
    updater: Updater, updater_url: str, cloud: Emulator
) -> None:
    names = [f"R{number}" for number in range(30)]
    for number, name in enumerate(names):
        await transferred(updater, cloud, name, folder_id=f"F{number}")

    async with running_updater(updater_url, cloud) as other:
        await updater.fold(*(a_link(name) for name in names))
        await asyncio.gather(updater.push(), other.push(), updater.push(), other.push())

    assert sorted(name for (name,) in pushed(cloud)) == sorted(names)
    assert requests(cloud) == len(names)


async def test_a_limit_of_our_own_holds_for_all_processes_together(
    updater: Updater, updater_url: str, cloud: Emulator
) -> None:
    for number in range(4):
        await transferred(updater, cloud, f"R{number}", folder_id=f"F{number}")
    await updater.fold(*(a_link(f"R{number}") for number in range(4)))

    one_a_minute = partial(running_updater, updater_url, cloud, requests_per_minute=1)
    async with one_a_minute() as one, one_a_minute() as other:
        await asyncio.gather(one.push(), other.push())
        sent_at_first = requests(cloud)
        await updater.change("update lane set next_request_at = now()")
        await asyncio.gather(one.push(), other.push())

    assert (sent_at_first, requests(cloud)) == (1, 2)
