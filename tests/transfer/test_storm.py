"""Everything at once: folds, several workers, workers that are cut off at any moment, a cloud that loses answers.

In the end every recording is in the cloud once, in one folder, and no two of a folder have the same name there.
"""

import asyncio
import random
from contextlib import suppress

import pytest

from tests.emulator.running import Emulator
from tests.transfer.given import a_link, a_recording
from tests.transfer.running import Transfer, files_in_cloud, running_transfer

FOLDERS = 4
RECORDINGS = 60
WORKERS = 4


async def _publish(transfer: Transfer, chance: random.Random) -> None:
    """Recordings, revisions that rename and move, links; in batches, each twice now and then."""
    for revision in range(1, 4):
        facts = [
            a_recording(
                f"R{number:02}",
                revision=revision,
                folder_id=f"F{(number + chance.randrange(2) * (revision - 1)) % FOLDERS}",
                folder_name="folder",
                filename=f"{number}-{revision}.wav",
                requires_ticket=chance.random() < 0.5,
            )
            for number in range(RECORDINGS)
        ]
        chance.shuffle(facts)
        for start in range(0, RECORDINGS, 12):
            batch = facts[start : start + 12]
            await transfer.fold(*batch)
            if chance.random() < 0.3:
                await transfer.fold(*batch)
            await asyncio.sleep(chance.random() * 0.05)


async def _link(transfer: Transfer, chance: random.Random) -> None:
    for version in range(1, 4):
        numbers = chance.sample(range(RECORDINGS), 30)
        for start in range(0, 30, 6):
            await transfer.fold(*(a_link(f"R{number:02}", version) for number in numbers[start : start + 6]))
            await asyncio.sleep(chance.random() * 0.03)


async def _work(transfer: Transfer, chance: random.Random, done: asyncio.Event, *, cut_off: float) -> None:
    while not done.is_set():
        step = asyncio.create_task(transfer.uploading.step())
        if chance.random() < cut_off:
            await asyncio.sleep(chance.random() * 0.04)
            step.cancel()
        with suppress(asyncio.CancelledError):
            await step
        await asyncio.sleep(chance.random() * 0.02)


@pytest.mark.parametrize("seed", range(4))
async def test_every_recording_is_uploaded_once_whatever_is_cut_off(
    transfer_url: str, cloud: Emulator, seed: int
) -> None:
    chance = random.Random(seed)
    for kind in ("close_after_effect", "close_before_effect", "answer_after_effect", "answer"):
        for route in ("create", "inject"):
            cloud.arm(route=route, kind=kind, status=None if "close" in kind else 500, times=2)
    settings = {"ticket_grace_s": 0.1, "lease_s": 1.2, "cloud_timeout_s": 0.6}
    async with running_transfer(transfer_url, cloud, **settings) as transfer:
        done = asyncio.Event()
        workers = [asyncio.create_task(_work(transfer, chance, done, cut_off=0.3)) for _ in range(WORKERS)]
        await asyncio.gather(_publish(transfer, chance), _link(transfer, chance))
        done.set()
        await asyncio.gather(*workers)

        cloud.control("DELETE", "faults")
        await transfer.change("update lane set reason = null, failures = 0")
        await transfer.change("update folder set retry_at = null")
        await transfer.upload_until_settled(within_s=60)

        in_cloud = files_in_cloud(cloud)
        transfers = await transfer.rows("select recording_id, filename, folder_id, clouds_uuid from transfer")
        folders = cloud.control("GET", "folders")["folders"]
        assert len(transfers) == RECORDINGS
        assert sorted(row["filename"] for row in transfers) == [filename for _, filename in in_cloud]
        assert len(folders) == len({row["folder_id"] for row in transfers})
        assert {(row["clouds_uuid"], row["filename"]) for row in transfers} == {
            (folder["uuid"], file["filename"]) for folder in folders for file in folder["files"]
        }
        assert await transfer.rows("select * from upload_request") == []
        assert await transfer.rows("select * from recording where waiting") == []
