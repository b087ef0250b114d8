"""What keeps tickets from the cloud is counted for whoever watches over the service without asking it."""

from prometheus_client import REGISTRY

from services.cloud_updater import seen
from shared.watch import WatchPending
from tests.cloud_updater.given import a_link
from tests.cloud_updater.running import Updater, transferred
from tests.emulator.running import Emulator


async def _shown(updater: Updater) -> dict[str, float | None]:
    """The gauges that are not 0; blocked and stopped by their reason."""
    await WatchPending(updater.database, updater.lane, seen.pending).step()
    found = {
        f"{family.name.removeprefix('ticketsync_')} {sample.labels.get('reason', '')}".strip(): sample.value
        for family in REGISTRY.collect()
        if family.name in {"ticketsync_blocked", "ticketsync_lane_stopped", "ticketsync_oldest_pending_seconds"}
        for sample in family.samples
    }
    return {name: value for name, value in found.items() if value}


async def test_each_reason_that_blocks_and_the_age_of_the_oldest_are_gauges(updater: Updater, cloud: Emulator) -> None:
    for number in range(5):
        await transferred(updater, cloud, f"R{number}", folder_id=f"F{number}")
    at_rest = await _shown(updater)
    cloud.arm(route="update_ticket", status=422, filename="R0.wav", times=None)
    cloud.arm(route="update_ticket", status=400, filename="R1.wav", body={"message": "Recording not found"})
    cloud.arm(route="update_ticket", status=503, filename="R2.wav")
    for number in range(3):
        await updater.fold(a_link(f"R{number}"))
        await updater.push()
    await updater.change("update ledger set owed_since = owed_since - interval '1 hour'")
    some_blocked = await _shown(updater)
    cloud.arm(route="update_ticket", status=401, filename="R3.wav")
    for number in (3, 4):
        await updater.fold(a_link(f"R{number}"))
        await updater.push()
    all_stopped = await _shown(updater)

    assert at_rest == {}
    assert 3_600 < (some_blocked.pop("oldest_pending_seconds") or 0) < 7_200
    assert some_blocked == {"blocked rejected": 1, "blocked missing_in_cloud": 1, "blocked retrying": 1}
    assert all_stopped.pop("oldest_pending_seconds")
    assert all_stopped == {
        "blocked rejected": 1, "blocked missing_in_cloud": 1, "blocked retrying": 3, "lane_stopped unauthorized": 1,
    }  # fmt: skip
