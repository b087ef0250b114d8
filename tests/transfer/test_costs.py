"""What a recording costs in counts that no machine changes, held to ceilings.

A ceiling is what the work takes now and some room; whoever needs more has to say so here.
"""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from schemas.events import RecordingProcessed
from services.transfer.upload_recordings import Claimed
from shared.outcome import Done
from tests.counting import counting
from tests.emulator.running import Emulator
from tests.sent import sent_to
from tests.transfer.given import a_link, a_recording
from tests.transfer.running import Transfer

pytestmark = pytest.mark.servers

RECORDINGS = 1_000
FOLDERS = 4


@pytest.mark.parametrize("files", [100, 250])
async def test_a_thousand_recordings_cost_no_more_than_this(transfer: Transfer, cloud: Emulator, files: int) -> None:
    folders = RECORDINGS // files

    async with counting(transfer.database) as folding:
        await transfer.fold(*of_folders(folders, files))
    async with counting(transfer.database) as uploading:
        await asyncio.gather(*(transfer.uploading.step() for _ in range(folders)))
    async with counting(transfer.database) as announcing:
        announced = await transfer.announce()
    async with counting(transfer.database) as hearing:
        await transfer.fold(*announced)

    assert len(cloud.effects()) == folders  # a request for each, as long as it has not more than 500 files
    assert len(announced) == RECORDINGS  # one record each
    assert folding.statements <= 8
    assert uploading.statements <= 8 + folders * 7  # a claim for all, and at worst an outcome for each
    assert announcing.statements <= 8
    assert hearing.statements <= 2
    assert folding.written <= RECORDINGS + folders
    # Frozen and closed, the transfer and that it is to be announced, the end of the wait; of a folder its request and
    # four changes of its row.
    assert uploading.written <= 5 * RECORDINGS + 6 * folders
    assert announcing.written <= 1  # the lease
    assert hearing.written <= RECORDINGS
    if folding.wal_bytes is not None:
        assert folding.wal_bytes <= 450 * RECORDINGS
        assert (uploading.wal_bytes or 0) <= 1_600 * RECORDINGS
        assert (announcing.wal_bytes or 0) <= 2 * RECORDINGS
        assert (hearing.wal_bytes or 0) <= 140 * RECORDINGS


@pytest.mark.parametrize("links_come", ["before", "while they wait", "after"])
async def test_a_thousand_links_cost_no_more_than_this(transfer: Transfer, links_come: str) -> None:
    recordings = of_folders(FOLDERS, 250, requires_ticket=True)
    if links_come != "before":
        await transfer.fold(*recordings)
    if links_come == "after":
        await transfer.waits_are_over()
        await transfer.upload()

    async with counting(transfer.database) as folding:
        await transfer.fold(*(a_link(one.recording_id) for one in recordings))

    folders = FOLDERS if links_come == "while they wait" else 0  # to be looked at
    assert folding.statements <= 9
    assert folding.written <= RECORDINGS + folders
    if folding.wal_bytes is not None:
        assert folding.wal_bytes <= 280 * RECORDINGS


async def test_known_facts_are_read_again_without_a_write(transfer: Transfer, cloud: Emulator) -> None:
    recordings = of_folders(FOLDERS, 250)
    links = [a_link(one.recording_id) for one in recordings]
    await transfer.fold(*links)
    await transfer.fold(*recordings)
    await transfer.upload()
    heard = await transfer.announce()
    await transfer.fold(*heard)

    async with counting(transfer.database) as again:
        for known in (links, recordings, heard):
            await transfer.fold(*known)
        await transfer.uploading.step()
        published = await transfer.announce()

    assert again.written == 0
    assert again.statements <= 16
    assert published == []
    assert len(cloud.effects()) == FOLDERS


async def test_known_facts_of_what_waits_are_read_again_without_a_write(transfer: Transfer) -> None:
    recordings = of_folders(FOLDERS, 250)
    links = [a_link(one.recording_id) for one in recordings]
    await transfer.fold(*recordings)
    await transfer.fold(*links)

    async with counting(transfer.database) as again:
        await transfer.fold(*recordings)
        await transfer.fold(*links)

    assert again.written == 0
    assert again.statements <= 8


