"""What an upload costs whatever machine it runs on: statements and looks at folders."""

import asyncio
from dataclasses import replace

import pytest

from tests.counting import counting
from tests.sent import sent_to
from tests.transfer.given import a_recording
from tests.transfer.running import Transfer

FOLDERS = 4


async def given_folders(transfer: Transfer) -> None:
    await transfer.fold(
        *(a_recording(f"R{number}-{file}", folder_id=f"F{number}") for number in range(FOLDERS) for file in range(25))
    )


async def test_uploads_cost_no_more_statements_than_this(transfer: Transfer) -> None:
    await given_folders(transfer)

    with sent_to(transfer.database) as sent:
        await asyncio.gather(*(transfer.uploading.step() for _ in range(FOLDERS)))

    assert len(await transfer.rows("select recording_id from transfer")) == FOLDERS * 25
    assert len(sent) <= 6 + FOLDERS * 9  # one claim for all, and at worst an outcome for each


async def test_a_folder_of_which_nothing_waits_is_not_looked_at_again(transfer: Transfer) -> None:
    await given_folders(transfer)
    await asyncio.gather(*(transfer.uploading.step() for _ in range(FOLDERS)))

    assert await transfer.uploading.step() is None
    assert await transfer.rows("select folder_id from folder where due_at is not null") == []


async def test_whoever_finds_as_much_as_it_looked_for_wakes_a_colleague(
    transfer: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    listened_to = replace(transfer.uploading.lane, wake=lambda: woken.append("woken"))
    monkeypatch.setattr(transfer.uploading, "lane", listened_to)
    await given_folders(transfer)

    await transfer.uploading._claim([None] * FOLDERS)
    assert woken == ["woken"]
    await transfer.uploading._claim([None])
    assert woken == ["woken"]


async def test_much_may_wait_where_hardly_anything_did(transfer: Transfer) -> None:
    """PostgreSQL then takes the index of what waits for the quickest way to a recording that waits, wrongly."""
    await transfer.change("""
        insert into recording (recording_id, folder_id, folder_name, filename, size_bytes, token, transcript,
            requires_ticket, processed_at, revision, content_hash, folded_at, wanted_version, waiting)
        select 'old-' || n, 'old', 'Old', n || '.wav', 1, 1, 'Hello', false, now(), 1, '', now(), 1, false
        from generate_series(1, 20000) n
    """)
    await transfer.change("analyze recording")
    await transfer.fold(*(a_recording(f"R{number}", folder_id=f"F{number % 20}") for number in range(2_000)))

    async with counting(transfer.database) as counted:
        await transfer.uploading.step()

    assert len(await transfer.rows("select recording_id from transfer")) == 100
    assert counted.looked_up["recording"] + counted.passed_over["recording"] <= 10 * 100
