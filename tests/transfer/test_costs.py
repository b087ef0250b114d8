"""What an upload costs whatever machine it runs on: statements and looks at folders."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import event

from tests.transfer.given import a_recording
from tests.transfer.running import Transfer

FOLDERS = 4


@contextmanager
def counting(transfer: Transfer) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    engine = transfer.database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def given_folders(transfer: Transfer) -> None:
    await transfer.fold(
        *(a_recording(f"R{number}-{file}", folder_id=f"F{number}") for number in range(FOLDERS) for file in range(25))
    )


async def test_uploads_cost_no_more_statements_than_this(transfer: Transfer) -> None:
    await given_folders(transfer)

    with counting(transfer) as sent:
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
