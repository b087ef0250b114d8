"""Everything that transfer's folds and loops do, in little; and what may lie in its tables meanwhile."""

from collections.abc import Mapping

from services.transfer.conclusions import Conclusions
from tests.emulator.running import Emulator
from tests.transfer.api import an_api
from tests.transfer.given import a_link, a_recording
from tests.transfer.running import Transfer


async def work(transfer: Transfer, cloud: Emulator, name: str) -> None:
    """In folders whose ids begin with `name`."""
    await _arrive(transfer, name)
    await _come_back(transfer, cloud, name)
    await _be_refused(transfer, cloud, name)
    await _be_uncertain(transfer, cloud, name)


async def _arrive(transfer: Transfer, name: str) -> None:
    """A folder is made and gets another file, with a ticket that came before, and one that comes too late."""
    for number in range(2):
        recording = a_recording(f"{name}-{number}", folder_id=name, requires_ticket=True)
        for link_version in range(1, 3):
            await transfer.fold(a_link(recording.recording_id, link_version))
            await transfer.fold(recording)
            await transfer.upload()
            await transfer.announce_and_hear()
    assert await _uploaded(transfer, name) == {f"{name}-0": 1, f"{name}-1": 1}


async def _come_back(transfer: Transfer, cloud: Emulator, name: str) -> None:
    """The cloud does nothing at first, and is tried again once it answers others."""
    cloud.arm(route="create", status=503)
    await transfer.fold(a_recording(f"{name}-later", folder_id=f"{name}-later"))
    await transfer.upload()
    async with transfer.database.transaction() as connection:
        await Conclusions(connection).retry_now()
    await transfer.upload()
    await transfer.announce_and_hear()
    assert await _uploaded(transfer, f"{name}-later") == {f"{name}-later": 0}


async def _be_refused(transfer: Transfer, cloud: Emulator, name: str) -> None:
    """One of two files, until it has another ticket."""
    wrong = f"{name}-wrong"
    cloud.arm(route="create", status=422, filename=f"{wrong}.wav")
    await transfer.fold(a_recording(wrong, folder_id=wrong), a_recording(f"{name}-right", folder_id=wrong))
    await transfer.upload()
    assert await _uploaded(transfer, wrong) == {f"{name}-right": 0}
    await transfer.fold(a_link(wrong))
    await transfer.upload()
    await transfer.announce_and_hear()
    assert await _uploaded(transfer, wrong) == {f"{name}-right": 0, wrong: 1}


async def _be_uncertain(transfer: Transfer, cloud: Emulator, name: str) -> None:
    """A request is held until an operator says what became of it."""
    held = f"{name}-held"
    await transfer.change("update lane set capabilities = '{}'")
    cloud.arm(route="create", kind="close_after_effect")
    await transfer.fold(a_recording(held, folder_id=held))
    await transfer.upload()
    assert await _uploaded(transfer, held) == {}
    async with an_api(transfer) as api:
        answer = {"answer": "exists_as", "clouds_uuid": f"uuid-of-{held}"}
        assert (await api.post(f"/folders/{held}/answer", json=answer)).status_code == 200
    await transfer.change("update lane set capabilities = '{idempotency-key,link-version}'")
    await transfer.announce_and_hear()
    assert await _uploaded(transfer, held) == {held: 0}


async def _uploaded(transfer: Transfer, folder_id: str) -> Mapping[str, int]:
    """Recording → link_version that went with it, of those of this folder."""
    rows = await transfer.rows("select recording_id, link_version from transfer where folder_id = :id", id=folder_id)
    return {row["recording_id"]: row["link_version"] for row in rows}


async def at_rest(transfer: Transfer, *, recordings: int) -> None:
    """So many recordings more, in folders of 10, all in the cloud with their tickets."""
    await transfer.change(
        """
        insert into folder (folder_id, clouds_uuid, uuid_since)
        select 'rest-' || n, 'uuid-of-' || n, now() from generate_series(1, :folders) n
        """,
        folders=recordings // 10,
    )
    await _recordings(
        transfer,
        "select folder_id || '-' || n, folder_id, null from folder, generate_series(1, 10) n "
        "where folder_id like 'rest-%'",
        waiting=False,
    )
    await transfer.change("""
        insert into ticket (recording_id, link_version, ticket_info)
        select recording_id, 1, '{"ticket_id":"T"}' from recording where folder_id like 'rest-%'
    """)
    await transfer.change("""
        insert into transfer (recording_id, folder_id, clouds_uuid, transfer_version, filename, size, token, transcribe,
            link_version, transferred_at)
        select recording_id, folder_id, clouds_uuid, 1, filename, '1 B', token, transcript, 1, now()
        from recording join folder using (folder_id) where folder_id like 'rest-%'
    """)


async def waiting(transfer: Transfer, *, recordings: int) -> None:
    """So many recordings more that wait in one folder, `large`, and as many in a hundred others, all mixed."""
    await transfer.change("""
        insert into folder (folder_id, due_at)
        select 'large', now() - interval '1 minute' union all select 'small-' || n, now() from generate_series(0, 99) n
    """)
    await _recordings(
        transfer,
        "select f || '-' || n, f, null from generate_series(1, :number) n, "
        "lateral (values ('large'), ('small-' || n % 100)) as v (f) order by md5(f || n)",
        waiting=True,
        number=recordings,
    )


async def rejected(transfer: Transfer, *, recordings: int) -> None:
    """So many recordings more that the cloud has refused, in folders of 100."""
    await _recordings(
        transfer,
        "select 'rejected-' || n, 'rejected-' || n / 100, 'no' from generate_series(1, :number) n",
        waiting=False,
        number=recordings,
    )


async def _recordings(transfer: Transfer, named: str, *, waiting: bool, **parameters: object) -> None:
    """`named`: selects recording_id, folder_id and why it is rejected."""
    await transfer.change(
        f"""
        insert into recording (recording_id, folder_id, folder_name, filename, size_bytes, token, transcript,
            requires_ticket, processed_at, revision, content_hash, folded_at, wanted_version, waiting, rejected)
        select recording_id, folder_id, 'Folder', recording_id || '.wav', 1, 1, 'Hello', true,
            now() + hashtext(recording_id) * interval '1 ms', 1, '', now() - interval '1 hour', 1, :waiting, rejected
        from ({named}) as named (recording_id, folder_id, rejected)
        """,
        waiting=waiting,
        **parameters,
    )
