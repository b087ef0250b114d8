"""What keeps recordings from the cloud is counted for whoever watches over the service without asking it."""

from prometheus_client import REGISTRY

from schemas.fields import CloudsUuid, FolderId
from services.transfer import seen
from services.transfer.lost_folders import LostFolders
from shared.watch import WatchPending
from tests.emulator.running import Emulator
from tests.transfer.given import a_recording
from tests.transfer.running import Transfer, running_transfer

REASONS = ("retrying", "rejected", "outcome_unknown", "missing_in_cloud")


async def _blocked(transfer: Transfer) -> dict[str, float]:
    await WatchPending(transfer.database, transfer.lane, seen.pending).step()
    found = {one: REGISTRY.get_sample_value("ticketsync_blocked", {"reason": one}) or 0 for one in REASONS}
    return {reason: value for reason, value in found.items() if value}


def _oldest_s() -> float:
    return REGISTRY.get_sample_value("ticketsync_oldest_pending_seconds") or 0


async def test_each_reason_that_blocks_and_the_age_of_the_oldest_are_gauges(
    transfer_url: str, deployed: Emulator
) -> None:
    async with running_transfer(transfer_url, deployed) as transfer:
        await transfer.fold(a_recording("R3", folder_id="F3"))
        await transfer.upload()
        at_rest, oldest_at_rest_s = await _blocked(transfer), _oldest_s()
        deployed.delete(await transfer.clouds_uuid("F3"))
        await transfer.fold(a_recording("R4", folder_id="F3"))
        await transfer.upload()
        deployed.arm(route="create", status=422, filename="R0.wav", times=None)
        deployed.arm(route="create", status=503, filename="R1.wav")
        deployed.arm(route="create", kind="close_after_effect", filename="R2.wav")
        for number in range(3):
            await transfer.fold(a_recording(f"R{number}", folder_id=f"F{number}"))
            await transfer.upload()
        await transfer.change("update recording set folded_at = folded_at - interval '1 hour'")

        assert (at_rest, oldest_at_rest_s) == ({}, 0)
        assert await _blocked(transfer) == {
            "rejected": 1, "retrying": 1, "outcome_unknown": 1, "missing_in_cloud": 1,
        }  # fmt: skip
        assert 3_600 <= _oldest_s() < 7_200


async def test_what_is_uploaded_again_waits_since_it_was_called_lost(transfer: Transfer) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.change("update recording set folded_at = folded_at - interval '30 days'")
    async with transfer.database.transaction() as connection:
        lost = CloudsUuid(await transfer.clouds_uuid())
        await LostFolders(connection).upload_again(FolderId("F1"), lost=lost)

    await _blocked(transfer)
    while_it_waits_s = _oldest_s()
    await transfer.upload()
    await _blocked(transfer)

    assert 0 < while_it_waits_s < 3_600
    assert _oldest_s() == 0