async def test_uploads_cost_no_more_statements_than_this(transfer: Transfer) -> None:
    await transfer.fold(*of_folders(FOLDERS, 25))

    with sent_to(transfer.database) as sent:
        await asyncio.gather(*(transfer.uploading.step() for _ in range(FOLDERS)))

    assert len(await transfer.rows("select recording_id from transfer")) == FOLDERS * 25
    assert len(sent) <= 6 + FOLDERS * 9  # one claim for all, and at worst an outcome for each


async def test_answers_that_come_together_are_recorded_by_as_many_statements_as_one(transfer: Transfer) -> None:
    statements = []
    for folders in (1, 10):
        await transfer.fold(
            *(a_recording(f"R{folders}-{one}", folder_id=f"F{folders}-{one}") for one in range(folders))
        )
        claimed = [one for one in await transfer.uploading._claim([None] * folders) if isinstance(one, Claimed)]
        answers = [(one, Done({"data": {"uuid": f"uuid-of-{one.folder.folder_id}"}})) for one in claimed]

        with sent_to(transfer.database) as sent:
            await transfer.uploading._record(answers)
        statements.append(len(sent))

    assert len(await transfer.rows("select recording_id from transfer")) == 11
    assert statements[0] == statements[1]


async def test_a_folder_of_which_nothing_waits_is_not_looked_at_again(transfer: Transfer) -> None:
    await transfer.fold(*of_folders(FOLDERS, 25))
    await asyncio.gather(*(transfer.uploading.step() for _ in range(FOLDERS)))

    assert await transfer.uploading.step() is None
    assert await transfer.rows("select folder_id from folder where due_at is not null") == []


async def test_whoever_finds_as_much_as_it_looked_for_wakes_a_colleague(
    transfer: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    listened_to = replace(transfer.uploading.lane, wake=lambda: woken.append("woken"))
    monkeypatch.setattr(transfer.uploading, "lane", listened_to)
    await transfer.fold(*of_folders(FOLDERS, 25))

    await transfer.uploading._claim([None] * FOLDERS)
    assert woken == ["woken"]
    await transfer.uploading._claim([None])
    assert woken == ["woken"]


async def test_dead_rows_are_taken_away_early(transfer: Transfer) -> None:
    """Of a large table PostgreSQL would let a fifth be dead, and of one that was full as much as it had held."""
    rows = await transfer.rows("select relname, reloptions from pg_class where reloptions is not null order by 1")

    large = [
        "autovacuum_vacuum_scale_factor=0.02",
        "autovacuum_analyze_scale_factor=0.02",
        "autovacuum_vacuum_insert_scale_factor=0.05",
    ]
    emptied = ["autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=1000"]
    assert {row["relname"]: row["reloptions"] for row in rows if not row["relname"].startswith("pg_")} == {
        "folder": large,
        "frozen_file": emptied,
        "recording": large,
        "ticket": large,
        "unheard_transfer": emptied,
    }


async def test_a_transcript_is_not_written_anew_when_its_upload_is_over(transfer: Transfer) -> None:
    """The row that held it dies; the transcript lies beside it, and belongs to the next version as it is."""

    async def bytes_beside_the_rows() -> int:
        [row] = await transfer.rows(
            "select pg_relation_size(reltoastrelid) as bytes from pg_class where relname = 'recording'"
        )
        return int(row["bytes"])

    words = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(200))
    await transfer.fold(*of_folders(1, 50, transcript=words))
    before = await bytes_beside_the_rows()
    await transfer.upload()

    assert before >= 50 * len(words) // 2  # hexadecimal digits can be written in half their space
    assert await bytes_beside_the_rows() == before


def of_folders(folders: int, files: int, **fields: object) -> list[RecordingProcessed]:
    """So many recordings of each of so many folders."""
    return [
        a_recording(f"F{folder}-R{number}", folder_id=f"F{folder}", **fields)
        for folder in range(folders)
        for number in range(files)
    ]
